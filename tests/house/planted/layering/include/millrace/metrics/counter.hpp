#include <absl/status/status.h>
#include <fmt/format.h>

#include "millrace/core/heavy.hpp"
