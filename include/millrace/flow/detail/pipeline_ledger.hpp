// The books of a pipeline: where every message is, who may claim what, and who has something to do. Guarded by one mutex.
//
//   source --accept--> stage 0 --claim, finish--> stage 1 ... --> the end
//                       ^  |
//                       +--+ failed: its timer
//
// A stage has places for `capacity` messages, and one for each worker that is at work. A message is claimed when there is a
// place for it in the next stage, which is reserved until its function has returned: so no worker waits, and no result has
// nowhere to go. At the end there are as many places as in all stages together, and the source gives nothing beyond that
// number: so a message that others wait for, to keep the order, always comes through.
//
// A stage has a task for each worker that is at work, and at most one that has been posted and has not begun. That one claims,
// and the next is posted if there is more. Whatever may give somebody work ends with wanted(), which says whom.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/flow/detail/pipeline_item.hpp"
#include "millrace/flow/detail/pipeline_posting.hpp"
#include "millrace/flow/detail/pipeline_stage.hpp"
#include "millrace/flow/pipeline_stats.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Timers>
class pipeline_ledger {
 public:
  using item = pipeline_item<Timers>;
  using place = typename item::place;
  using stage = stage_state<Timers>;
  using batch = stage_batch<Timers>;

  pipeline_ledger(std::vector<stage_plan> plans, bool has_end, bool keeps_order)
      : typed_(plans.size() - (has_end ? 1 : 0)),
        source_(static_cast<std::uint32_t>(plans.size())),
        keeps_order_(keeps_order) {
    for (stage_plan& p : plans) stages_.emplace_back(std::move(p));
  }

  // --- without the mutex: they do not change ---

  /// The number of its task, behind those of the stages.
  [[nodiscard]] std::uint32_t source() const noexcept { return source_; }
  [[nodiscard]] bool is_end(std::size_t number) const noexcept { return number == typed_; }
  [[nodiscard]] bool keeps_order() const noexcept { return keeps_order_; }
  /// Of which plan, timer and pause are for those who work there.
  [[nodiscard]] stage& at(std::size_t number) noexcept { return stages_[number]; }

  // --- starting and stopping ---

  [[nodiscard]] bool is_working() const noexcept { return is_working_; }
  [[nodiscard]] bool is_open() const noexcept { return is_open_; }
  [[nodiscard]] bool is_drawing() const noexcept { return is_drawing_; }
  [[nodiscard]] bool is_through() const noexcept { return inside_ == 0; }
  [[nodiscard]] bool has_ended() const noexcept { return has_ended_ && inside_ == 0; }

  void start(std::int64_t now) noexcept {
    is_working_ = is_open_ = has_news_ = true;
    has_ended_ = is_armed_ = false;
    since_ = now;
  }
  /// The source is not asked any more.
  void shut() noexcept { is_open_ = false; }
  /// Tasks that have not begun will find that they are of the past.
  void stop(std::int64_t now) noexcept {
    add_time(now);
    is_working_ = is_open_ = is_drawer_posted_ = false;
    ++epoch_;
    for (stage& s : stages_) s.forget_posted();
  }
  /// Nobody is at work any more: all that is inside.
  [[nodiscard]] item_order<item> clear(std::int64_t now, std::size_t& n) noexcept {
    n = std::exchange(inside_, 0);
    given_back_ += n;
    for (stage& s : stages_) s.clear();
    note_blocked(now);
    return std::exchange(order_, {});
  }
  [[nodiscard]] item_order<item>& order() noexcept { return order_; }
  /// False: no stage with workers has that name.
  [[nodiscard]] bool scale(std::string_view name, std::size_t workers, std::int64_t now) noexcept {
    for (std::size_t i = 0; i < typed_; ++i) {
      if (stages_[i].plan.name != name) continue;
      add_time(now);
      stages_[i].plan.workers = workers;
      return true;
    }
    return false;
  }
  void stats(pipeline_stats& s, std::int64_t now) const {
    for (const stage& one : stages_) s.stages.push_back(one.stats(since_, is_working_ ? now : since_));
    s.elapsed = s.stages.front().elapsed;
    s.taken = taken_;
    s.done = done_;
    s.filtered = filtered_;
    s.dead = dead_;
    s.given_back = given_back_;
    s.inside = inside_;
  }

  // --- who has something to do ---

