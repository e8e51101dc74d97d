// What a contender is in a comparison.
#pragma once

namespace bench {

enum class role : unsigned char {
  ours,            // every ratio of its cells is to this one
  variant,         // ours with another option
  peer,            // a target is measured against the best of these
  lock_free_peer,  // and of these; the best of them is named apart, as it gives the same guarantee as ours
  reference,       // shown, but compared with by no target
};
inline bool is_peer(role r) { return r == role::peer || r == role::lock_free_peer; }

}  // namespace bench
