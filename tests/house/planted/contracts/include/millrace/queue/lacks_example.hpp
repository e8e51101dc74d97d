// millrace/queue/lacks_example.hpp - a planted header.
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
#pragma once
// planted: the contract lacks an example
