#!/usr/bin/env bash
# Names the C++ files that clang-format would change; exit status 1 if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v clang-format >/dev/null; then
  echo "format: no clang-format here, not checked"
  exit 0
fi
git ls-files --cached --others --exclude-standard -- '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror
echo "format: clean"
