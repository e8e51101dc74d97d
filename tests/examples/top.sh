#!/usr/bin/env bash
# top.sh <program>...: into a pipe it prints a table, again and again, no escape sequences, and the sum at the end; it
# refuses what is no time; and on a terminal it redraws in place, and q ends it.
set -uo pipefail
program=("$@")
failed=0
wrong() { printf '%s\n' "$1"; failed=1; }

said=$("${program[@]}" 0.6) || wrong "top 0.6 ended with status $?"
tables=$(grep -c '^topic ' <<<"$said")
[ "$tables" -ge 3 ] || wrong "top 0.6 printed $tables tables instead of 3 or more"
for group in billing stock mail smtp; do
  grep -q " $group " <<<"$said" || wrong "there is no group $group"
done
if grep -q $'\x1b' <<<"$said"; then wrong "it sends escape sequences into a pipe"; fi
tail -n 1 <<<"$said" | grep -qE '^[0-9]+ orders = [0-9]+ mails sent \+ [0-9]+ cards declined$' ||
  wrong "it does not end with the sum"

for argument in 0 -1 x 3601; do
  "${program[@]}" "$argument" >/dev/null 2>&1
  [ $? -eq 2 ] || wrong "top $argument is not refused"
done

# script(1) lends a terminal.
if command -v script >/dev/null; then
  seen=$( printf q | timeout 60 script -qec "$(printf '%q ' "${program[@]}") 50" /dev/null) ||
    wrong "on a terminal it ended with status $?"
  grep -q $'\x1b\\[?1049h' <<<"$seen" || wrong "it takes no page of its own on a terminal"
  grep -q 'q: quit' <<<"$seen" || wrong "it does not say how to end it"
  grep -q 'cards declined' <<<"$seen" || wrong "q does not end it"
fi
exit $failed
