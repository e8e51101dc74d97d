#!/usr/bin/env bash
# include_cost.sh <root> <bounds> <compiler>: what each public header costs a translation unit that includes it and
# nothing else: lines after preprocessing (blank ones left out) and seconds to compile, against the bounds of a file
# of "<header> <lines> <seconds>". Every public header has its bound, and every bound its header.
set -euo pipefail
root=$1 bounds=$2 compiler=$3
failed=0
wrong() { printf '%s: %s\n' "$1" "$2"; failed=1; }
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
unit=$scratch/unit.cpp

lines() { "$compiler" -std=c++20 -I"$root/include" -E -P "$unit" | awk 'NF { n++ } END { print n + 0 }'; }
# Processor time, which a busy machine does not stretch as it does the clock on the wall.
milliseconds() {
  local TIMEFORMAT='%U %S' taken
  taken=$({ time "$compiler" -std=c++20 -I"$root/include" -fsyntax-only "$unit" >&3 2>&3; } 3>&2 2>&1)
  awk '{ printf "%d", ($1 + $2) * 1000 }' <<< "$taken"
}
seconds() { printf "%d.%03d" $(($1 / 1000)) $(($1 % 1000)); }

# The bounds on lines were taken with libstdc++ 12; another standard library may be up to twice as large.
factor=2
printf '#include <version>\n' > "$unit"
if grep -q 'define _GLIBCXX_RELEASE 12$' <<< "$("$compiler" -std=c++20 -E -dM "$unit")"; then factor=1; fi

printf '%-44s %8s %8s %8s %8s\n' header lines bound seconds bound
for header in $(cd "$root/include" && find millrace -name '*.hpp' -not -path '*/detail/*' | sort); do
  printf '#include "%s"\n' "$header" > "$unit"
  read -r most_lines most_ms < <(awk -v h="$header" '$1 == h { print $2, $3 * 1000; exit }' "$bounds"; echo 0 0)
  most_lines=$((most_lines * factor))
  found_lines=$(lines)
  # One measurement may still be disturbed; three say something.
  for _ in 1 2 3; do
    found_ms=$(milliseconds)
    if ((found_ms <= most_ms)); then break; fi
  done
  printf '%-44s %8d %8d %8s %8s\n' "$header" "$found_lines" "$most_lines" "$(seconds $found_ms)" "$(seconds $most_ms)"
  if ((most_lines == 0)); then
    wrong "include/$header" "no bound in ${bounds##*/}"
  else
    ((found_lines <= most_lines)) || wrong "include/$header" "more lines than its bound"
    ((found_ms <= most_ms)) || wrong "include/$header" "takes longer than its bound"
  fi
done
for header in $(awk '!/^#/ && NF { print $1 }' "$bounds"); do
  [ -e "$root/include/$header" ] || wrong "${bounds##*/}" "$header is not there"
done
exit $failed
