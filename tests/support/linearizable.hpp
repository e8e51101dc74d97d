// Decides whether a recorded history of a FIFO queue is linearizable, and proves its answer.
//
// A history is a list of operations, each with the interval of time in which it ran. It is linearizable if
// every operation can be given an instant inside its interval so that a plain queue, doing them one by one at
// those instants, gives the same answers. Values are unique, which makes the question easy (O(n log n)):
//
//   accepted    an order of all operations was found. The order is the certificate: replay() runs it on a
//               std::deque and compares it with the clock, and knows nothing of how it was found.
//   refused     one of a few patterns is there, each of which is impossible in any order: see `fault`. The
//               patterns are those of T. Henzinger, A. Sezgin & V. Vafeiadis (Aspect-oriented
//               linearizability proofs, CONCUR 2013), and two more for a bounded queue.
//   neither     happens only where the bound matters (capacity, exact `full`): an exhaustive search
//               decides, or gives up after `search_budget` steps and says so.
//
// Which answers of `full` are right is for the caller to choose, see full_rule. The end of the stream: once a
// pop has answered closed, nothing but closed may follow, and nothing may be left inside; whoever pushes
// after close() has returned must hear closed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/detail/fifo_search.hpp"
#include "support/detail/fifo_walk.hpp"
#include "support/detail/timeline.hpp"
#include "support/fifo_history.hpp"

namespace support {

/// Reusable: its buffers grow to the size of the largest history and stay.
class fifo_checker {
 public:
  struct verdict {
    fault found = fault::none;
    std::string message;               // names the operations; empty when nothing was found
    std::vector<std::uint32_t> order;  // the certificate
    bool searched = false;             // the search had to decide
    [[nodiscard]] explicit operator bool() const noexcept { return found == fault::none; }
  };

  /// In states that the search may visit: seconds, and hundreds of megabytes.
  std::size_t search_budget = 2'000'000;

  fifo_checker() = default;
  fifo_checker(const fifo_checker&) = delete;  // its parts refer to each other
  fifo_checker& operator=(const fifo_checker&) = delete;

  [[nodiscard]] const verdict& check(const history& h) {
    verdict_.found = fault::none;
    verdict_.message.clear();
    verdict_.order.clear();
    verdict_.searched = false;
    history_ = &h;
    if (load() && judge_end() && judge_places()) find_order();
    return verdict_;
  }

 private:
  using life = detail::life;
  using task = detail::task;
  static constexpr std::uint64_t never = detail::never;
  static constexpr std::uint32_t nobody = detail::nobody;

  [[nodiscard]] const operation& op(std::uint32_t index) const { return history_->operations[index]; }

  bool found(fault f, std::string message) {
    verdict_.found = f;
    verdict_.message = std::string(to_string(f)) + ": " + std::move(message);
    verdict_.order.clear();
    return false;
  }

  // ---- reading the history -------------------------------------------------------------------------------

  static bool possible(const operation& o) {
    if (o.end < o.start || o.end == never) return false;
    switch (o.what) {
      case verb::push:
        return o.answer == outcome::ok || o.answer == outcome::full || o.answer == outcome::closed;
      case verb::pop:
        return o.answer == outcome::ok || o.answer == outcome::empty || o.answer == outcome::closed;
      case verb::close: return o.answer == outcome::ok;
    }
    return false;
  }

