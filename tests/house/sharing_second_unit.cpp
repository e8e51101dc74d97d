#include "house/sharing_partner.hpp"

namespace sharing::second_unit {
const partner side = this_side;
}
