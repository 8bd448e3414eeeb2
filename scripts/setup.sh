#!/usr/bin/env bash
# Installs what the project needs, only what is missing; a second run does nothing.
#   scripts/setup.sh           Debian packages (scripts/packages.txt); where nvcc is, --cudnn-frontend too
#   scripts/setup.sh --cudnn-frontend   the headers that the GPU part is built with, from their PyPI wheel
#   scripts/setup.sh --venv    Python packages of the scripts, in a virtual environment of their own: build/venv
#   scripts/setup.sh --torch   --venv, and PyTorch and transformers for the reload tests and the peer benchmark (700 MB)
set -euo pipefail
cd "$(dirname "$0")/.."

missing_packages() {
  sed 's/#.*//' scripts/packages.txt | while read -r package; do
    [ -z "$package" ] || dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian system; the build needs what scripts/packages.txt names" >&2
    return
  fi
  local missing as_root=()
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || ! { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      echo "setup: missing and not installable without root; ask for: apt-get install $missing" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "setup: installing $missing"
  "${as_root[@]}" apt-get update -qq
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >build/setup.log 2>&1 || {
    tail -5 build/setup.log >&2
    echo "setup: apt-get could not install: $missing (build/setup.log)" >&2
    exit 1
  }
}

# install_requirements FILE: unless the environment already holds exactly these.
install_requirements() {
  local list=scripts/$1 installed=build/venv/$1
  cmp -s "$list" "$installed" && return
  echo "setup: installing the Python packages of $list into build/venv"
  build/venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 30 --no-deps -r "$list" >build/pip.log 2>&1 || {
    echo "setup: pip could not install $list; is PyPI in reach? (build/pip.log)" >&2
    exit 1
  }
  cp "$list" "$installed"
}

make_venv() {
  [ -x build/venv/bin/pip ] || "$(command -v /usr/bin/python3 || command -v python3)" -m venv build/venv
  install_requirements requirements.txt
}

# Headers only; a wheel is a zip file.
fetch_cudnn_frontend() {
  local list=scripts/requirements-cudnn-frontend.txt place=build/cudnn-frontend
  cmp -s "$list" "$place/requirements.txt" && return
  [ -x build/venv/bin/pip ] || "$(command -v /usr/bin/python3 || command -v python3)" -m venv build/venv
  echo "setup: fetching the headers of $list into $place"
  rm -rf "$place" && mkdir -p "$place"
  build/venv/bin/python -m pip download --quiet --disable-pip-version-check --retries 2 --timeout 30 --no-deps -d "$place" -r "$list" &&
    build/venv/bin/python -m zipfile -e "$place"/*.whl "$place" && rm "$place"/*.whl && cp "$list" "$place/requirements.txt"
}

mkdir -p build
case "${1:-}" in
  '')
    install_packages
    if command -v nvcc >/dev/null; then
      fetch_cudnn_frontend || echo "setup: no cudnn-frontend (is PyPI in reach?): the GPU part will be left out" >&2
    fi ;;
  --cudnn-frontend) fetch_cudnn_frontend ;;
  --venv) make_venv ;;
  --torch)
    make_venv
    install_requirements requirements-torch.txt
    build/venv/bin/python scripts/cpu_torch.py ;;
  *)
    sed -n '2,6s/^# *//p' "$0"
    exit 2 ;;
esac