  bool load() {
    const std::vector<operation>& ops = history_->operations;
    time_.clear(history_->capacity);
    first_closed_ = nobody;
    close_start_ = close_end_ = never;
    if (history_->capacity == 0) return found(fault::malformed, "capacity 0");
    std::size_t pushes = 0;
    for (std::uint32_t i = 0; i < ops.size(); ++i) {
      if (!possible(ops[i])) return found(fault::malformed, describe(ops[i]));
      pushes += ops[i].what == verb::push && ops[i].answer == outcome::ok;
      if (ops[i].what == verb::close) {
        close_start_ = std::min(close_start_, ops[i].start);
        close_end_ = std::min(close_end_, ops[i].end);
      }
      if (ops[i].what == verb::pop && ops[i].answer == outcome::closed) {
        if (first_closed_ == nobody || ops[i].end < op(first_closed_).end) first_closed_ = i;
      }
    }
    // Whatever is not `closed` comes before the first answer that is, so it cannot take effect after it.
    const std::uint64_t limit = first_closed_ == nobody ? never : op(first_closed_).end;

    table_.reset(pushes);
    for (std::uint32_t i = 0; i < ops.size(); ++i) {
      if (ops[i].what != verb::push || ops[i].answer != outcome::ok) continue;
      const auto place = static_cast<std::uint32_t>(time_.lives.size());
      const std::uint32_t other = table_.insert(ops[i].value, place);
      if (other != place) {
        return found(fault::malformed, describe(ops[i]) + " and " + describe(op(time_.lives[other].push)));
      }
      life l{};
      l.push_start = ops[i].start;
      l.push_end = std::min(ops[i].end, limit);
      l.push = i;
      time_.lives.push_back(l);
    }
    for (std::uint32_t i = 0; i < ops.size(); ++i) {
      if (ops[i].what == verb::pop && ops[i].answer == outcome::ok) {
        const std::uint32_t place = table_.find(ops[i].value);
        if (place == nobody) return found(fault::invented, describe(ops[i]));
        life& l = time_.lives[place];
        if (l.pop != nobody)
          return found(fault::duplicated, describe(op(l.pop)) + " and " + describe(ops[i]));
        if (ops[i].end < l.push_start) {
          return found(fault::early, describe(ops[i]) + " but " + describe(op(l.push)));
        }
        l.pop_start = ops[i].start;
        l.pop_end = std::min(ops[i].end, limit);
        l.pop = i;
      }
    }
    if (history_->drained || first_closed_ != nobody) {
      for (const life& l : time_.lives) {
        if (l.pop == nobody) return found(fault::lost, describe(op(l.push)));
      }
    }
    return true;
  }

  // ---- the end of the stream -----------------------------------------------------------------------------

  bool judge_end() {
    const operation* end = first_closed_ == nobody ? nullptr : &op(first_closed_);
    for (const operation& o : history_->operations) {
      if (o.what == verb::close) continue;
      if (o.answer == outcome::closed) {
        if (o.end < close_start_) return found(fault::refused_open, describe(o));
      } else {
        if (o.what == verb::push && o.start > close_end_) return found(fault::accepted_closed, describe(o));
        if (end != nullptr && o.start > end->end) {
          return found(fault::after_end, describe(o) + " after " + describe(*end));
        }
      }
    }
    return true;
  }

  // ---- full, by the places that are held -----------------------------------------------------------------

  bool judge_places() {
    if (history_->full == full_rule::exact) return true;
    held_.clear();
    bool any = false;
    for (const life& l : time_.lives) held_.push_back({l.push_start, l.pop_end});
    for (const operation& o : history_->operations) {
      if (o.what != verb::push || o.answer == outcome::ok) continue;
      held_.push_back({o.start, o.end});
      any = any || o.answer == outcome::full;
    }
    if (!any) return true;
    // One more than the capacity, as the call that is judged holds no place.
    deepest(held_, history_->capacity + 1);
    for (const operation& o : history_->operations) {
      if (o.what != verb::push || o.answer != outcome::full) continue;
      if (!meets(o) && !given_up(o)) {
        return found(fault::false_full,
                     describe(o) + " with fewer than " + std::to_string(history_->capacity) + " places held");
      }
    }
    return true;
  }

  struct interval {
    std::uint64_t start;
    std::uint64_t end;
  };

