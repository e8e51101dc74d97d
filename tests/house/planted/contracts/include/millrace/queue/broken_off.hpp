// millrace/queue/broken_off.hpp - a planted header.
//
// Use it when : text.
// Use instead : text.
// Threads     : text.
// Order       : text.
// Progress    : text.
// Errors      : text.
// Exceptions  : text.
// Memory      : text.

// Source      : text.
// Checked by  : tests/queue/good_test.cpp
//
// Example:
//   code();
#pragma once
// planted: the contract lacks Cost
