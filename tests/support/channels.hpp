// What the tests of channels share: the queues to run them over, and a seam at which sleepers are met.
#pragma once

#include <chrono>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace support {

template <class T>
using watched_mpmc = millrace::mpmc_queue<T, millrace::use_sync<watching_sync>>;
template <class T>
using watched_spsc = millrace::spsc_queue<T, millrace::use_sync<watching_sync>>;

#define ALL_QUEUES mpmc_queue<int>, mpmc_queue<block>, spsc_queue<int>, spsc_queue<block>
#define ALL_WATCHED watched_mpmc<int>, watched_mpmc<block>, watched_spsc<int>, watched_spsc<block>

template <class Queue, class Clock = std::chrono::steady_clock>
using channel_over = millrace::channel<typename Queue::value_type, Queue, Clock>;

}  // namespace support
