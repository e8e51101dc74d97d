// Where a reader stands in a topic's log, and how it goes on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/topic/detail/readers.hpp"
#include "millrace/topic/detail/segments.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Log, class T, class Sync>
class reading {
  using segment_type = typename Log::segment_type;
  using name = segment_name;

 public:
  using record = reader_record<Sync>;
  using filter_type = function<bool(const T&)>;
  static constexpr std::size_t most_gates = 8;

  reading(Log& log, overrun when_full, record* const* gates, std::size_t gate_count, filter_type filter)
      : log_(&log), record_(&log.readers().take()), filter_(std::move(filter)), overrun_(when_full) {
    for (; gates_ != gate_count; ++gates_) {
      gate_[gates_] = gates[gates_];
      gate_[gates_]->uses.fetch_add(1, std::memory_order_relaxed);  // its reader holds it too
      if (gate_[gates_]->passed() == cursor_word::most) log.leave_orphans();
    }
  }
  reading(reading&& other) noexcept
      : log_(other.log_),
        record_(std::exchange(other.record_, nullptr)),
        in_(other.in_),
        cells_(other.cells_),
        number_(other.number_),
        at_(other.at_),
        known_(other.known_),
        committed_(other.committed_),
        granted_(other.granted_),
        since_(other.since_),
        filter_(std::move(other.filter_)),
        gates_(std::exchange(other.gates_, 0)),
        overrun_(other.overrun_),
        disconnected_(other.disconnected_),
        jumped_(other.jumped_) {
    for (std::size_t i = 0; i < gates_; ++i) gate_[i] = other.gate_[i];
  }
  reading& operator=(reading&&) = delete;
  ~reading() {
    if (record_ == nullptr) return;
    leave();
    for (std::size_t i = 0; i < gates_; ++i) reader_list<Sync>::give_back(*gate_[i]);
    reader_list<Sync>::give_back(*record_);
  }

  [[nodiscard]] Log& log() const noexcept { return *log_; }
  [[nodiscard]] record& who() const noexcept { return *record_; }
  [[nodiscard]] bool is_lossy() const noexcept { return overrun_ != overrun::block; }
  [[nodiscard]] bool is_plain() const noexcept { return !filter_ && since_ == always; }
  [[nodiscard]] std::uint64_t at() const noexcept { return at_; }
  [[nodiscard]] auto& line() const noexcept { return gates_ != 0 ? log_->advanced : log_->published; }

  // --- going somewhere ---

  /// To `target`, or the first that is kept, if that is later. `target` is at the tail at the most.
  void go_to(std::uint64_t target) noexcept {
    stand_at(target);
    disconnected_ = false;
    since_ = always;
    if (!is_lossy()) log_->lower_limit(at_);
    log_->tell_advanced();
  }
  /// To the first message of `time` or later; without their stamps, to a segment that may begin before.
  void go_to_time(std::int64_t time) noexcept {
    go_to(0);
    // From segment to segment, with the cursor on each, as a reader does.
    for (;;) {
      const name next{in_->next.load(std::memory_order_acquire)};
      if (next.number() != number_ + 1) break;
      const std::int64_t opened = log_->at(next.index()).opened.load(std::memory_order_relaxed);
      if (opened >= time) break;  // those before it may be of that very time
      stand_at(log_->first_of(next.number()));
    }
    if (in_->stamps() != nullptr) since_ = time;
    log_->tell_advanced();
  }
  void leave() noexcept {
    be_absent(false);
    log_->tell_advanced();
    log_->trim();
  }

  // --- reading ---

