// How things stand at a moment, and what has happened between two of them.
#pragma once

#include <vector>

#include "chance.hpp"
#include "millrace/delivery/circuit_breaker.hpp"

struct sample {
  count ms = 0;  // since the beginning of the sale
  // Now, orders that a group has still to see to:
  count backlog = 0;  // order-service
  count risk = 0;
  count analytics = 0;
  count late_audit = 0;
  bool is_audited = false;  // it is there
  millrace::circuit_state breaker = millrace::circuit_state::closed;
  // Since the beginning:
  count requests = 0;
  count accepted = 0;
  count drained = 0;  // orders that order-service has seen to
  count retries = 0;
  count dead = 0;
  count paid = 0;
  count cancelled = 0;
  // Nanoseconds, of the answers "accepted":
  count within_half = 0;  // half of them
  count within_99 = 0;
  count slowest = 0;
};

/// In a second.
inline count rate(const sample& from, const sample& to, count sample::* what) {
  return to.ms == from.ms ? 0 : (to.*what - from.*what) * 1000 / (to.ms - from.ms);
}

inline const char* name_of(millrace::circuit_state s) {
  switch (s) {
    case millrace::circuit_state::closed: return "closed";
    case millrace::circuit_state::open: return "open";
    case millrace::circuit_state::half_open: return "half-open";
  }
  return "";
}

using samples = std::vector<sample>;
constexpr count sample_every = 100;  // milliseconds
