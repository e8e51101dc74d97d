// millrace/queue/stale.hpp - a planted header.
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
// Checked by  : tests/queue/good_test.cpp,
//               tests/queue/gone_test.cpp
//
// Example:
//   code();
#pragma once
// planted: checked by tests/queue/gone_test.cpp, which does not exist
