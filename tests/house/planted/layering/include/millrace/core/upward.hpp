#include <vector>
#include "millrace/queue/fine.hpp"  // planted: core may not include queue
#  include <fmt/format.h>           // planted: core may not include fmt
#include <sys/socket.h>             // planted: may not include sys/socket.h
#include "sibling.hpp"              // planted: may not include sibling.hpp
