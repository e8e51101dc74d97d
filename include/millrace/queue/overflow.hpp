// millrace/queue/overflow.hpp - what a push does when there is no room.
//
// Use it when : you make a bounded channel whose producers should not simply wait.
// Use instead : nothing; overflow::block is the default.
// Threads     : a plain value.
// Order       : drop_oldest and drop_newest leave the order of the others as it was.
// Progress    : under any policy but block a push is as lock-free as the queue; drop_newest and drop_oldest call the
//               user's handler.
// Errors      : see the enumerators.
// Exceptions  : none.
// Memory      : one byte.
// Cost        : a branch when the queue is full.
// Source      : the drop policies of log appenders and of RabbitMQ's x-overflow.
// Checked by  : tests/queue/channel_test.cpp, tests/models/channel_models.cpp
//
// Example:
//   millrace::channel<frame> latest(4, millrace::overflow::drop_oldest);
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// What a push does when the channel is full.
enum class overflow : std::uint8_t {
  block,        // waits for room; try_push answers full
  fail,         // answers full
  drop_newest,  // drops its own value, and answers ok
  drop_oldest,  // drops the oldest value in the channel to make room, and answers ok (full only if there is
                // none, because every place is held by an operation of a thread that stands still)
};

}  // namespace v0
}  // namespace millrace
