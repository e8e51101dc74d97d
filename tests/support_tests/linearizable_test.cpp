// The checker of histories, on planted violations and against exhaustive search.
#include "support/linearizable.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/watched.hpp"

namespace {

using support::fault;
using support::fifo_checker;
using support::full_rule;
using support::history;
using support::operation;
using support::outcome;
using support::verb;

// ---- histories, written down ------------------------------------------------------------------------------

operation push(std::uint64_t value, std::uint64_t start, std::uint64_t end, outcome answer = outcome::ok) {
  return {start, end, value, 0, verb::push, answer};
}
operation pop(std::uint64_t value, std::uint64_t start, std::uint64_t end) {
  return {start, end, value, 1, verb::pop, outcome::ok};
}
operation pop_empty(std::uint64_t start, std::uint64_t end) {
  return {start, end, 0, 2, verb::pop, outcome::empty};
}
operation pop_closed(std::uint64_t start, std::uint64_t end) {
  return {start, end, 0, 3, verb::pop, outcome::closed};
}
operation close(std::uint64_t start, std::uint64_t end) {
  return {start, end, 0, 4, verb::close, outcome::ok};
}

fifo_checker::verdict judge(std::vector<operation> ops, std::size_t capacity = 8,
                            full_rule rule = full_rule::exact, bool drained = true) {
  fifo_checker checker;
  return checker.check({std::move(ops), capacity, rule, drained});
}

// ---- exhaustive search, which knows only what a queue is --------------------------------------------------

class brute_force {
 public:
  [[nodiscard]] bool accepts(const history& h) {
    h_ = &h;
    todo_.clear();
    if (!well_formed() || !end_of_stream()) return false;
    for (std::size_t i = 0; i < h.operations.size(); ++i) {
      const operation& op = h.operations[i];
      if (op.what == verb::close || (op.what == verb::push && op.answer == outcome::closed)) continue;
      if (op.what == verb::push && op.answer == outcome::full && h.full == full_rule::places) {
        if (!enough_places(op)) return false;
        continue;
      }
      todo_.push_back(&op);
    }
    queue_.clear();
    return any_order(false);
  }

 private:
  [[nodiscard]] bool well_formed() const {
    if (h_->capacity == 0) return false;
    std::map<std::uint64_t, int> pushed;
    for (const operation& op : h_->operations) {
      if (op.end < op.start) return false;
      if (op.what == verb::push && op.answer == outcome::ok && ++pushed[op.value] > 1) return false;
    }
    return true;
  }

  [[nodiscard]] bool end_of_stream() const {
    bool any_close = false;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    for (const operation& op : h_->operations) {
      if (op.what != verb::close) continue;
      from = any_close ? std::min(from, op.start) : op.start;
      to = any_close ? std::min(to, op.end) : op.end;
      any_close = true;
    }
    for (const operation& op : h_->operations) {
      if (op.what == verb::close) continue;
      if (op.answer == outcome::closed && (!any_close || op.end < from)) return false;
      if (op.what == verb::push && op.answer != outcome::closed && any_close && op.start > to) return false;
      if (op.what == verb::push && op.answer == outcome::full) {
        for (const operation& last : h_->operations) {
          if (last.what == verb::pop && last.answer == outcome::closed && last.end < op.start) return false;
        }
      }
    }
    return true;
  }

  // The definition of full_rule::places, instant by instant (half steps too, in doubled time).
  [[nodiscard]] bool enough_places(const operation& call) const {
    for (std::uint64_t t = 2 * call.start; t <= 2 * call.end; ++t) {
      if (places_at(t, call) >= h_->capacity) return true;
    }
    return false;
  }

