#include <cstdint>
#include <thread>  // planted: a ring core may not need thread
