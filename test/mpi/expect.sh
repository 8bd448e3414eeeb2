#!/bin/sh
# expect.sh CODE TEXT COMMAND…: the command ends with exit code CODE, and exactly one line of its output says "error: "
# and holds TEXT.
code=$1 text=$2
shift 2
output=$("$@" 2>&1)
got=$?
errors=$(printf '%s\n' "$output" | grep -c 'error: ')
if [ "$got" = "$code" ] && [ "$errors" = 1 ] && printf '%s\n' "$output" | grep 'error: ' | grep -qF "$text"; then
  exit 0
fi
printf 'exit code %s, expected %s; %s error lines, expected one with "%s". The output:\n%s\n' \
  "$got" "$code" "$errors" "$text" "$output"
exit 1
