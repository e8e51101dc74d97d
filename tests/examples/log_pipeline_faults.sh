#!/usr/bin/env bash
# log_pipeline_faults.sh <program> [<its first arguments>...]: the pipeline over a channel with planted faults (see
# planted/). The proof must notice each of them, with a file and with a pipe, and must hold without them.
set -uo pipefail
program=("$@")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
seq 100000 >log

failures=0
# expect <status> <sentence> [<fault>]
expect() {
  local how status
  for how in log -; do
    FAULT=${3-} "${program[@]}" $how <log >out
    status=$?
    if [ $status -ne "$1" ] || ! grep -q "^$2" out; then
      echo "fault '${3-}', reading $how: ended with status $status, not $1, or did not say '$2':"
      tail -n 2 out
      failures=$((failures + 1))
    fi
  done
}

expect 0 "Equal"
for fault in lost twice changed cut; do expect 1 "NOT EQUAL" $fault; done
exit $((failures > 0))
