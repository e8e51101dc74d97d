// What travels through a pipeline, as the pipeline sees it, whatever is in it; and what it needs of those who know that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A message on its way. In its stage's line, or in the hands of a worker, or waiting for its timer.
template <class Timers>
struct pipeline_item {
  enum class place : std::uint8_t { hand, line, timer };

  pipeline_item* next = nullptr;    // in the stage's line, or among those that are not in use
  pipeline_item* before = nullptr;  // \ in the order of the source
  pipeline_item* after = nullptr;   // /
  typename Timers::timer timer;
  std::uint32_t stage = 0;
  std::uint32_t attempts = 0;  // in this stage, that have begun
  place is = place::hand;
  bool is_due = false;  // the timer was faster than who has set it
};

/// First in, first out.
template <class Item>
class item_line {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  void push_back(Item& i) noexcept {
    i.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &i;
    last_ = &i;
  }
  void push_front(Item& i) noexcept {
    i.next = first_;
    if (first_ == nullptr) last_ = &i;
    first_ = &i;
  }
  [[nodiscard]] Item& pop_front() noexcept {
    Item& i = *first_;
    first_ = i.next;
    return i;
  }

 private:
  Item* first_ = nullptr;
  Item* last_ = nullptr;
};

/// All that are inside, in the order in which they came.
template <class Item>
class item_order {
 public:
  [[nodiscard]] Item* first() const noexcept { return first_; }
  [[nodiscard]] Item* last() const noexcept { return last_; }
  void push_back(Item& i) noexcept {
    i.before = last_;
    i.after = nullptr;
    (last_ == nullptr ? first_ : last_->after) = &i;
    last_ = &i;
  }
  void remove(Item& i) noexcept {
    (i.before == nullptr ? first_ : i.before->after) = i.after;
    (i.after == nullptr ? last_ : i.after->before) = i.before;
  }

 private:
  Item* first_ = nullptr;
  Item* last_ = nullptr;
};

struct stage_plan {
  static constexpr std::size_t most_workers = 1024;
  static constexpr std::size_t most_capacity = std::size_t{1} << 20;

  std::string name;
  std::size_t workers;
  std::size_t capacity;
  retry_policy retry;
};

/// The last one: where everything comes out to.
inline constexpr std::string_view end_name = "to";

/// What came of a call of a stage's function.
enum class step_result : std::uint8_t { passed, filtered, finished, full, closed };
/// What becomes of a message of the source.
enum class settling : std::uint8_t { done, dead, back };

/// Whom the source tells that there may be something to take.
class pipeline_waker {
 public:
  virtual void wake() noexcept = 0;

 protected:
  ~pipeline_waker() = default;
};
/// Keeps it until it has been told.
struct pipeline_wake {
  std::shared_ptr<pipeline_waker> whom;
  void operator()() const noexcept { whom->wake(); }
};

/// The half of a pipeline that knows its types.
template <class Timers>
class pipeline_works {
 public:
  using item = pipeline_item<Timers>;

  pipeline_works() = default;
  pipeline_works(const pipeline_works&) = delete;
  pipeline_works& operator=(const pipeline_works&) = delete;
  virtual ~pipeline_works() = default;

  // --- by several threads at a time ---

  /// The function of the item's stage. May throw what that throws.
  virtual step_result call(item& i) = 0;
  /// Nothing is left in it afterwards.
  virtual void settle(item& i, settling how, std::string_view stage, std::string_view reason) noexcept = 0;

  // --- by one thread at a time ---

  /// Empty, kept as long as this.
  [[nodiscard]] virtual item& make() = 0;
  virtual void open(pipeline_wake wake) = 0;
  /// Fills `n` items at `into`, or fewer. ok; empty: none, and there will be a wake; closed: there will be none.
  virtual outcome take(item** into, std::size_t n, std::size_t& got) = 0;
  /// Not waiting for anything any more, without having been closed.
  virtual void stand_back() noexcept = 0;
  /// No wake comes any more; there may be something left to take. Idempotent.
  virtual void close() noexcept = 0;

  // --- by any thread ---

  [[nodiscard]] virtual std::size_t parked() const = 0;
  /// Into a std::vector of the type of that kind. False: it is another one.
  virtual bool take_parked(const void* kind, void* vector) = 0;
};

template <class T>
inline constexpr char pipeline_kind = 0;  // its address tells types apart, as there may be no RTTI

}  // namespace detail
}  // namespace v0
}  // namespace millrace