  [[nodiscard]] std::size_t places_at(std::uint64_t t, const operation& call) const {
    const std::vector<operation>& ops = h_->operations;
    const auto meet = [](const operation& a, const operation& b) {
      return a.start <= b.end && b.start <= a.end;
    };
    std::size_t held = 0;
    std::uint64_t oldest = call.start;
    for (const operation& op : ops) {
      if (&op == &call || op.what != verb::push) continue;
      std::uint64_t until = op.end;
      if (op.answer == outcome::ok) {
        until = ~std::uint64_t{0} / 2;
        for (const operation& other : ops) {
          if (other.what == verb::pop && other.answer == outcome::ok && other.value == op.value)
            until = other.end;
        }
      }
      if (2 * op.start <= t && t <= 2 * until) {
        ++held;
        oldest = std::min(oldest, op.start);
      }
    }
    for (const operation& op : ops) {
      if (&op == &call || 2 * op.start > t || op.end < oldest) continue;
      bool met_push = false;
      bool met_pop = false;
      for (const operation& other : ops) {
        if (&other == &op || !meet(op, other)) continue;
        met_push = met_push || other.what == verb::push;
        met_pop = met_pop || other.what == verb::pop;
      }
      if (op.what == verb::push && met_push && met_pop) ++held;
      if (op.what == verb::pop && op.answer == outcome::ok && met_push && 2 * op.end < t) ++held;
    }
    return held;
  }

  bool any_order(bool ended) {
    if (todo_.empty()) return !h_->drained || queue_.empty();
    for (std::size_t i = 0; i < todo_.size(); ++i) {
      const operation* op = todo_[i];
      bool may_be_first = true;
      for (const operation* other : todo_) may_be_first = may_be_first && other->end >= op->start;
      if (!may_be_first || (ended && op->answer != outcome::closed)) continue;
      const std::deque<std::uint64_t> before = queue_;
      bool right = false;
      if (op->what == verb::push && op->answer == outcome::ok) {
        right = queue_.size() < h_->capacity;
        queue_.push_back(op->value);
      } else if (op->what == verb::push) {
        right = queue_.size() == h_->capacity;
      } else if (op->answer == outcome::ok) {
        right = !queue_.empty() && queue_.front() == op->value;
        if (right) queue_.pop_front();
      } else {
        // The end of the stream leaves nothing inside for ever, so nothing may be left now.
        right = queue_.empty();
      }
      if (right) {
        todo_.erase(todo_.begin() + static_cast<std::ptrdiff_t>(i));
        const bool yes = any_order(ended || op->answer == outcome::closed);
        todo_.insert(todo_.begin() + static_cast<std::ptrdiff_t>(i), op);
        if (yes) return true;
      }
      queue_ = before;
    }
    return false;
  }

  const history* h_ = nullptr;
  std::vector<const operation*> todo_;
  std::deque<std::uint64_t> queue_;
};

struct comparison {
  std::uint64_t histories = 0;
  std::uint64_t accepted = 0;
  std::uint64_t searched = 0;
  std::uint64_t mismatches = 0;
  std::map<fault, std::uint64_t> faults;
  std::string first_mismatch;

  void compare(const history& h) {
    const bool truth = brute_.accepts(h);
    const fifo_checker::verdict& v = checker_.check(h);
    ++histories;
    accepted += truth;
    searched += v.searched;
    ++faults[v.found];
    const bool proven = v.found == fault::none && support::replay(h, v.order).empty();
    const bool refused = v.found != fault::none && v.found != fault::undecided;
    if (truth ? proven : refused) return;
    if (mismatches++ == 0) {
      first_mismatch = std::string(truth ? "should be accepted" : "should be refused") + ", " + v.message +
                       '\n' + support::describe(h);
    }
  }

  void report(const char* name) const {
    std::string text = std::string(name) + ": " + std::to_string(histories) + " histories, " +
                       std::to_string(accepted) + " linearizable, " + std::to_string(searched) +
                       " searched, " + std::to_string(mismatches) + " mismatches";
    for (const auto& [f, count] : faults) {
      if (f != fault::none) text += std::string("; ") + to_string(f) + ' ' + std::to_string(count);
    }
    std::puts(text.c_str());
    INFO(first_mismatch);
    CHECK(mismatches == 0);
  }

