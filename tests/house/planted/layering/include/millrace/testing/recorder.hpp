#include "millrace/time/reaches_in.hpp"