  /// Messages that lie side by side from its place on, all of them there. They stay until step() or skip(), and commit().
  struct row_type {
    std::uint64_t size;  // 0: none is there yet, or ever
    bool more;           // whether it may be worthwhile to look for another one right behind it
  };
  /// What it knows of the log's end, or of those before it, is to be found out anew.
  void forget() noexcept { known_ = 0; }
  /// At its place and behind it, `max` at the most.
  [[nodiscard]] row_type row(std::uint64_t max, bool thoroughly) {
    if (falls_behind()) move_on();
    for (;;) {
      if (disconnected_) return {0, false};
      if (at_end_of_segment()) {
        if (!cross()) return {0, false};
        continue;
      }
      if (at_ >= known_ && !refresh()) return {0, false};
      const std::uint64_t left = log_->first_of(number_) + log_->segment_size() - at_;
      const std::uint64_t there = known_ - at_;
      std::uint64_t n = there < max ? there : max;
      if (left < n) n = left;
      if constexpr (Log::many) {
        auto* const cells = first_slot();
        std::uint64_t full = 0;
        // (2) acquire; pairs with the publish
        while (full != n && cells[full].state.load(std::memory_order_acquire) == cells->full(number_)) ++full;
        if (full != 0) full = log_->confirmed(*in_, number_, cells, full);
        if (full != 0) return {full, full == n ? n < there : log_->is_dead(*in_, number_, cells[full])};
        if (log_->is_dead(*in_, number_, *cells)) {
          step();
        } else if (!thoroughly || !log_->pass_over(*in_, number_, at_)) {
          return {0, false};
        }
      } else {
        return {n, n < there};
      }
    }
  }
  [[nodiscard]] auto* first_slot() const noexcept { return cells_ + (at_ - log_->first_of(number_)); }
  /// The message that is next, which stays until step() and commit(); nullptr: none yet, or ever.
  const T* look(bool thoroughly) {
    while (row(1, thoroughly).size != 0) {
      const T& message = *first_slot()->value();
      if (is_plain() || is_wanted(message, at_)) return &message;
      step();
    }
    return nullptr;
  }
  /// What its filter, and the time that it went to, say of the message at `offset`, in its segment.
  [[nodiscard]] MILLRACE_NOINLINE bool is_wanted(const T& message, std::uint64_t offset) {
    if (since_ != always) {
      if (in_->stamps()[offset - log_->first_of(number_)] < since_) return false;
      since_ = always;
    }
    return !filter_ || filter_(message);
  }
  void step() noexcept { ++at_; }
  void skip(std::uint64_t n) noexcept { at_ += n; }

  /// That of the message at its place.
  [[nodiscard]] segment_type& segment() const noexcept { return *in_; }
  [[nodiscard]] std::uint64_t segment_number() const noexcept { return number_; }

  /// Whether there will never be anything at its place.
  [[nodiscard]] bool has_ended() const noexcept {
    if (disconnected_) return true;
    if constexpr (Log::many) {
      return log_->ends_at(*in_, number_, at_);
    } else {
      return log_->ends_at(at_);
    }
  }

  /// Done with everything before `offset`, which is at_ or before.
  MILLRACE_INLINE void commit(std::uint64_t offset) noexcept {
    if (commit_quietly(offset)) tell(offset);
  }
  /// True: tell() is to follow.
  MILLRACE_INLINE bool commit_quietly(std::uint64_t offset) noexcept {
    if (offset == committed_ && !jumped_) return false;
    if (disconnected_) return std::exchange(jumped_, false);
    // (3) release; pairs with who passes the segment on, and with readers behind this one
    record_->cursor.store(cursor_word::of(rule(), offset).word, std::memory_order_release);
    before_ = std::exchange(committed_, offset);
    jumped_ = false;
    return true;
  }
  MILLRACE_INLINE void tell(std::uint64_t offset) noexcept {
    log_->tell_advanced();
    if (log_->number_of(before_) != log_->number_of(offset) && log_->may_trim(offset)) log_->trim();
  }
  [[nodiscard]] std::uint64_t committed() const noexcept { return committed_; }

 private:
  static constexpr std::int64_t always = INT64_MIN;

  [[nodiscard]] cursor_word::rules rule() const noexcept {
    return overrun_ == overrun::block         ? cursor_word::block
           : overrun_ == overrun::drop_newest ? cursor_word::window
                                              : cursor_word::segment;
  }