 private:
  brute_force brute_;
  fifo_checker checker_;
};

// Lays the operations of `h` out in time in every way: all orders of their starts and ends. Operations of the
// same class (same kind[]) are interchangeable and begin in the order of the list.
void every_layout(history& h, const std::vector<int>& kind, const std::function<void()>& visit) {
  const std::size_t n = h.operations.size();
  std::vector<int> stage(n, 0);
  const std::function<void(std::uint64_t)> place = [&](std::uint64_t time) {
    if (time == 2 * n) return visit();
    for (std::size_t i = 0; i < n; ++i) {
      if (stage[i] == 2) continue;
      if (stage[i] == 0) {
        bool turn = true;
        for (std::size_t k = 0; k < i; ++k) turn = turn && (kind[k] != kind[i] || stage[k] != 0);
        if (!turn) continue;
        h.operations[i].start = time;
      } else {
        h.operations[i].end = time;
      }
      ++stage[i];
      place(time + 1);
      --stage[i];
    }
  };
  place(0);
}

// The histories of `pushes` accepted values, the first `pops` of them popped, with `empties` and `fulls`.
void every_history(std::size_t pushes, std::size_t pops, std::size_t empties, std::size_t fulls,
                   std::size_t capacity, full_rule rule, comparison& into) {
  history h{{}, capacity, rule, pushes == pops};
  std::vector<int> kind;
  for (std::uint64_t v = 0; v < pushes; ++v) {
    h.operations.push_back(push(v, 0, 0));
    kind.push_back(v < pops ? 0 : 1);
  }
  for (std::uint64_t v = 0; v < pops; ++v) {
    h.operations.push_back(pop(v, 0, 0));
    kind.push_back(-1 - static_cast<int>(v));
  }
  for (std::size_t i = 0; i < empties; ++i) {
    h.operations.push_back(pop_empty(0, 0));
    kind.push_back(2);
  }
  for (std::size_t i = 0; i < fulls; ++i) {
    h.operations.push_back(push(100 + i, 0, 0, outcome::full));
    kind.push_back(3);
  }
  every_layout(h, kind, [&] { into.compare(h); });
}

using random_bits = std::mt19937_64;

std::uint64_t below(random_bits& random, std::uint64_t n) { return random() % n; }

// What a perfect queue could have done: operations at instants of their own, stretched to intervals around
// them. The operations of one thread do not overlap.
history random_history(random_bits& random, std::size_t operations, std::size_t threads, std::size_t capacity,
                       full_rule rule, bool with_close) {
  history h{{}, capacity, rule, true};
  std::deque<std::uint64_t> queue;
  std::uint64_t value = 0;
  const std::uint64_t stretch = 1 + below(random, 12);
  const std::uint64_t pushes = 1 + below(random, 9);  // of ten
  const std::size_t closing = with_close ? below(random, operations + 1) : operations + 1;
  bool closed = false;
  std::uint64_t now = 20;
  std::vector<std::uint64_t> instant(threads, 0);
  std::vector<std::size_t> latest(threads, 0);
  const auto add = [&](verb what, outcome answer, std::uint64_t v) {
    now += below(random, 3);  // instants may coincide, and so may the ends
    const auto t = static_cast<std::uint32_t>(below(random, threads));
    operation op{now - below(random, stretch), now + below(random, stretch), v, t, what, answer};
    if (instant[t] != 0) {
      const std::uint64_t border = instant[t] + below(random, now - instant[t] + 1);
      operation& before = h.operations[latest[t]];
      before.end = std::min(before.end, border);
      op.start = std::max(op.start, border);
    }
    instant[t] = now;
    latest[t] = h.operations.size();
    h.operations.push_back(op);
  };
  const auto take = [&] {
    if (queue.empty()) {
      add(verb::pop, closed ? outcome::closed : outcome::empty, 0);
    } else {
      const std::uint64_t v = queue.front();
      queue.pop_front();
      add(verb::pop, outcome::ok, v);
    }
  };
  for (std::size_t i = 0; i < operations; ++i) {
    if (i == closing) {
      closed = true;
      add(verb::close, outcome::ok, 0);
    } else if (below(random, 10) < pushes) {
      const bool fits = queue.size() < capacity;
      if (fits && !closed) queue.push_back(value);
      add(verb::push, closed ? outcome::closed : fits ? outcome::ok : outcome::full, value++);
    } else {
      take();
    }
  }
  h.drained = below(random, 2) == 0;
  while (h.drained && !queue.empty()) take();
  return h;
}

void mutate(random_bits& random, history& h) {
  if (h.operations.empty()) return;
  operation& a = h.operations[below(random, h.operations.size())];
  operation& b = h.operations[below(random, h.operations.size())];
  switch (below(random, 8)) {
    case 0: std::swap(a.start, b.start), std::swap(a.end, b.end); break;
    case 1: a.end = a.start + below(random, 4); break;
    case 2: a.start += below(random, 4), a.end = std::max(a.start, a.end); break;
    case 3:
      if (a.what == b.what) std::swap(a.value, b.value);
      break;
    case 4:
      if (a.what == verb::pop) a.answer = a.answer == outcome::ok ? outcome::empty : outcome::ok;
      break;
    case 5:
      if (a.what == verb::push) a.answer = a.answer == outcome::ok ? outcome::full : outcome::ok;
      break;
    case 6: h.capacity = 1 + below(random, 3); break;
    default: h.operations.erase(h.operations.begin() + static_cast<std::ptrdiff_t>(&a - h.operations.data()));
  }
}

bool soak() {
  const char* wish = std::getenv("MILLRACE_SOAK");
  return wish != nullptr && std::string(wish) != "0";
}

}  // namespace

