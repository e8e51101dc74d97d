#!/usr/bin/env bash
# order_timeout.sh <program> [<its first arguments>...]: on the machine's clock too, where nobody can say who comes in
# time, the sums come out; and of wrong arguments it says what is right.
set -uo pipefail
program=("$@")
failures=0
# run <expected status> <sentence> [<argument>...]
run() {
  local expected=$1 sentence=$2 said status
  shift 2
  said=$(timeout 200 "${program[@]}" "$@" 2>&1)
  status=$?
  if [ $status -ne "$expected" ] || ! grep -qF -- "$sentence" <<<"$said"; then
    printf "FAILED: order_timeout %s: ended with status %d, not %d, or does not say '%s'\n%s\n" \
      "$*" $status "$expected" "$sentence" "$said"
    failures=$((failures + 1))
  fi
}

run 0 " 3600  paid + cancelled" --real
for wrong in "" --fake real -h; do run 2 "the only argument that it takes is --real" "$wrong"; done
run 2 "the only argument that it takes is --real" --real --real
exit $((failures > 0))
