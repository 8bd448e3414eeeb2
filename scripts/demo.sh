#!/usr/bin/env bash
# `make demo`: teaches SmolLM2-135M-Instruct to define nouns as a dictionary does, on two ranks of this machine, and shows the
# model before and after on words that it never saw.  About five minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

words=(violinist chart mandate)  # all in the evaluation set

build/venv/bin/python scripts/make_smollm2.py
python3 scripts/make_definitions.py
for word in "${words[@]}"; do
  grep -q "noun $word\." build/data/definitions/eval.jsonl
  echo "Define the noun $word."
done >build/data/definitions/prompts.txt

rm -rf build/demo
if [ "$(id -u)" = 0 ]; then  # a container, most likely: Open MPI wants to be told that root is meant
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpirun -n 2 --oversubscribe --bind-to none ./train jobs/demo.ini

answers() {
  ./train generate jobs/demo.ini device.threads=1 generate.prompt=build/data/definitions/prompts.txt checkpoint.resume=never "$@"
}
answers >build/demo/before.txt
answers model.base=build/demo/final checkpoint.export_dir=build/demo/unused >build/demo/after.txt
python3 scripts/demo_report.py build/demo