// ---- what is right ----------------------------------------------------------------------------------------

TEST_CASE("histories of a queue are accepted, with an order that replays") {
  const std::vector<std::vector<operation>> right = {
      {},
      {push(1, 1, 2), pop(1, 3, 4)},
      {push(1, 1, 9), pop(1, 2, 3)},
      {push(1, 1, 4), push(2, 2, 3), pop(2, 5, 8), pop(1, 6, 7)},  // either first, but agreed upon
      {pop_empty(1, 4), push(1, 2, 3), pop(1, 5, 6)},
      {push(1, 1, 2), pop_empty(3, 8), pop(1, 4, 5), push(2, 6, 7), pop(2, 9, 10)},
      {push(1, 1, 2), pop_empty(3, 4), pop(1, 4, 5)},  // the pop may be done at 4, before the other looks
      {push(1, 1, 2), close(3, 4), pop(1, 5, 6), pop_closed(7, 8), push(2, 9, 10, outcome::closed)},
      {close(1, 9), push(1, 2, 8), push(2, 3, 4, outcome::closed), pop(1, 5, 7), pop_closed(5, 6)},
  };
  fifo_checker checker;
  for (const std::vector<operation>& ops : right) {
    const history h{ops, 8, full_rule::exact, true};
    const fifo_checker::verdict& v = checker.check(h);
    INFO(v.message << '\n' << describe(h));
    CHECK(v);
    CHECK(support::replay(h, v.order).empty());
  }
}

TEST_CASE("full is accepted where the queue can have been full") {
  CHECK(judge({push(1, 1, 2), push(2, 3, 4, outcome::full), pop(1, 5, 6)}, 1));
  CHECK(judge({push(1, 1, 5), push(2, 2, 3, outcome::full), pop(1, 6, 7)}, 1));
  CHECK(judge({push(1, 1, 2), pop(1, 3, 8), push(2, 5, 6, outcome::full)}, 1));
  // Asked for at once: full, then empty, then full again.
  CHECK(judge({push(1, 1, 20), push(9, 1, 20, outcome::full), pop_empty(1, 20), pop(1, 1, 20),
               push(2, 10, 30), push(8, 19, 31, outcome::full), pop(2, 18, 32)},
              1));
}

// ---- what is wrong: each planted violation, by name -------------------------------------------------------

TEST_CASE("an accepted value that never comes out is lost") {
  CHECK(judge({push(1, 1, 2), push(2, 3, 4), pop(1, 5, 6)}).found == fault::lost);
  CHECK(judge({push(1, 1, 2), push(2, 3, 4), pop(1, 5, 6)}, 8, full_rule::exact, false));
}

