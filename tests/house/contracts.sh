#!/usr/bin/env bash
# contracts.sh <root>: every public header opens with its contract, all keys in order and none empty, then an
# example; it has a test of its own name, and the tests that its contract names exist.
set -euo pipefail
cd "$1"
failed=0
wrong() { printf '%s: %s\n' "$1" "$2"; failed=1; }

headers=$(find include/millrace -name '*.hpp' -not -path '*/detail/*' | sort)
[ -n "$headers" ] || wrong include/millrace "no public header found"

for header in $headers; do
  problem=$(awk -v path="${header#include/}" '
    function give_up(message) { print message; done = 1; exit }
    BEGIN {
      count = split("Use it when|Use instead|Threads|Order|Progress|Errors|Exceptions|Memory|Cost|Source|Checked by",
                    keys, "|")
      next_key = 1
    }
    NR == 1 && index($0, "// " path " - ") != 1 { give_up("does not open with \"// " path " - what it is\"") }
    !/^\/\// { give_up(next_key <= count ? "the contract lacks " keys[next_key] : "the contract lacks an example") }
    /^\/\/ Example[ :]/ {
      if (next_key <= count) give_up("the contract lacks " keys[next_key])
      done = 1
      exit
    }
    match($0, /^\/\/ [A-Z][a-z ]*:/) {
      key = substr($0, 4, RLENGTH - 4); sub(/ *$/, "", key)
      text = substr($0, RLENGTH + 4); gsub(/[ \t]/, "", text)
      for (k = 1; k <= count; k++) if (key == keys[k]) {
        if (k != next_key) give_up("the contract says " key " where " keys[next_key] " belongs")
        if (text == "") give_up("the contract says nothing under " key)
        next_key++
      }
    }
    END { if (!done) print "the contract does not end" }
  ' "$header")
  [ -z "$problem" ] || wrong "$header" "$problem"

  test=$(basename "$header" .hpp)_test.cpp
  compgen -G "tests/*/$test" >/dev/null || wrong "$header" "no tests/*/$test"

  for named in $(sed -n '/^[^/]/q; s|^// Checked by||; t on; b; :on; p; n; s|^//   *||; t on' "$header" |
                 grep -oE 'tests/[a-z_0-9/]+\.(cpp|hpp|sh)' || true); do
    [ -e "$named" ] || wrong "$header" "checked by $named, which does not exist"
  done
done
exit $failed
