#!/usr/bin/env bash
# scripts/check_tidy.sh [FILE or FOLDER …]: clang-tidy with .clang-tidy's checks over the C++ files of src/, kernels/ and
# bench/, or over those given.  Names what it finds; exit status 1 if there is anything.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v clang-tidy >/dev/null; then
  echo "tidy: no clang-tidy here, not checked"
  exit 0
fi
# Its own build folder, never built in: only the compile commands are of interest, and CPU ranks' alone.
build=build/tidy
cmake -S . -B "$build" -G Ninja -DTESSERA_CUDA=OFF -DTESSERA_UNITY=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >"build/tidy-cmake.log" || { cat build/tidy-cmake.log; exit 1; }

[ $# -gt 0 ] || set -- src kernels bench
# Files that no target compiles (those of cuDNN) have no command, and clang-tidy could only guess; what is compiled with
# the execution shim's cuda_runtime.h needs std::source_location, which clang 14 does not know.
mapfile -t files < <(git ls-files -- "$@" | grep '\.cpp$' | grep -vE '^(src/(device/cuda|cluster/nccl)|kernels/cuda)/' | while read -r file; do
  if grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json"; then echo "$file"; fi
done)
[ ${#files[@]} -gt 0 ] || { echo "tidy: no file of the build among: $*"; exit 1; }
# clang-tidy counts what it suppressed on standard error.
if printf '%s\n' "${files[@]}" | xargs -P "${JOBS:-$(nproc)}" -n 1 clang-tidy -p "$build" --quiet 2>/dev/null; then
  echo "tidy: ${#files[@]} files, clean"
else
  exit 1
fi
