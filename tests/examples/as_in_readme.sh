#!/usr/bin/env bash
# as_in_readme.sh <README> <section> <program> [<argument>...]: the program succeeds and prints the block that stands
# in the section "## <section>". Figures that differ from run to run (checksum, seconds, MB/s) may differ.
set -uo pipefail
readme=$1 section=$2
shift 2

expected=$(awk -v title="## $section" '
  /^## / { here = $0 == title }
  here && /^```/ { if (inside) exit; inside = 1; next }
  here && inside' "$readme")
[ -n "$expected" ] || { echo "$readme has no block of output in the section $section"; exit 1; }

printed=$("$@")
status=$?
[ $status -eq 0 ] || { echo "$section ended with status $status"; exit 1; }

any_figures() { sed -E '/^(checksum|seconds|MB\/s) /s/[0-9.]+/0/g; s/ +/ /g'; }
diff <(any_figures <<<"$expected") <(any_figures <<<"$printed") ||
  { echo "$section prints something else (>) than stands in $readme (<)"; exit 1; }