TEST_CASE("a value popped twice is duplicated") {
  CHECK(judge({push(1, 1, 2), pop(1, 3, 4), pop(1, 5, 6)}).found == fault::duplicated);
}

TEST_CASE("a value that nobody pushed is invented") {
  CHECK(judge({push(1, 1, 2), pop(1, 3, 4), pop(7, 5, 6)}).found == fault::invented);
  CHECK(judge({push(1, 1, 2, outcome::full), pop(1, 3, 4)}).found == fault::invented);
}

TEST_CASE("a value popped before its push began is early") {
  CHECK(judge({pop(1, 1, 2), push(1, 3, 4)}).found == fault::early);
}

TEST_CASE("values that pass each other are reordered") {
  CHECK(judge({push(1, 1, 2), push(2, 3, 4), pop(2, 5, 6), pop(1, 7, 8)}).found == fault::reordered);
  CHECK(judge({push(1, 1, 2), push(2, 3, 4), pop(2, 5, 6)}, 8, full_rule::exact, false).found ==
        fault::reordered);
}

TEST_CASE("empty is false while a value stays inside") {
  CHECK(judge({push(1, 1, 2), pop_empty(3, 4), pop(1, 5, 6)}).found == fault::false_empty);
  CHECK(judge({push(1, 1, 2), pop_empty(3, 4)}, 8, full_rule::exact, false).found == fault::false_empty);
}

TEST_CASE("empty is false while different values cover different parts of the call") {
  const auto v = judge({push(1, 1, 2), pop_empty(3, 20), push(2, 4, 5), pop(1, 6, 7), push(3, 8, 9),
                        pop(2, 10, 11), pop(3, 21, 22)});
  CHECK(v.found == fault::false_empty);
  CHECK(v.message.find("push(1)") != std::string::npos);
  CHECK(v.message.find("push(2)") != std::string::npos);
  CHECK(v.message.find("push(3)") != std::string::npos);
  // One link less, and there is an instant.
  CHECK(judge({push(1, 1, 2), pop_empty(3, 20), push(2, 4, 9), pop(1, 6, 7), push(3, 10, 11), pop(2, 12, 13),
               pop(3, 21, 22)}));
}

TEST_CASE("more values inside than there are places is overfull") {
  CHECK(judge({push(1, 1, 2), push(2, 3, 4), push(3, 5, 6), pop(1, 7, 8), pop(2, 9, 10), pop(3, 11, 12)}, 2)
            .found == fault::overfull);
}

TEST_CASE("full is false while there is room") {
  const std::vector<operation> ops = {push(1, 1, 2), push(2, 3, 4, outcome::full), pop(1, 5, 6)};
  CHECK(judge(ops, 2).found == fault::false_full);
  CHECK(judge(ops, 2, full_rule::places).found == fault::false_full);
  CHECK(judge(ops, 1, full_rule::places));
}

TEST_CASE("places are held by operations in flight and by positions given up, and only by those") {
  // A popper still inside its call holds its cell; exactly, the queue has room.
  const std::vector<operation> popping = {push(1, 1, 2), push(2, 3, 4), pop(1, 5, 20),
                                          pop(2, 6, 7),  push(3, 8, 9), push(4, 10, 11, outcome::full),
                                          pop(3, 21, 22)};
  CHECK(judge(popping, 2, full_rule::places));
  CHECK(judge(popping, 2).found == fault::no_order);

  // A pusher that was refused in the end.
  const std::vector<operation> pushing = {push(1, 1, 9, outcome::full), push(2, 2, 3),
                                          push(3, 4, 5, outcome::full), pop(2, 10, 11)};
  CHECK(judge(pushing, 2, full_rule::places).found == fault::none);
  CHECK(judge(pushing, 3, full_rule::places).found == fault::false_full);

  // A popper that stood in its cell while a pusher came by, and has left: the position stays given up as long
  // as what was inside then is inside.
  const std::vector<operation> left = {push(1, 1, 2),
                                       push(2, 3, 4),
                                       pop(1, 5, 10),
                                       push(3, 7, 8, outcome::full),
                                       push(4, 12, 13, outcome::full),
                                       pop(2, 14, 15)};
  CHECK(judge(left, 2, full_rule::places).found == fault::none);
  const std::vector<operation> passed = {push(1, 1, 2),
                                         push(2, 3, 4),
                                         pop(1, 5, 10),
                                         push(3, 7, 8, outcome::full),
                                         pop(2, 11, 12),
                                         push(5, 13, 14),
                                         push(4, 15, 16, outcome::full),
                                         pop(5, 17, 18)};
  CHECK(judge(passed, 2, full_rule::places).found == fault::false_full);
}

