#!/usr/bin/env bash
# registered.sh <root> <list>: every test and model under <root>/tests stands in the list of those that are built.
set -euo pipefail
cd "$1/tests"
left_out=$(find . -mindepth 2 -maxdepth 2 \( -name '*_test.cpp' -o -name '*_models.cpp' -o -name '*_model.cpp' \) |
           sed 's|^\./||' | sort | comm -23 - <(sort "$2"))
[ -z "$left_out" ] || { printf 'tests/%s: not registered in tests/CMakeLists.txt\n' $left_out; exit 1; }
