#include "house/sharing_partner.hpp"

namespace sharing::library {
const partner& side() { return this_side; }
}  // namespace sharing::library