  [[nodiscard]] bool at_end_of_segment() const noexcept {
    return at_ - log_->first_of(number_) == log_->segment_size();
  }
  /// Whether the log has gone on without it.
  [[nodiscard]] bool falls_behind() const noexcept {
    return rule() == cursor_word::segment && log_->floor_approx() > number_;
  }

  /// Into the next segment. False: there is none yet. All before its place has been handled, unless it is lossless.
  bool cross() {
    const name next{in_->next.load(std::memory_order_acquire)};
    if (next.number() != number_ + 1) return false;
    if (rule() != cursor_word::block) {
      record_->cursor.store(cursor_word::of(rule(), at_).word, std::memory_order_seq_cst);  // (1)
      if (log_->floor() <= next.number()) {
        granted_ = at_ + log_->capacity();
      } else if (rule() == cursor_word::segment || at_ >= granted_) {
        move_on();
        return true;
      }
    }
    stand_in(log_->at(next.index()), next.number());
    return true;
  }
  /// The log has gone on without it.
  MILLRACE_NOINLINE void move_on() noexcept {
    const std::uint64_t from = at_;
    stand_at(at_);
    record_->missed.store(record_->missed.load(std::memory_order_relaxed) + (at_ - from),
                          std::memory_order_relaxed);
    jumped_ = true;
    if (overrun_ == overrun::disconnect) {
      disconnected_ = true;
      be_absent(true);
    }
  }
  /// `joinable`: somebody may just be going behind it; otherwise its uses tell.
  void be_absent(bool joinable) noexcept {
    if (joinable || record_->uses.load(std::memory_order_relaxed) > 1) {
      log_->leave_orphans();
      // A publisher knows that, or who sees that this one has left sees what was published.
      Sync::heavy_fence();
    }
    // (4) release; pairs with (2): who sees that it has left, and goes to sleep, has publishers know of orphans
    record_->cursor.store(cursor_word::of(cursor_word::absent, 0).word, std::memory_order_release);
  }
  void stand_in(segment_type& s, std::uint64_t number) noexcept {
    in_ = &s;
    cells_ = s.cells();
    number_ = number;
  }
  void stand_at(std::uint64_t target) noexcept {
    for (;;) {
      const std::uint64_t kept = log_->first_of(log_->floor());
      if (target < kept) target = kept;
      // (1) Says where it stands, and then looks whether that has been dropped; see readers.hpp.
      record_->cursor.store(cursor_word::of(rule(), target).word, std::memory_order_seq_cst);
      const std::uint64_t floor = log_->floor();
      std::uint64_t number = log_->number_of(target);
      if (floor > number) continue;
      segment_type* s = log_->find(number);
      if (s == nullptr && target == log_->first_of(number) && floor < number)
        s = log_->find(--number);  // its end
      if (s == nullptr) continue;  // it is just being made, or dropped
      stand_in(*s, number);
      break;
    }
    at_ = committed_ = target;
    known_ = 0;
    granted_ = at_ + log_->capacity();
  }

  MILLRACE_INLINE bool refresh() noexcept {
    std::uint64_t to = cursor_word::most;
    for (std::size_t i = 0; i < gates_; ++i) {
      const std::uint64_t passed = gate_[i]->passed();
      if (passed < to) to = passed;
    }
    if constexpr (!Log::many) {
      if (to == cursor_word::most) to = log_->tail();
    }
    known_ = to;
    return at_ < to;
  }

  Log* log_;
  record* record_;
  segment_type* in_ = nullptr;                               // \ the segment it stands in, or at whose end
  decltype(std::declval<segment_type&>().cells()) cells_{};  // |
  std::uint64_t number_ = 0;                                 // /
  std::uint64_t at_ = 0;                                     // what it reads next
  std::uint64_t known_ = 0;                                  // it may read up to there
  std::uint64_t committed_ = 0;
  std::uint64_t before_ = 0;   // committed before that
  std::uint64_t granted_ = 0;  // window: kept for it up to there
  std::int64_t since_ = always;
  filter_type filter_;
  record* gate_[most_gates];
  std::size_t gates_ = 0;
  overrun overrun_;
  bool disconnected_ = false;
  bool jumped_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
