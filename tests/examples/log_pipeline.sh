#!/usr/bin/env bash
# log_pipeline.sh <program> [<its first arguments>...]: the pipeline on every kind of input, good and hostile. What it
# finds is compared with what awk and wc find.
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
  [ ! -s out ] || sed 's/^/    out| /' out | head -n 12
  [ ! -s err ] || sed 's/^/    err| /' err | head -n 12
  failures=$((failures + 1))
}
# run <expected status> [<argument>...]: leaves out and err.
run() {
  local expected=$1 status
  shift
  case=${case%% <- *}" <- $*"
  timeout 300 "${program[@]}" "$@" >out 2>err
  status=$?
  [ $status -eq "$expected" ] || wrong "ended with status $status, not $expected"
  if [ $status -le 1 ] && [ -s err ]; then wrong "wrote to the standard error, which is no terminal"; fi
}
says() { grep -qF -- "$1" "${2:-out}" || wrong "does not say '$1'"; }
# figure <row>: the pipeline's figure. entry <title> <key>: how often it counted the key.
figure() { awk -v row="$1" '/one thread alone|its reader/ { here = 1 } here && $1 == row { gsub(",", "", $2); print $2 }' out; }
entry() { awk -v title="$1 (" -v key="$2" 'index($0, title) == 1 { here = 1; next } $0 == "" { here = 0 }
  here && $2 == key { gsub(",", "", $1); print $1 }' out; }
is() { [ "$2" = "$3" ] || wrong "$1 is '$2', not '$3'"; }
# counts <file>: lines, bytes and the longest line are what they are; a last line needs no end.
counts() {
  is lines "$(figure lines)" "$(awk 'END { print NR }' "$1")"
  is bytes "$(figure bytes)" "$(wc -c <"$1")"
  is longest "$(figure longest)" "$(LC_ALL=C awk '{ if (length > most) most = length } END { print most + 0 }' "$1")"
}
# top <awk program>: the eight most frequent of what it prints, as the report orders them.
top() { awk "$1" access.log | LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2,2 | head -n 8; }
access_log() {  # <lines>
  awk -v n="$1" 'BEGIN {
    srand(7)
    split("200 200 200 304 404 500", status); split("GET GET GET POST HEAD", method)
    for (i = 1; i <= n; ++i) {
      printf "192.0.2.%d - - [01/Mar/2024:10:00:00 +0000] \"%s /page/%d?q=%d HTTP/1.1\" %s %d \"-\" \"agent %0*d\"\n",
        1 + rand() * 99, method[1 + int(rand() * 5)], rand() * 500, i, status[1 + int(rand() * 6)], rand() * 9999,
        1 + rand() * 150, i
    }
  }'
}

case="an access log, by any number of workers and with any room"
access_log 30000 >access.log
for how in "" "--workers 1" "--workers 1 --capacity 1" "--workers 3 --capacity 2" "--workers 17" "--overflow block"; do
  run 0 access.log $how
  counts access.log
  says "Equal, in every line of the tables too: nothing was lost."
  says "lines of an access log: 30,000, of a package log: 0, others: 0, of these binary: 0"
  for code in 200 304 404 500; do
    is "status $code" "$(entry status $code)" "$(grep -c "\" $code " access.log)"
  done
  for verb in GET POST HEAD; do is "method $verb" "$(entry method $verb)" "$(grep -c "\"$verb " access.log)"; done
  while read -r n who; do is "source $who" "$(entry source "$who")" "$n"; done < <(top '{ print $1 }')
  while read -r n what; do is "path $what" "$(entry path "$what")" "$n"; done < <(top '{ sub(/[?].*/, "", $7); print $7 }')
done

case="the same log over and over"
run 0 access.log --repeat 7
is lines "$(figure lines)" 210000
is bytes "$(figure bytes)" $((7 * $(wc -c <access.log)))

case="standard input, a pipe and a FIFO: the reader's counts against the workers'"
run 0 - <access.log
counts access.log
says "Equal: nothing was lost after the reader."
run 0 <(cat access.log)
counts access.log
says "Equal: nothing was lost after the reader."