  // Fills runs_ with the times at which at least `depth` of the (closed) intervals hold at once.
  void deepest(const std::vector<interval>& all, std::size_t depth) {
    starts_.clear();
    ends_.clear();
    runs_.clear();
    for (const interval& i : all) {
      starts_.push_back(i.start);
      ends_.push_back(i.end);
    }
    std::sort(starts_.begin(), starts_.end());
    std::sort(ends_.begin(), ends_.end());
    std::size_t open = 0;
    std::size_t gone = 0;
    for (std::size_t s = 0; s < starts_.size(); ++s) {
      while (ends_[gone] < starts_[s]) {
        if (open-- == depth) runs_.back().end = ends_[gone];
        ++gone;
      }
      if (++open == depth) runs_.push_back({starts_[s], never});
    }
    for (; gone < ends_.size(); ++gone) {
      if (open-- == depth) runs_.back().end = ends_[gone];
    }
  }

  [[nodiscard]] bool meets(const operation& o) const {
    const auto run = std::lower_bound(runs_.begin(), runs_.end(), o.start,
                                      [](const interval& r, std::uint64_t t) { return r.end < t; });
    return run != runs_.end() && run->start <= o.end;
  }

  // A position is given up when a pusher meets a thread still standing in its cell: a popper that has not
  // left yet, or a pusher that a popper would not wait for. The position stays in the way, also of a thread
  // that has long left, until the head passes it; until then the oldest value that was inside at the time
  // still is. So at instant t an operation may have left one such position if it began before t, ended after
  // that oldest value (or the call `o` itself) began, and overlapped a push, and a pop too if it is a push
  // itself. Rare, and therefore plain: every instant of the call, every operation.
  [[nodiscard]] bool given_up(const operation& o) {
    for (const operation& event : history_->operations) {
      for (const std::uint64_t t : {event.start, event.end}) {
        if (t >= o.start && t <= o.end && held_at(t, o) >= history_->capacity) return true;
      }
    }
    return false;
  }

  [[nodiscard]] std::size_t held_at(std::uint64_t t, const operation& o) const {
    const std::vector<operation>& ops = history_->operations;
    const auto refused = [](const operation& x) { return x.what == verb::push && x.answer != outcome::ok; };
    const auto overlaps = [&](const operation& x, verb what) {
      return std::any_of(ops.begin(), ops.end(), [&](const operation& y) {
        return &x != &y && y.what == what && y.start <= x.end && x.start <= y.end;
      });
    };
    std::size_t held = 0;
    std::uint64_t oldest = o.start;
    for (const life& l : time_.lives) {
      if (l.push_start > t || l.pop_end < t) continue;
      ++held;
      oldest = std::min(oldest, l.push_start);
    }
    for (const operation& x : ops) {
      if (&x == &o || !refused(x) || x.start > t || x.end < t) continue;
      ++held;
      oldest = std::min(oldest, x.start);
    }
    for (const operation& x : ops) {
      if (&x == &o || x.start > t || x.end < oldest || !overlaps(x, verb::push)) continue;
      if (x.what == verb::push) {
        held += overlaps(x, verb::pop);
      } else if (x.what == verb::pop && x.answer == outcome::ok) {
        held += x.end < t;  // still there, it is counted with its value
      }
    }
    return held;
  }

  // ---- an order, or why there is none --------------------------------------------------------------------

