// millrace/queue/lacks_order.hpp - a planted header.
//
// Use it when : text.
// Use instead : text.
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
// planted: the contract says Progress where Order belongs
