"""gpu_choice.py TRAIN_ON_SHIM: which rank takes which GPU; missing, shared or full GPUs give one message.

What GPUs a rank sees, how new the driver is and what others hold of a GPU's memory are variables of the shim
(test/cuda_shim/runtime.cpp).
"""
from harness import OWN_CASES, Case, curve, program, require, workspace

train, _ = program()
JOB = {**Case(OWN_CASES / "llama").settings(), "train.max_steps": 2, "train.warmup_steps": 1, "device.type": "cuda"}
BOUND = "export CUDA_SHIM_GPUS=gpu$OMPI_COMM_WORLD_LOCAL_RANK;"  # as a scheduler does: to each rank its own

with workspace() as place:
    told = train.require_told_once
    told("two ranks on one GPU", place / "same", JOB, ["more ranks than GPUs on"])
    told("three ranks, two GPUs", place / "three", JOB, ["(3 ranks, 2 GPUs)"], {"CUDA_SHIM_GPUS": "a b"}, ranks=3)
    told("no GPU", place / "none", JOB, ["no GPU on"], {"CUDA_SHIM_GPUS": ""})
    told("no GPU for one rank", place / "one", JOB, ["no GPU on"],
         by_rank='[ "$OMPI_COMM_WORLD_RANK" = 0 ] || export CUDA_SHIM_GPUS=;')
    told("the driver is too old", place / "driver", JOB, ["driver supports CUDA 12.4", "needs 13"],
         by_rank='[ "$OMPI_COMM_WORLD_RANK" = 0 ] || export CUDA_SHIM_DRIVER=12040;')
    shared = {**JOB, "device.share": "true"}
    told("a GPU that others have filled", place / "full", shared, ["out of memory", "other programs 4.00 GiB", "other programs 3.99"],
         {"CUDA_SHIM_TAKEN_MIB": "4095"})
    told("a GPU of one rank that others have filled", place / "half", shared, ["out of memory"],
         by_rank='[ "$OMPI_COMM_WORLD_RANK" = 0 ] || export CUDA_SHIM_TAKEN_MIB=4095;')

    on_one = train.run(place / "on-one", shared, 2)
    process = train.start(2, ["-c", f"{BOUND} exec {train.train} {train.job(place / 'bound', shared)}"], program="sh")
    output = train.finish(process, 0, "ranks bound to a GPU each")
    require("computing on GPU 0" in output, "each takes the one that it sees", output)
    require("MPI and page-locked memory" in output, "the log says how they communicate", output)
    require(curve(place / "bound") == curve(on_one), "the same curve as on one GPU")
