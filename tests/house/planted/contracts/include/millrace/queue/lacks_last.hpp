// millrace/queue/lacks_last.hpp - a planted header.
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
//
// Example:
//   code();
#pragma once
// planted: the contract lacks Checked by