  void find_order() {
    const std::uint64_t limit = first_closed_ == nobody ? never : op(first_closed_).end;
    for (std::uint32_t i = 0; i < history_->operations.size(); ++i) {
      const operation& o = op(i);
      const bool full = o.answer == outcome::full && history_->full == full_rule::exact;
      if (o.answer != outcome::empty && !full) continue;
      time_.tasks.push_back(
          {o.start, std::min(o.end, limit), i, nobody, full ? task::see_full : task::see_empty});
    }
    time_.arrange();
    for (const bool pops_lead : {true, false}) {
      if (!walk_.rank(pops_lead)) break;
      if (walk_.walk()) return certify(walk_.order());
    }
    if (!judge_order() || !judge_empty() || !judge_bound()) return;
    for (const bool pops_lead : {true, false}) {
      if (walk_.rank(pops_lead) && (walk_.sweep() || walk_.mend())) return certify(walk_.order());
    }
    verdict_.searched = true;
    switch (search_.run(search_budget)) {
      case detail::fifo_search::answer::found: return certify(search_.order());
      case detail::fifo_search::answer::none:
        found(fault::no_order, "every order of the " + std::to_string(time_.tasks.size()) +
                                   " operations breaks the queue; " + std::to_string(search_.states()) +
                                   " states were tried");
        return;
      case detail::fifo_search::answer::gave_up:
        found(fault::undecided, "gave up after " + std::to_string(search_budget) + " steps");
    }
  }

  void certify(const std::vector<std::uint32_t>& order) {
    verdict_.order = order;
    const auto others = static_cast<std::ptrdiff_t>(verdict_.order.size());
    for (std::uint32_t i = 0; i < history_->operations.size(); ++i) {
      if (op(i).what == verb::pop && op(i).answer == outcome::closed) verdict_.order.push_back(i);
    }
    std::sort(verdict_.order.begin() + others, verdict_.order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return op(a).end < op(b).end; });
    // why: a certificate that does not hold would be the checker's own fault; it must not pass for an answer.
    if (std::string error = replay(*history_, verdict_.order); !error.empty()) {
      found(fault::undecided, "the certificate does not replay: " + error);
    }
  }

