// The history of one execution under the model checker, judged exhaustively: is there an order of the operations,
// in keeping with who finished before whom began, in which a plain bounded FIFO would have given those answers?
//
// "Before" is the order of the execution's steps, also where loads read stale values: an operation that has
// returned is over for everybody.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "millrace/core/outcome.hpp"
#include "support/explore.hpp"

namespace explore {

enum class verb : std::uint8_t { push, pop, close };

class small_history {
 public:
  /// `exact_full`: full means `capacity` values; otherwise places may be held by others, and full is not judged.
  small_history(std::size_t capacity, bool exact_full) : capacity_(capacity), exact_full_(exact_full) {}

  /// Runs `f`, which does `v` and gives its outcome, and for a pop writes the value to its argument.
  template <class F>
  millrace::outcome record(verb v, std::uint64_t value, F f) {
    const std::size_t me = ops_.size();
    ops_.push_back({v, value, millrace::outcome::timeout, false, stamp(), {}});
    const millrace::outcome result = f(value);
    op& o = ops_[me];  // others have been added meanwhile
    o.value = value;
    o.result = result;
    o.done = true;
    o.end = stamp();
    return result;
  }

  /// To be called once every thread is done, from finish().
  void judge() {
    std::string key;
    for (const op& o : ops_) {
      key += {static_cast<char>(o.verb_), static_cast<char>(o.value), static_cast<char>(o.result)};
    }
    before_.assign(ops_.size(), 0);
    for (std::size_t b = 0; b < ops_.size(); ++b) {
      for (std::size_t a = 0; a < ops_.size(); ++a) {
        if (a != b && precedes(ops_[a], ops_[b])) before_[b] |= 1u << a;
      }
      key += std::string(reinterpret_cast<const char*>(&before_[b]), 2);
    }
    static std::unordered_set<std::string> known;  // most executions tell a story told before
    if (known.contains(key + static_cast<char>(capacity_) + static_cast<char>(exact_full_))) return;
    std::deque<std::uint64_t> queue;
    if (!search(0, queue, false)) detail::now().fail("not linearizable:" + story());
    known.insert(key + static_cast<char>(capacity_) + static_cast<char>(exact_full_));
  }

 private:
  struct moment {
    int thread = 0;
    std::uint64_t step = 0;
  };
  struct op {
    verb verb_;
    std::uint64_t value;
    millrace::outcome result;
    bool done;
    moment start;
    moment end;
  };

  static moment stamp() {
    const auto& e = detail::now();
    return {e.running, e.steps};
  }
  [[nodiscard]] static bool precedes(const op& a, const op& b) {
    if (!a.done) return false;
    if (a.end.thread == b.start.thread) return &a < &b;
    return a.end.step <= b.start.step;
  }

  bool search(std::uint32_t done, std::deque<std::uint64_t>& queue, bool closed) {
    if (done + 1 == 1u << ops_.size()) return true;
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      if ((done >> i & 1) != 0 || (before_[i] & ~done) != 0) continue;
      const op& o = ops_[i];
      using millrace::outcome;
      const std::uint32_t with = done | 1u << i;
      if (o.verb_ == verb::close) {
        if (search(with, queue, true)) return true;
      } else if (o.verb_ == verb::push && o.result == outcome::ok) {
        if (closed || queue.size() >= capacity_) continue;
        queue.push_back(o.value);
        if (search(with, queue, closed)) return true;
        queue.pop_back();
      } else if (o.verb_ == verb::pop && o.result == outcome::ok) {
        if (queue.empty() || queue.front() != o.value) continue;
        queue.pop_front();
        if (search(with, queue, closed)) return true;
        queue.push_front(o.value);
      } else {
        const bool fits = o.result == outcome::full ? !closed && (!exact_full_ || queue.size() == capacity_)
                          : o.result == outcome::empty  ? !closed && queue.empty()
                          : o.result == outcome::closed ? closed && (o.verb_ == verb::push || queue.empty())
                                                        : false;
        if (fits && search(with, queue, closed)) return true;
      }
    }
    return false;
  }

  [[nodiscard]] std::string story() const {
    std::string s;
    for (const op& o : ops_) {
      s += "\n    thread " + std::to_string(o.start.thread) + " steps " + std::to_string(o.start.step) + "-" +
           std::to_string(o.end.step) + ": " +
           (o.verb_ == verb::push ? "push " + std::to_string(o.value)
            : o.verb_ == verb::pop
                ? "pop " + (o.result == millrace::outcome::ok ? std::to_string(o.value) : "")
                : "close") +
           " -> " + (o.done ? millrace::to_string(o.result) : "never returned");
    }
    return s;
  }

  std::size_t capacity_;
  bool exact_full_;
  std::vector<op> ops_;
  std::vector<std::uint32_t> before_;
};

}  // namespace explore
