#!/usr/bin/env bash
# build.sh <compiler> <program>: builds main.cpp with what pkg-config says and nothing else, and runs it.
set -euo pipefail
cd "$(dirname "$0")"
# why eval: pkg-config escapes for a shell what has blanks.
eval "flags=($(pkg-config --cflags --libs millrace-core))"
"$1" -std=c++20 main.cpp "${flags[@]}" -o "$2"
"$2"