case="a package log"
for i in $(seq 500); do
  echo "2024-03-01 10:00:00 startup archives unpack"
  echo "2024-03-01 10:00:00 install first-$((i % 3)):all <none> 1.0"
  echo "2024-03-01 10:00:00 status half-installed first-$((i % 3)):all 1.0"
  echo "2024-03-01 10:00:00 conffile /etc/first.conf keep"
done >package.log
run 0 package.log
counts package.log
says "of a package log: 2,000, others: 0"
is "verb status" "$(entry verb status)" 500
is "verb conffile" "$(entry verb conffile)" 500
is "package first-1" "$(entry package first-1)" 334

case="no end of the last line"
printf 'one\ntwo\nthree' >noend
run 0 noend
counts noend
is "first word three" "$(entry 'first word' three)" 1
run 0 noend --repeat 3
is lines "$(figure lines)" 9
is "first word three" "$(entry 'first word' three)" 3

case="lines that end in CR LF"
sed 's/$/\r/' package.log >crlf
printf 'word\r\nword\n\r\n' >>crlf
run 0 crlf
counts crlf
is "package first-1" "$(entry package first-1)" 334
is "first word word" "$(entry 'first word' word)" 2

case="an empty file"
: >empty
run 0 empty
counts empty
run 0 - <empty

case="empty lines only"
printf '\n\n\n' >newlines
run 0 newlines
counts newlines

case="a binary file"
head -c 3000000 "${program[-1]}" >binary
run 0 binary
is bytes "$(figure bytes)" "$(wc -c <binary)"
is lines "$(figure lines)" "$(($(wc -l <binary) + $([ -z "$(tail -c 1 binary | tr -d '\n' | tr '\0' x)" ]; echo $?)))"
[ "$(LC_ALL=C tr -d ' -~\n' <out | wc -c)" -eq 0 ] || wrong "printed something that is not printable"

