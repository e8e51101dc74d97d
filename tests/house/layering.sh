#!/usr/bin/env bash
# layering.sh <root>: every include of <root>/include and <root>/src against the plan of the rooms.
set -euo pipefail
cd "$1"
mapfile -t files < <(find include src \( -name '*.hpp' -o -name '*.cpp' \) | sort)
awk '
  # room(name, the rooms it may use, what its headers may take from outside the standard library)
  function room(name, rooms, packages) { known[name]; uses[name] = " " name " " rooms " "; takes[name] = packages }
  function wrong(message) { printf "%s:%d: %s\n", FILENAME, FNR, message; failed = 1 }

  BEGIN {
    room("core")
    room("queue", "core")
    room("time", "core queue")
    room("topic", "core queue")
    room("delivery", "core queue time topic")
    room("flow", "core queue time topic delivery")
    room("metrics", "core", "absl fmt")
    room("bus", "core queue time topic delivery flow metrics", "absl fmt")
    room("testing", "core queue time topic delivery flow metrics bus", "absl fmt")

    # Where the library meets the system: the seam, what takes memory from it by the page, and what event loops know.
    system_headers["include/millrace/core/sync.hpp"]
    system_headers["include/millrace/core/detail/event_fd.hpp"]
    system_headers["include/millrace/core/detail/pages.hpp"]

    # What model checkers from outside can be expected to replace; the rings take nothing else.
    split("atomic cstddef cstdint type_traits new utility concepts bit optional array span limits cstring", list, " ")
    for (i in list) checkable[list[i]]
  }

  FNR == 1 {
    files[FILENAME]
    in_source = FILENAME ~ /^src\//
    if (in_source) {
      # A source file belongs to the room of the header that it implements.
      name = FILENAME; sub(/.*\//, "", name); sub(/\.cpp$/, ".hpp", name)
      here = ""
      ("find include -name " name) | getline here
    } else {
      here = FILENAME
    }
    sub(/^include\/millrace\//, "", here); sub(/\/.*/, "", here)
    lost = !(here in known)
    if (lost) wrong("belongs to no room")
  }

  !lost && /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    what = $0; sub(/^[^<"]*[<"]/, "", what); sub(/[>"].*/, "", what)
    split(what, part, "/")
    n = ++includes[FILENAME]
    included[FILENAME, n] = what
    line_of[FILENAME, n] = FNR

    if (part[1] == "millrace") {
      if (index(uses[here], " " part[2] " ") == 0) wrong(here " may not include " part[2])
      if (what ~ /\/detail\// && part[2] != here && part[2] != "core") wrong("private to " part[2] ": " what)
    } else if (what ~ /^[a-z_]+$/) {
      # the standard library
    } else if (part[1] == "absl" || part[1] == "fmt") {
      if (!in_source && index(" " takes[here] " ", " " part[1] " ") == 0) wrong(here " may not include " part[1])
    } else if (!(FILENAME in system_headers)) {
      wrong("may not include " what)
    }
  }

  # Everything that a ring core pulls in, by whatever way.
  function walk(file, ring,    i, what) {
    if ((ring, file) in seen) return
    seen[ring, file]
    for (i = 1; i <= includes[file]; i++) {
      what = included[file, i]
      if (what ~ /^millrace\//) walk("include/" what, ring)
      else if (!(what in checkable)) {
        printf "%s:%d: a ring core may not need %s\n", file, line_of[file, i], what
        failed = 1
      }
    }
  }
  END {
    for (file in files) if (file ~ /\/queue\/detail\/.*_ring\.hpp$/) { rings++; walk(file, file) }
    if (rings == 0) { print "no ring core found under include/millrace/queue/detail"; failed = 1 }
    exit failed
  }
' "${files[@]}"