TEST_CASE("nothing follows the end of the stream, and nothing is refused before it") {
  CHECK(judge({push(1, 1, 20), close(2, 3), pop_closed(4, 5), pop(1, 6, 7)}).found == fault::after_end);
  CHECK(judge({close(2, 3), pop_closed(4, 5), pop_empty(6, 7)}).found == fault::after_end);
  CHECK(judge({close(1, 2), push(1, 3, 4), pop(1, 5, 6)}).found == fault::accepted_closed);
  CHECK(judge({close(1, 2), push(1, 3, 4, outcome::full)}).found == fault::accepted_closed);
  CHECK(judge({push(1, 1, 2, outcome::closed), close(3, 4)}).found == fault::refused_open);
  CHECK(judge({pop_closed(1, 2), close(3, 4)}).found == fault::refused_open);
  CHECK(judge({pop_closed(1, 2)}).found == fault::refused_open);
  CHECK(judge({push(1, 1, 2), close(3, 4), pop_closed(5, 6)}, 8, full_rule::exact, false).found ==
        fault::lost);
}

TEST_CASE("a violation is told with the operations that make it") {
  const auto v = judge({push(1, 10, 20), push(2, 30, 40), pop(2, 50, 60), pop(1, 70, 80)});
  CHECK(v.message ==
        "reordered: thread 0 push(1) -> ok [10, 20] before thread 0 push(2) -> ok [30, 40], but "
        "thread 1 pop -> 2 [50, 60] before thread 1 pop -> 1 [70, 80]");
}

TEST_CASE("what is no history is refused") {
  CHECK(judge({push(1, 2, 1)}).found == fault::malformed);
  CHECK(judge({push(1, 1, 2), push(1, 3, 4)}).found == fault::malformed);
  CHECK(judge({push(1, 1, 2, outcome::empty)}).found == fault::malformed);
  CHECK(judge({push(1, 1, 2)}, 0).found == fault::malformed);
}

TEST_CASE("the replay refuses a certificate that proves nothing") {
  const history h{{push(1, 1, 2), push(2, 3, 4), pop(1, 5, 8), pop(2, 6, 9), pop_empty(10, 11)},
                  2,
                  full_rule::exact,
                  true};
  using order = std::vector<std::uint32_t>;
  CHECK(support::replay(h, order{0, 1, 2, 3, 4}).empty());
  CHECK_FALSE(support::replay(h, order{0, 1, 3, 2, 4}).empty());     // not first in, first out
  CHECK_FALSE(support::replay(h, order{0, 2, 1, 3, 4}).empty());     // against the clock
  CHECK_FALSE(support::replay(h, order{0, 1, 2, 3}).empty());        // one is missing
  CHECK_FALSE(support::replay(h, order{0, 1, 2, 3, 4, 4}).empty());  // one is twice there
  CHECK_FALSE(support::replay(h, order{0, 1, 2, 3, 5}).empty());     // one is not of the history
  const history small{h.operations, 1, full_rule::exact, true};
  CHECK_FALSE(support::replay(small, order{0, 1, 2, 3, 4}).empty());  // overfull
  const history more{{push(1, 1, 2), push(2, 3, 4, outcome::full)}, 2, full_rule::exact, false};
  CHECK_FALSE(support::replay(more, order{0, 1}).empty());  // there is room
}

// ---- against exhaustive search ----------------------------------------------------------------------------