case="more than the memory that the program gets: a line of zeros without an end, and many lines"
usual=$(ulimit -S -d)
# Not under an emulator or a sanitizer, which need far more themselves.
if [ ${#program[@]} -eq 1 ] && ! grep -qE '__(asan|tsan)_init' "${program[0]}"; then ulimit -S -d 65536; fi
run 0 - --workers 2 < <(head -c 100000000 /dev/zero)
is lines "$(figure lines)" 1
is longest "$(figure longest)" 100000000
run 0 - --workers 2 < <(for i in {1..16}; do cat access.log; done)
is lines "$(figure lines)" 480000
case="more threads than there is room for"
[ "$(ulimit -S -d)" = "$usual" ] || { run 3 access.log --workers 200 && says "Resource temporarily unavailable" err; }
ulimit -S -d "$usual"

case="a line as long as a chunk, or nearly"
for length in 65534 65535 65536 65537 65538 131072 131073 200000; do
  long=$(head -c $length /dev/zero | tr '\0' x)
  printf 'before\n%s\nbehind\n%s' "$long" "$long" >long
  run 0 long
  counts long
  is "first word behind" "$(entry 'first word' behind)" 1
  printf '%s\n%s\n\n%s\n' "$long" "$long" "$long" >long
  run 0 long --workers 1 --capacity 1
  counts long
done

case="words that would steer the terminal"
printf '\033[2Jword \033]0;title\007\n\x9b31m\n' >escapes
run 0 escapes
[ "$(LC_ALL=C tr -d ' -~\n' <out | wc -c)" -eq 0 ] || wrong "printed something that is not printable"

case="more different words than a table takes"
seq 262144 >words
run 0 words
says "first word (262,144 different)"
echo one more >>words
run 0 words --workers 3
counts words
says "first word: more than 262,144 different ones"

case="a file that is called -"
echo other >-
run 0 - <access.log
counts access.log
run 0 ./-
counts ./-

case="a file of the kernel's, which has no size"
if [ -s /proc/version ] || [ -r /proc/version ]; then
  run 0 /proc/version
  is lines "$(figure lines)" 1
fi

case="a file that grows meanwhile"
cp access.log growing
while :; do printf 'another line without an end'; done >>growing &
grower=$!
for i in 1 2 3; do run 0 growing --workers 2; done
kill $grower
wait $grower 2>/dev/null

case="a policy that drops"
run 0 access.log --overflow drop_newest --capacity 1024
for policy in drop_newest drop_oldest; do
  timeout 300 "${program[@]}" access.log --repeat 5 --workers 1 --capacity 1 --overflow $policy >out 2>err
  status=$?
  dropped=$(awk '/dropped by the overflow policy/ { gsub(",", "", $1); print $1 }' out)
  is "$policy: lines found and dropped" $(($(figure lines) + ${dropped:-0})) 150000
  is "$policy: the status" $status "$([ -z "$dropped" ] && echo 0 || echo 1)"
done

case="what cannot be read"
run 3 missing
says "missing: No such file or directory" err
run 3 .
says ".: Is a directory" err
run 3 - <.
says "Is a directory" err
if [ -r /proc/self/mem ]; then run 3 /proc/self/mem && says "Input/output error" err; fi
cp access.log secret && chmod 000 secret
if [ ! -r secret ]; then run 3 secret && says "secret: Permission denied" err; fi

case="wrong arguments"
refused() { run 2 "${@:2}"; says "$1" err; [ ! -s out ] || wrong "printed a report"; }
refused "--workers must be 1 to 256" access.log --workers 0
refused "--workers must be 1 to 256" access.log --workers 257
refused "--workers must be 1 to 256" access.log --workers 3x
refused "--workers must be 1 to 256" access.log --workers
refused "--workers must be 1 to 256" access.log --workers 99999999999999999999
refused "--capacity must be 1 to 65536" access.log --capacity 65537
refused "--capacity must be 1 to 65536" access.log --capacity -1
refused "--repeat must be 1 to 1000000" access.log --repeat ""
refused "--overflow must be block, drop_newest or drop_oldest" access.log --overflow fail
refused "there is no option --color" access.log --color
refused "there must be one FILE" access.log access.log
refused "there must be one FILE" ""
refused "--repeat needs a file that can be read again" - --repeat 2
refused "--repeat needs a file that can be read again" <(cat access.log) --repeat 2

case="help, and a report that cannot be written"
run 0 --help
says "Exit status: 0"
if [ -c /dev/full ]; then
  timeout 300 "${program[@]}" access.log >/dev/full 2>err
  is status $? 3
  says "the report cannot be written" err
  timeout 300 "${program[@]}" --help >/dev/full 2>err
  is status $? 3
fi

case="a real access log"
real=$here/../../../shared/data/access.log
if [ -r "$real" ]; then
  run 0 "$real" --repeat 3
  is lines "$(figure lines)" $((3 * $(wc -l <"$real")))
  is "status 404" "$(entry status 404)" $((3 * $(grep -cE '" 404 [0-9-]+ "' "$real")))
fi

case="without arguments: a log of this machine"
if [ -s /var/log/dpkg.log ] || [ -s /var/lib/dpkg/status ]; then
  run 0
  says "nothing was lost"
fi

case="a terminal sees how far things are"
if script --version 2>/dev/null | grep -q util-linux; then
  # The pipe stays open until the progress has been seen.
  mkfifo pipe
  timeout 60 script -qec "$(printf '%q ' "${program[@]}") pipe" /dev/null >seen 2>&1 &
  watched=$!
  exec 3>pipe
  cat access.log >&3
  progress=
  while [ -z "$progress" ] && IFS= read -r -d $'\r' shown; do
    [[ $shown != *"30,000 lines in, "*" chunks waiting, "*" lines/s"* ]] || progress=seen
  done < <(timeout 60 tail -c +1 -f --pid=$watched seen)
  [ -n "$progress" ] || { : >out; wrong "no progress to be seen"; }
  exec 3>&-
  wait $watched || wrong "ended with status $?"
  grep -qF "nothing was lost" seen || wrong "no report to be seen"
else
  echo "skipped: $case (it takes the program 'script' of util-linux)"
fi

if [ $failures -gt 0 ]; then
  echo "$failures failed"
  exit 1
fi
