#!/usr/bin/env bash
# passive.sh <scratch> <subject> <target,...> [<cmake argument>...]: configures the host of passive/ around a project,
# and prints what the project changed for it. Answers 0 for nothing, 1 for something, 2 if it did not configure.
set -uo pipefail
scratch=$1
rm -rf "$scratch"
log=$(cmake -S "$(dirname "$0")/passive" -B "$scratch" "-DSUBJECT=$2" "-DTARGETS=${3//,/;}" "${@:4}" 2>&1) ||
  { printf '%s\n' "$log"; exit 2; }
report=$(cat "$scratch/passive_report")
[ -z "$report" ] || { printf '%s\n' "$report"; exit 1; }
