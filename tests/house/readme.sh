#!/usr/bin/env bash
# readme.sh <README> <include> <compiler>: the program in the README compiles against the headers and prints what stands there.
set -uo pipefail
readme=$1 include=$2 compiler=$3
block() { awk -v open="\`\`\`$1" '$0 == open { inside = 1; next } inside && /^```/ { exit } inside' "$readme"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
block cpp >"$work/program.cpp"
block text >"$work/expected"
[ -s "$work/program.cpp" ] && [ -s "$work/expected" ] || { echo "README.md has no program, or no output of it"; exit 1; }
"$compiler" -std=c++20 -Wall -Wextra -Werror -I"$include" "$work/program.cpp" -o "$work/program" -pthread || exit 1
timeout 60 "$work/program" >"$work/printed" || { echo "the program ended with status $?"; exit 1; }
diff "$work/expected" "$work/printed" || { echo "the program prints something else (>) than stands in README.md (<)"; exit 1; }