  // a's push ended before b's began, and b's pop ended before a's began.
  bool judge_order() {
    by_push_start_ = time_.by_push_end;
    std::sort(by_push_start_.begin(), by_push_start_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return time_.lives[a].push_start < time_.lives[b].push_start;
    });
    std::size_t before = 0;
    std::uint32_t last = nobody;  // of those pushed before b: the one whose pop began last
    for (const std::uint32_t b : by_push_start_) {
      for (; before < time_.by_push_end.size() &&
             time_.lives[time_.by_push_end[before]].push_end < time_.lives[b].push_start;
           ++before) {
        const std::uint32_t a = time_.by_push_end[before];
        if (last == nobody || time_.lives[a].pop_start > time_.lives[last].pop_start) last = a;
      }
      if (last == nobody || time_.lives[last].pop_start <= time_.lives[b].pop_end) continue;
      const life& a = time_.lives[last];
      return found(fault::reordered,
                   describe(op(a.push)) + " before " + describe(op(time_.lives[b].push)) + ", but " +
                       describe(op(time_.lives[b].pop)) + " before " +
                       (a.pop == nobody ? "the other was ever popped" : describe(op(a.pop))));
    }
    return true;
  }

  // A value is surely inside between the end of its push and the start of its pop. Where such intervals
  // overlap, there is no instant between them at which the queue could be seen empty.
  bool judge_empty() {
    covers_.clear();
    std::uint64_t reach = 0;
    for (const std::uint32_t v : time_.by_push_end) {
      const life& l = time_.lives[v];
      if (l.push_end >= l.pop_start) continue;
      if (covers_.empty() || l.push_end >= reach) {
        covers_.push_back({l.push_end, reach = l.pop_start});
      } else {
        covers_.back().end = reach = std::max(reach, l.pop_start);
      }
    }
    for (const std::uint32_t w : time_.watchers) {
      if (time_.tasks[w].what != task::see_empty) continue;
      const task& e = time_.tasks[w];
      auto cover = std::lower_bound(covers_.begin(), covers_.end(), e.start,
                                    [](const interval& c, std::uint64_t t) { return c.end <= t; });
      if (cover == covers_.end() || cover->start >= e.start || cover->end <= e.end) continue;
      return found(fault::false_empty, describe(op(e.index)) + " while inside: " + chain(e));
    }
    return true;
  }

  // The values that cover the call, each reaching farthest from where the one before it ends.
  [[nodiscard]] std::string chain(const task& e) const {
    std::string text;
    std::uint64_t reached = e.start;
    do {
      const life* best = nullptr;
      for (const life& l : time_.lives) {
        const bool joins =
            text.empty() ? l.push_end < reached : l.push_end < reached && l.pop_start > reached;
        if (joins && (best == nullptr || l.pop_start > best->pop_start)) best = &l;
      }
      if (best == nullptr) break;
      text += (text.empty() ? "" : ", then ") + describe(op(best->push)) + " until " +
              (best->pop == nobody ? "the end" : describe(op(best->pop)));
      reached = best->pop_start;
    } while (reached <= e.end);
    return text;
  }

  // What is sure of the bound alone: never more than `capacity` values surely inside, and as many possibly
  // inside at some instant of each `full`.
  bool judge_bound() {
    held_.clear();
    for (const life& l : time_.lives) {
      // The open interval (push_end, pop_start), by the half steps of time inside it.
      if (l.push_end < l.pop_start) held_.push_back({l.push_end, l.pop_start - 1});
    }
    deepest(held_, history_->capacity + 1);
    if (!runs_.empty()) {
      const life* last = nullptr;
      for (const life& l : time_.lives) {
        if (l.push_end == runs_.front().start && l.push_end < l.pop_start) last = &l;
      }
      return found(fault::overfull, describe(op(last->push)) + " with " + std::to_string(history_->capacity) +
                                        " others inside");
    }
    held_.clear();
    for (const life& l : time_.lives) held_.push_back({l.push_start, l.pop_end});
    deepest(held_, history_->capacity);
    for (const std::uint32_t w : time_.watchers) {
      const operation& o = op(time_.tasks[w].index);
      if (time_.tasks[w].what == task::see_full && !meets(o)) {
        return found(fault::false_full, describe(o) + " with fewer than " +
                                            std::to_string(history_->capacity) + " values inside");
      }
    }
    return true;
  }

  // value -> place in time_.lives; open addressing, emptied by counting up.
  class value_table {
   public:
    void reset(std::size_t values) {
      std::size_t size = 64;
      while (size < values * 2) size *= 2;
      if (size > slots_.size()) slots_.assign(size, {}), generation_ = 0;
      if (++generation_ == 0) slots_.assign(slots_.size(), {}), generation_ = 1;
    }
    std::uint32_t insert(std::uint64_t value, std::uint32_t place) {
      slot& s = at(value);
      if (s.generation != generation_) s = {value, place, generation_};
      return s.place;
    }
    [[nodiscard]] std::uint32_t find(std::uint64_t value) {
      const slot& s = at(value);
      return s.generation == generation_ ? s.place : nobody;
    }

   private:
    struct slot {
      std::uint64_t value = 0;
      std::uint32_t place = 0;
      std::uint32_t generation = 0;
    };
    slot& at(std::uint64_t value) {
      std::size_t i = static_cast<std::size_t>(detail::mix(value)) & (slots_.size() - 1);
      while (slots_[i].generation == generation_ && slots_[i].value != value)
        i = (i + 1) & (slots_.size() - 1);
      return slots_[i];
    }
    std::vector<slot> slots_;
    std::uint32_t generation_ = 0;
  };

  const history* history_ = nullptr;
  verdict verdict_;
  std::uint32_t first_closed_ = nobody;  // the pop that was the first to be told of the end
  std::uint64_t close_start_ = never;
  std::uint64_t close_end_ = never;

  value_table table_;
  detail::timeline time_;
  detail::fifo_walk walk_{time_};
  detail::fifo_search search_{time_};
  std::vector<std::uint32_t> by_push_start_;
  std::vector<interval> held_;
  std::vector<interval> runs_;
  std::vector<interval> covers_;
  std::vector<std::uint64_t> starts_;
  std::vector<std::uint64_t> ends_;
};

}  // namespace support
