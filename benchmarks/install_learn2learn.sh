#!/usr/bin/env bash
# Install learn2learn 0.2.0 beside the torch that is there:   bash benchmarks/install_learn2learn.sh [python]
#
# `pip install learn2learn` fails on Python 3.11 and later (its C files come from an old Cython: "longintrepr.h: No such file") and would
# replace torch. So: its source distribution without dependencies, the C files made anew. Needs a C compiler. The package itself still
# does not import, since it asks for gym and torchvision; the benchmark loads the one module it compares, learn2learn.algorithms.maml.
set -euo pipefail
python=$(command -v "${1:-python}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m pip install --quiet "cython==3.3.1" setuptools wheel
cd "$scratch"
"$python" -m pip download --quiet --no-deps --no-build-isolation --no-binary learn2learn learn2learn==0.2.0
tar -xzf learn2learn-0.2.0.tar.gz
cd learn2learn-0.2.0
rm learn2learn/data/*.c
"$python" setup.py build_ext --inplace >build.log 2>&1 || { cat build.log >&2; exit 1; }
"$python" -m pip install --quiet --no-deps --no-build-isolation .
"$python" -m pip list 2>/dev/null | grep learn2learn
