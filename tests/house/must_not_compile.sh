#!/usr/bin/env bash
# must_not_compile.sh <root> <compiler> <source>...: each source must compile as it stands, and with
# MUST_NOT_COMPILE defined be refused for the reason that its line "// refused: <extended regular expression>"
# gives. The first half keeps the second from succeeding for some other reason.
set -uo pipefail
export LC_ALL=C
root=$1 compiler=$2
shift 2
failed=0

compile() { "$compiler" -std=c++20 -Wall -Wextra -Werror -I"$root/include" -fsyntax-only "$@" 2>&1; }
check() {
  local reason said
  reason=$(sed -n 's|^// refused: ||p' "$1")
  if [ -z "$reason" ]; then echo "names no reason"
  elif ! said=$(compile "$1"); then echo "does not compile as it stands"
  elif said=$(compile "$1" -DMUST_NOT_COMPILE); then echo "compiles"
  elif ! grep -qE "$reason" <<< "$said"; then echo "refused for another reason"
  else return; fi
  printf '%s\n' "${said-}" >&2
}

for source in "$@"; do
  wrong=$(check "$source")
  [ -z "$wrong" ] || { printf '%s: %s\n' "${source##*/}" "$wrong"; failed=1; }
done
exit $failed
