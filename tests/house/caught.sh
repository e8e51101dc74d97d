#!/usr/bin/env bash
# caught.sh <planted> <check> [<argument>...]: runs a check over a tree of planted faults. The check must answer 1
# and say exactly what the lines "planted: <message>" of that tree expect, no more and no less. What it says about
# a file has the shape "<file>: <message>" or "<file>:<line>: <message>".
set -uo pipefail
planted=$1
shift
said=$("$@")
answer=$?
expected=$(cd "$planted" && grep -rE 'planted: ' . | sed -E 's|^\./||; s|:.*planted: |: |' | sort)
found=$(grep ': ' <<< "$said" | sed -E 's|^([^:]*):[0-9]+:|\1:|' | sort)
diff <(printf '%s\n' "$expected") <(printf '%s\n' "$found") || exit 1
[ $answer -eq 1 ] || { printf '%s answered %d\n' "$1" $answer; exit 1; }
printf 'caught: %s\n' "$found"
