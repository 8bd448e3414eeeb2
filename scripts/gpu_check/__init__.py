"""What scripts/gpu-check is made of.  Python's standard library alone; peer.py, which other Pythons run, wants PyTorch.

main.py          the stages, the exit status
calls.py         what a call runs, and how long
context.py       what a stage is given, and what it leaves: a Result
programs.py      where train, the tests and mpirun lie, in a bundle or in a build tree
machine.py       GPU, driver, CUDA's libraries, Pythons with PyTorch
processes.py     programs with a time limit
unit_tests.py    the stage that runs the unit tests
checks.py        the stages that test whole jobs
roofline.py      what kernels and updates would take at the speeds measured
kernel_times.py  the stage that times the kernels
training.py      the stage that trains beside PyTorch: shapes.py, documents.py, peer.py, targets.py
report.py        gpu-check.json and gpu-check.md
"""
