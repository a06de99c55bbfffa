#!/usr/bin/env bash
# prepare.sh PYTHON VENV: a virtual environment and a C compiler, from Debian's packages where they
# are missing and may be installed; otherwise a sentence that says what to install.
set -euo pipefail
python=$1 venv=$2

missing=()
command -v cc >/dev/null || missing+=(build-essential)
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
"$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || missing+=(python3-dev)

if ((${#missing[@]})); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
    else
        echo "hubbub builds with a C compiler and Python's headers; please install: ${missing[*]}" >&2
        exit 1
    fi
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# Dependency groups (PEP 735) came with pip 25.1.
"$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