TEST_CASE("every small history is judged as exhaustive search judges it") {
  comparison all;
  const std::size_t most = soak() ? 6 : support::watched ? 4 : 5;
  for (std::size_t pushes = 0; pushes <= most; ++pushes) {
    for (std::size_t pops = 0; pops <= std::min(pushes, most - pushes); ++pops) {
      for (std::size_t empties = 0; pushes + pops + empties <= most; ++empties) {
        for (std::size_t fulls = 0; pushes + pops + empties + fulls <= most; ++fulls) {
          for (std::size_t capacity = 1; capacity <= std::min<std::size_t>(pushes + 1, 3); ++capacity) {
            every_history(pushes, pops, empties, fulls, capacity, full_rule::exact, all);
            if (fulls != 0 && pushes + pops + empties + fulls < most) {
              every_history(pushes, pops, empties, fulls, capacity, full_rule::places, all);
            }
          }
        }
      }
    }
  }
  all.report("small histories");
}

TEST_CASE("three values, pushed and popped in every way") {
  comparison all;
  const std::size_t values = support::watched ? 2 : 3;
  every_history(values, values, 0, 0, 3, full_rule::exact, all);
  all.report("three values");
  CHECK(all.searched == 0);
}

TEST_CASE("random and mutated histories are judged as exhaustive search judges them") {
  const std::uint64_t seed = 20240817;
  const std::uint64_t rounds = soak() ? 4'000'000 : support::watched ? 20'000 : 150'000;
  random_bits random(seed);
  comparison all;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const std::size_t capacity = 1 + below(random, 3);
    const full_rule rule = below(random, 2) == 0 ? full_rule::exact : full_rule::places;
    history h = random_history(random, 2 + below(random, 7), 2 + below(random, 4), capacity, rule,
                               below(random, 3) == 0);
    all.compare(h);
    for (std::uint64_t m = 1 + below(random, 3); m > 0; --m) {
      mutate(random, h);
      all.compare(h);
    }
  }
  all.report("random histories");
  CHECK(all.accepted > all.histories / 10);
  CHECK(all.accepted < all.histories * 9 / 10);
  for (const fault f : {fault::invented, fault::duplicated, fault::early, fault::lost, fault::reordered,
                        fault::false_empty, fault::overfull, fault::false_full, fault::accepted_closed,
                        fault::refused_open, fault::after_end, fault::no_order}) {
    INFO(to_string(f));
    CHECK(all.faults[f] > 0);
  }
}

TEST_CASE("a queue without bound needs no search: the patterns are all there is") {
  random_bits random(7);
  comparison all;
  for (int i = 0; i < (support::watched ? 5'000 : 50'000); ++i) {
    history h =
        random_history(random, 2 + below(random, 6), 2 + below(random, 4), 1000, full_rule::exact, false);
    all.compare(h);
    mutate(random, h);
    h.capacity = 1000;
    std::erase_if(h.operations, [](const operation& op) { return op.answer == outcome::full; });
    all.compare(h);
  }
  all.report("unbounded histories");
  CHECK(all.searched == 0);
}

TEST_CASE("long histories of a perfect queue are accepted without giving up") {
  random_bits random(11);
  fifo_checker checker;
  std::uint64_t searched = 0;
  std::uint64_t operations = 0;
  const int rounds = support::watched ? 1'000 : 10'000;
  for (int i = 0; i < rounds; ++i) {
    const std::size_t threads = std::size_t{1} << below(random, 4);
    const std::size_t capacity = std::size_t{1} << below(random, 7);
    const history h = random_history(random, 400, threads, capacity, full_rule::exact, below(random, 2) == 0);
    const fifo_checker::verdict& v = checker.check(h);
    operations += h.operations.size();
    searched += v.searched;
    INFO(v.message << "; round " << i << ", threads " << threads << ", capacity " << capacity);
    CHECK(v);
  }
  std::printf("long histories: %d, %llu operations, %llu searched\n", rounds,
              static_cast<unsigned long long>(operations), static_cast<unsigned long long>(searched));
}
