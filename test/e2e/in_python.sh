#!/bin/sh
# in_python.sh PYTHON SCRIPT ARGUMENT…: status 77 (skipped) where that Python is not there.
if [ ! -x "$1" ]; then
  echo "skipped: no $1; scripts/setup.sh --venv makes it"
  exit 77
fi
exec "$@"
