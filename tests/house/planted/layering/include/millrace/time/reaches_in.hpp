#include "millrace/queue/detail/any_ring.hpp"  // planted: private to queue: millrace/queue/detail/any_ring.hpp
#include "millrace/testing/recorder.hpp"       // planted: time may not include testing
