#include "millrace/metrics/counter.hpp"

#include <fmt/format.h>

#include "millrace/queue/fine.hpp"  // planted: metrics may not include queue
