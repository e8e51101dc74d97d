// millrace/queue/another.hpp - a planted header.
//
// Use it when : text.
// Use instead : text.
// Threads     : text.
// Order       : text.
// Progress    : text.
// Errors      : text.
// Exceptions  : text.
// Memory      : text.
// Cost        : text.
// Source      : text.
// Checked by  : tests/queue/good_test.cpp
//
// Example:
//   code();
#pragma once
// planted: does not open with "// millrace/queue/other_name.hpp - what it is"
