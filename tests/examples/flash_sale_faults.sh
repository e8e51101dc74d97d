#!/usr/bin/env bash
# flash_sale_faults.sh <program> [<its first arguments>...]: the sale over groups with planted faults (see planted/). The
# books must notice each of them, and must balance without them.
set -uo pipefail
program=("$@")
failures=0
# expect <status> <sentence> [<fault>]
expect() {
  local said status
  said=$(FAULT=${3-} timeout 200 "${program[@]}" --virtual --rate 10000 --seconds 1 --stock 3000)
  status=$?
  if [ $status -ne "$1" ] || ! grep -qx "$2" <<<"$said" || { [ "$1" -eq 1 ] && ! grep -q "WRONG" <<<"$said"; }; then
    echo "fault '${3-}': ended with status $status, not $1, or did not say '$2':"
    tail -n 20 <<<"$said"
    failures=$((failures + 1))
  fi
}

expect 0 "The books balance."
for fault in lost twice; do expect 1 "THE BOOKS DO NOT BALANCE." $fault; done
exit $((failures > 0))
