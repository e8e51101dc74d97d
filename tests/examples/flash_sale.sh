#!/usr/bin/env bash
# flash_sale.sh <program> [<its first arguments>...]: the books balance, whatever the seed and whoever comes; equal seeds
# give equal sales; it runs on the machine's clock too; and of wrong arguments it says what is right.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=("$@")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
case=

wrong() {
  printf 'FAILED: %s: %s\n' "$case" "$*"
  [ ! -s out ] || sed 's/^/    out| /' out | tail -n 24
  [ ! -s err ] || sed 's/^/    err| /' err | head -n 12
  failures=$((failures + 1))
}
# run <expected status> [<argument>...]: leaves out and err.
run() {
  local expected=$1 status
  shift
  case="flash_sale $*"
  timeout 200 "${program[@]}" "$@" >out 2>err
  status=$?
  [ $status -eq "$expected" ] || wrong "ended with status $status, not $expected"
}
says() { grep -qF -- "$1" "${2:-out}" || wrong "does not say '$1'"; }
is() { [ "$2" = "$3" ] || wrong "$1 is '$2', not '$3'"; }
# figure <row> <n>: the n-th number of a row of the books.
figure() { grep "^$1 " out | tr -d , | grep -oE '[0-9]+' | sed -n "$2p"; }
# balances: also by the figures that are printed.
balances() {
  says "The books balance."
  if grep -q WRONG out; then wrong "something is wrong all the same"; fi
  is "accepted" "$(figure "orders accepted" 1)" \
    $(($(figure "orders accepted" 2) + $(figure "orders accepted" 3) + $(figure "orders accepted" 4)))
  is "stock" "$(figure "pieces in stock" 1)" $(($(figure "pieces in stock" 2) + $(figure "pieces in stock" 3)))
  is "returned" "$(figure "pieces returned" 1)" \
    $(($(figure "orders accepted" 3) + $(figure "orders accepted" 4)))
  local group
  for group in order-service risk analytics late-audit; do
    is "what $group has seen" "$(figure "$group" 2)" "$(figure "orders accepted" 1)"
    is "what $group has done" "$(figure "$group" 3)" "$(figure "orders accepted" 1)"
  done
}
well_formed() {
  is "the first line of $1" "$(head -c 4 "$1")" "<svg"
  is "the last line of $1" "$(tail -n 1 "$1")" "</svg>"
  if command -v xmllint >/dev/null; then xmllint --noout "$1" || wrong "$1 is not well-formed"; fi
  if grep -qE 'nan|inf' "$1"; then wrong "$1 has numbers that are none"; fi
}

# Equal seeds, equal sales; of each kind of trouble there is some.
for seed in 1 18446744073709551615; do
  run 0 --virtual --seed $seed
  balances
  mv out first
  [ ! -s err ] || wrong "wrote to the standard error"
  run 0 --virtual --seed $seed
  cmp -s first out || wrong "the same seed has made another sale"
  cp out "of_$seed"
  grep -qE '^ *[0-9]+ .* open ' out || wrong "the breaker has never been open"
  for none in " 0 failed" " 0 times" " 0 without" " 0 declined" " 0 orders came twice" "opened 0 times" " 0 were in time" \
    " 0 were too late" "accepted, 0 of" " 0 too many" " 0 of buyers" " 0 when all was sold"; do
    if grep -qF -- "$none" out; then wrong "there were '$none'"; fi
  done
done
if cmp -s of_1 of_18446744073709551615; then wrong "the seed does not matter"; fi

# Small ones and odd ones.
for how in "--rate 1 --seconds 1 --stock 1" "--rate 7 --seconds 2" "--rate 3000 --seconds 3 --stock 1" \
  "--rate 200000 --seconds 1 --stock 1000"; do
  # shellcheck disable=SC2086
  run 0 --virtual $how
  balances
done
run 0 --virtual --rate 20000 --seconds 1 --stock 3000 --plot picture.svg
balances
well_formed picture.svg
for label in "rate (1/s)" "backlog (orders)" "time since the beginning of the sale (s)" "requests (1/s)" "provider dead"; do
  says "$label" picture.svg
done

# Who comes as in an access log.
run 0 --virtual --trace "$here/sample.log" --rate 1000 --stock 200 --plot picture.svg
balances
well_formed picture.svg
is "its requests" "$(grep -oE '^[0-9,]+ requests' out)" "3,500 requests"  # 7 lines in 5 s, 2 in the busiest one
awk 'BEGIN {
  split("Jan Feb Mar", month)
  for (i = 0; i < 3000; ++i) {
    printf "203.0.%d.%d - - [%02d/%s/2024:%02d:%02d:00 +0000] \"GET /%d HTTP/1.1\" 200 512 \"-\" \"%s\"\n", i % 50, i % 7,
      1 + i % 28, month[1 + i % 3], i % 24, i % 60, i, i % 10 ? "Mozilla/5.0" : "a bot"
  }
  print "and a line that is none"
}' >access.log
run 0 --virtual --trace access.log --seconds 2 --rate 50000 --stock 2000
balances
if grep -qF "accepted, 0 of blacklisted" out; then wrong "robots were let in"; fi

# In threads, on the machine's clock, where nobody can say what comes first.
run 0 --rate 4000 --seconds 1 --stock 1000 --plot picture.svg
balances
well_formed picture.svg
says '"accepted" was answered'
if script --version 2>/dev/null | grep -q util-linux; then
  case="a terminal sees a panel"
  timeout 200 script -qec "$(printf '%q ' "${program[@]}") --rate 500 --seconds 1 --stock 100" /dev/null >out 2>err ||
    wrong "ended with status $?"
  says $'\x1b[7A'
  says "The books balance."
else
  echo "skipped: a terminal sees a panel (it takes the program 'script' of util-linux)"
fi

run 0 --help
says "flash_sale [--virtual]"
# refused <status> <sentence> [<argument>...]
refused() {
  local sentence=$2
  run "$1" "${@:3}"
  says "$sentence" err
  [ ! -s out ] || wrong "has begun all the same"
}
for none in "" x 0 -1 1.5 1e3 200001 99999999999999999999999; do refused 2 "--rate must be 1 to 200000" --virtual --rate "$none"; done
refused 2 "--rate must be 1 to 200000" --virtual --rate
refused 2 "--seconds must be 1 to 30" --virtual --seconds 31
refused 2 "--seconds must be 1 to 30" --virtual --seconds 0
refused 2 "--stock must be 1 to 1000000" --virtual --stock 1000001
refused 2 "--seed must be 0 to 18446744073709551615" --virtual --seed 18446744073709551616
refused 2 "--trace must be followed by a file's name" --virtual --trace
refused 2 "--plot must be followed by a file's name" --virtual --plot ""
refused 2 "there is no option --fake" --virtual --fake
refused 2 "there is no option picture.svg" picture.svg
refused 3 "nothing-here: " --virtual --trace nothing-here
refused 3 "no line of an access log" --virtual --trace /dev/null
refused 3 "no-folder/picture.svg: " --virtual --plot no-folder/picture.svg
if [ -e /dev/full ]; then
  case="a full disk"
  timeout 200 "${program[@]}" --virtual --rate 100 --seconds 1 >/dev/full 2>err
  is status $? 3
  says "the report cannot be written" err
  run 3 --virtual --rate 100 --seconds 1 --plot /dev/full
fi

if [ $failures -gt 0 ]; then
  echo "$failures failed"
  exit 1
fi
