# A front end: CMake builds, CTest tests, scripts/ does the rest.
BUILD := build/release
JOBS ?= 2

.PHONY: build program setup venv torch test tidy fuzz demo bench bundle gpu-check clean
# Everything, with tests, benchmark and GPU part.
build: setup
	@$(call ninja,all)
# Only what a job needs on this machine, a third of that.
program: setup
	@$(call ninja,train $(if $(wildcard /dev/nvidiactl),gpu_part))

define ninja
[ -f $(BUILD)/build.ninja ] || cmake -S . -B $(BUILD) -G Ninja $(CMAKE_ARGS)
ninja -C $(BUILD) -j$(JOBS) $(1)
ln -sfn $(BUILD)/train train
endef

setup:
	@scripts/setup.sh
venv: setup
	@scripts/setup.sh --venv
torch: setup
	@scripts/setup.sh --torch || echo "tests that need PyTorch will be skipped"

test: build torch
	@cd $(BUILD) && ctest --output-on-failure -j$(JOBS) $(CTEST_ARGS)

tidy: setup
	@scripts/check_tidy.sh

# For hours: FUZZ_SECONDS of each target, or FUZZ_RUNS; FUZZ_TARGETS=job,shard picks some.
FUZZ_SECONDS ?= 3600
fuzz: setup
	@scripts/fuzz.py $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS),--seconds $(FUZZ_SECONDS)) $(if $(FUZZ_TARGETS),--targets $(FUZZ_TARGETS)) --jobs $(JOBS)

demo: setup
	@$(MAKE) --no-print-directory -j2 program venv  # pip waits for the network while the compiler works
	@scripts/demo.sh

bench: build torch
	@build/venv/bin/python scripts/bench.py

gpu-check: build
	@scripts/gpu-check --output build/gpu-check $(if $(wildcard ../shared/reference),--cases ../shared/reference) $(GPU_CHECK_ARGS)

bundle: build
	@scripts/bundle.sh $(BUILD)/train build/tessera-$$(uname -m).tar.zst

clean:
	rm -rf build train
