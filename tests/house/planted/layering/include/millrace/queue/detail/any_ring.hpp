#include <atomic>
#include <mutex>  // planted: a ring core may not need mutex

#include "millrace/core/heavy.hpp"