  /// They are to be posted, and taken for that from now on.
  [[nodiscard]] pipeline_tasks wanted() noexcept {
    pipeline_tasks t{0, epoch_};
    if (!is_working_) return t;
    for (std::uint32_t i = 0; i < source_; ++i) {
      stage& s = stages_[i];
      if (s.is_posted || s.tasks >= s.plan.workers || claimable(i) == 0) continue;
      s.is_posted = true;
      ++s.tasks;
      t.add(i);
    }
    const bool may_draw = is_open_ && has_news_ && !has_ended_ && !is_drawer_posted_ && !is_drawing_;
    if (may_draw && (is_armed_ || room() != 0)) {
      is_drawer_posted_ = true;
      t.add(source_);
    }
    return t;
  }
  /// By a task that has been posted. False: it is of the past.
  [[nodiscard]] bool begin(std::uint32_t number, std::uint32_t epoch) noexcept {
    if (epoch != epoch_) return false;
    if (number != source_) {
      stages_[number].is_posted = false;
      return true;
    }
    is_drawer_posted_ = false;
    return is_drawing_ = is_open_;
  }

  // --- the source's task ---

  void note_news() noexcept { has_news_ = true; }
  /// How many to ask for, of unused items in `into`, or nullptr for those that have to be made. 0: none, and if `was_armed` the
  /// source is to forget that it was asked.
  [[nodiscard]] std::size_t ask(item** into, std::size_t most, bool& was_armed) noexcept {
    was_armed = std::exchange(is_armed_, false);
    std::size_t n = is_open_ ? room() : 0;
    if (n > most) n = most;
    if (n != 0) has_news_ = false;  // before it is asked: what comes from here on is news
    take_unused(into, n);
    return n;
  }
  void take_unused(item** into, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) into[i] = unused_.empty() ? nullptr : &unused_.pop_front();
  }
  /// What it has said.
  void answer(outcome o) noexcept {
    if (o == outcome::ok) has_news_ = true;
    is_armed_ = o == outcome::empty;
    if (o == outcome::closed) has_ended_ = true;
  }
  /// The first `got` of the `n` items are in the first stage.
  void accept(item** fresh, std::size_t n, std::size_t got, std::int64_t now) noexcept {
    for (std::size_t i = 0; i < got; ++i) {
      order_.push_back(*fresh[i]);
      arrive(*fresh[i], 0);
    }
    for (std::size_t i = got; i < n; ++i) unused_.push_front(*fresh[i]);
    taken_ += got;
    inside_ += got;
    note_blocked(now);
  }
  void end_drawing() noexcept { is_drawing_ = false; }
  void reuse(item& i) noexcept {
    i.is_due = false;
    unused_.push_front(i);
  }

  // --- a stage's task ---

  /// `most`, or fewer; 0: the task ends. Nothing in the batch: that, or there is nothing to do, or others do it.
  void claim(std::size_t number, batch& b, std::size_t most, std::int64_t now) noexcept {
    stage& s = stages_[number];
    b.size = b.done = 0;
    b.claimed = now;
    if (is_working_ && s.tasks <= s.plan.workers) fill(number, b, most);
    if (b.size == 0) {
      --s.tasks;
    } else {
      s.begin(b);
      if (number + 1 < typed_) stages_[number + 1].reserved += b.size;
    }
    note_blocked(now);
  }
  void finish(std::size_t number, const batch& b) noexcept {
    stage& s = stages_[number];
    s.end(b);
    if (number + 1 < typed_) stages_[number + 1].reserved -= b.size;
    // why from behind: each goes in front of all others
    for (std::size_t i = b.size; i-- != b.done;) wait_again(*b.items[i]);
    for (std::size_t i = 0; i < b.done; ++i) settle(s, *b.items[i], b.results[i]);
  }

  // --- timers ---

  void due(item& i, std::int64_t now) noexcept {
    if (i.is == place::timer) {
      --stages_[i.stage].retrying;
      wait_again(i);
    } else {
      i.is_due = true;  // whose hands it is in has not given it back yet
    }
    note_blocked(now);
  }
  /// There may be room behind the end.
  void reopen(std::int64_t now) noexcept {
    stage& s = stages_.back();
    s.is_due = !std::exchange(s.is_shut, false);
    note_blocked(now);
  }

 private:
  // --- places ---

  /// For how many more from the source.
  [[nodiscard]] std::size_t room() const noexcept {
    std::size_t all = 0;
    for (std::size_t i = 0; i < typed_; ++i) all += stages_[i].plan.capacity + stages_[i].plan.workers;
    const std::size_t left = inside_ < all ? all - inside_ : 0;
    const std::size_t first = stages_.front().room();
    return first < left ? first : left;
  }
  void arrive(item& i, std::size_t number) noexcept {
    i.stage = static_cast<std::uint32_t>(number);
    i.attempts = 0;
    ++stages_[number].count.in;
    i.is = place::line;
    ++stages_[number].waiting;
    if (!is_kept(i)) stages_[number].line.push_back(i);
  }
  void wait_again(item& i) noexcept {
    i.is = place::line;
    ++stages_[i.stage].waiting;
    if (!is_kept(i)) stages_[i.stage].line.push_front(i);
  }
  /// Its turn is that of the source's order.
  [[nodiscard]] bool is_kept(const item& i) const noexcept { return keeps_order_ && is_end(i.stage); }
  [[nodiscard]] bool is_next(const item* i) const noexcept {
    return i != nullptr && is_end(i->stage) && i->is == place::line;
  }
  /// How many may be, at the most.
  [[nodiscard]] std::size_t claimable(std::size_t number) const noexcept {
    const stage& s = stages_[number];
    if (s.waiting == 0 || s.is_shut) return 0;
    if (is_end(number) && keeps_order_ && !is_next(order_.first())) return 0;
    if (number + 1 >= typed_) return s.waiting;
    const std::size_t r = stages_[number + 1].room();
    return r < s.waiting ? r : s.waiting;
  }
  void fill(std::size_t number, batch& b, std::size_t most) noexcept {
    stage& s = stages_[number];
    const bool is_kept_here = is_end(number) && keeps_order_;
    // why not more than its share: what is claimed and not begun is out of reach for the others
    const std::size_t share = (s.waiting + s.plan.workers - 1) / s.plan.workers;
    const std::size_t n = (std::min)({claimable(number), share, s.want, most});
    item* next = order_.first();
    while (b.size < n) {
      if (is_kept_here && !is_next(next)) break;
      item& i = is_kept_here ? *std::exchange(next, next->after) : s.line.pop_front();
      i.is = place::hand;
      i.timer = {};
      b.items[b.size++] = &i;
    }
  }
  void settle(stage& s, item& i, stage_result r) noexcept {
    switch (r) {
      case stage_result::passed:
        ++s.count.out;
        arrive(i, i.stage + 1);
        break;
      case stage_result::finished:
        ++s.count.out;
        ++done_;
        go(i);
        break;
      case stage_result::filtered:
        ++s.count.filtered;
        ++filtered_;
        go(i);
        break;
      case stage_result::dead:
        ++s.count.failed;
        ++s.count.dead;
        ++dead_;
        go(i);
        break;
      case stage_result::again:
        ++s.count.failed;
        wait_again(i);
        break;
      case stage_result::later:
        ++s.count.failed;
        i.is = place::timer;
        ++s.retrying;
        if (std::exchange(i.is_due, false)) {
          --s.retrying;
          wait_again(i);
        }
        break;
      case stage_result::full:
        s.is_shut = !std::exchange(s.is_due, false);
        wait_again(i);
        break;
    }
  }
  /// It is inside no more.
  void go(item& i) noexcept {
    order_.remove(i);
    --inside_;
    reuse(i);
  }

  // --- times ---

  void add_time(std::int64_t now) noexcept {
    if (!is_working_) return;
    for (stage& s : stages_) stage::add_time(s.count, s.plan.workers, since_, now);
    since_ = now;
  }
  void note_blocked(std::int64_t now) noexcept {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      stage& s = stages_[i];
      const bool is_idle = s.waiting != 0 && s.active < s.plan.workers;
      const bool is_full = s.is_shut || (i + 1 < typed_ && stages_[i + 1].room() == 0);
      s.note_blocked(is_idle && is_full, now);
    }
  }

  const std::size_t typed_;  // how many stages there are before the end
  const std::uint32_t source_;
  const bool keeps_order_;
  std::vector<stage> stages_;
  item_order<item> order_;
  item_line<item> unused_;
  std::int64_t since_ = 0;  // until when times have been added up
  std::uint64_t taken_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t filtered_ = 0;
  std::uint64_t dead_ = 0;
  std::uint64_t given_back_ = 0;
  std::size_t inside_ = 0;
  std::uint32_t epoch_ = 0;
  bool is_working_ = false;
  bool is_open_ = false;           // the source is asked
  bool has_ended_ = false;         // it has said that there will be no more
  bool has_news_ = false;          // it may have something
  bool is_armed_ = false;          // it will say when it has
  bool is_drawer_posted_ = false;  // its task
  bool is_drawing_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
