// millrace/queue/swapped.hpp - a planted header.
//
// Use it when : text.
// Use instead : text.
// Order       : text.
// Threads     : text.
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
// planted: the contract says Order where Threads belongs
