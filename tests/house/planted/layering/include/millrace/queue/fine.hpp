#include <memory>

#include "millrace/core/detail/shared.hpp"
#include "millrace/queue/detail/any_ring.hpp"
