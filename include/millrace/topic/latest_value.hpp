// millrace/topic/latest_value.hpp - one value that many write and many read, where only the newest counts.
//
// Use it when : a configuration, a price, a position: who reads wants what holds now, and nothing of what held before.
// Use instead : `channel` if every value counts; std::atomic for a value of a machine word that nobody waits for.
// Threads     : any number of writers and readers; a `latest_reader` belongs to one thread at a time. An old value is
//               destroyed in the thread that is the last to have it, be it a reader's.
// Order       : the values have one order for all, and `version()` counts them in it, from 0. Nobody gets an older one
//               after a newer one. What was written before a set is visible to whoever reads its value, or a later one;
//               what was written before close(), to whoever hears of it.
// Progress    : reading is wait-free, and of a reader that has the newest value already only a look at a word that nobody
//               writes meanwhile. set, emplace and update are lock-free: they try again when another writer was faster,
//               or somebody came for the value at that very moment. A thread that stops anywhere stops nobody. With
//               sleepers, set holds a mutex for a few instructions to wake each. Who waits sleeps, after a short adaptive
//               spin (no spin on one CPU); idle costs no CPU.
// Errors      : false from set, emplace and update: it is closed, and the value is dropped. Waiting answers ok, closed,
//               timeout or cancelled, see core/outcome.hpp; ok also when it has been closed since. Destroying it while a
//               reader of it lives is a contract violation and is asserted.
// Exceptions  : what T's constructors throw, std::bad_alloc, and std::length_error when readers hold on to a million old
//               values; the value is the old one then.
// Memory      : 1 KiB, and 128 bytes for each value there is (more for one of over 32 bytes): the newest, those being written,
//               and those that readers hold on to. It keeps that for later values, and allocates only when more are about
//               than ever.
// Cost        : read() with nothing new is a load and a comparison, 1.5 ns; a load() takes two locked instructions, a set
//               five, here 40 and 120 ns when nobody else is about.
// Source      : see detail/value_slots.hpp; tokio's `watch` for the verbs.
// Checked by  : tests/topic/latest_value_test.cpp, tests/topic/idle_test.cpp, tests/models/latest_value_models.cpp
//
// Example:
//   millrace::latest_value<config> settings(read_file());
//   std::thread worker([&] {
//     millrace::latest_reader mine(settings);
//     do {
//       apply(mine.read());                                     // stays as it is until mine's next read
//     } while (mine.wait() == millrace::outcome::ok);           // there is a newer one, or it was closed
//   });
//   settings.set(read_file());
//   settings.update([](const config& old) { return old.with_level(3); });
//   settings.close();
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <new>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/awaiter.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/topic/detail/value_slots.hpp"

namespace millrace {
inline namespace v0 {

template <class T, clock Clock, class Sync>
class latest_reader;

namespace detail {

template <class Reader>
class change_operation;
template <class Reader, class Handler>
class change_case;

}  // namespace detail

/// T: any object, whether it can be copied and moved or not; const while it is in here.
template <class T, clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class latest_value {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>,
                "latest_value: T must be an object, and neither an array nor const");
  static_assert(std::is_nothrow_destructible_v<T>, "latest_value: T's destructor must not throw");

 public:
  using value_type = T;
  using clock_type = Clock;
  using sync_type = Sync;
  using reader = latest_reader<T, Clock, Sync>;

  explicit latest_value(T initial)
    requires(stateless_clock<Clock> && std::is_move_constructible_v<T>)
      : latest_value(std::move(initial), clock_ref<Clock>()) {}
  /// Waits with a limit go by `clock`, which must outlive it.
  latest_value(T initial, clock_ref<Clock> clock)
    requires std::is_move_constructible_v<T>
      : clock_(clock), values_(from(std::move(initial))) {}
  /// T(args...)
  template <class... Args>
    requires(stateless_clock<Clock> && std::is_constructible_v<T, Args...>)
  explicit latest_value(std::in_place_t, Args&&... args) : values_(from(std::forward<Args>(args)...)) {}
  template <class... Args>
    requires(!stateless_clock<Clock> && std::is_constructible_v<T, Args...>)
  latest_value(std::in_place_t, clock_ref<Clock> clock, Args&&... args)
      : clock_(clock), values_(from(std::forward<Args>(args)...)) {}
  latest_value(const latest_value&) = delete;
  latest_value& operator=(const latest_value&) = delete;
  /// Every call must have returned, and every reader must be gone.
  ~latest_value() = default;

  // --- writers; false: closed ---

  bool set(T&& value)
    requires std::is_move_constructible_v<T>
  {
    return emplace(std::move(value));
  }
  bool set(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return emplace(value);
  }
  /// T(args...)
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  bool emplace(Args&&... args) {
    return told(values_.replace(from(std::forward<Args>(args)...)));
  }
  /// T(f(newest)), with `f` called again whenever another writer was faster: no other value comes between the two.
  template <std::invocable<const T&> F>
    requires(std::is_same_v<T, std::invoke_result_t<F&, const T&>> ||
             std::is_constructible_v<T, std::invoke_result_t<F&, const T&>>)
  bool update(F&& f) {
    return told(values_.update([&](const T& newest, void* where) { ::new (where) T(f(newest)); }));
  }

  /// The last value stays, and can be read; from now on it is not replaced any more. Everybody asleep is woken. Idempotent;
  /// returns at once.
  void close() noexcept {
    values_.close();
    changes_.events.notify_each();
  }
  [[nodiscard]] bool is_closed() const noexcept { return values_.is_closed(); }

  // --- readers; see latest_reader for those that read again and again, or wait ---

  /// A copy of the newest value.
  [[nodiscard]] T load() const
    requires std::is_copy_constructible_v<T>
  {
    const reader once(*this);
    return once.value();
  }

 private:
  friend reader;

  template <class... Args>
  static auto from(Args&&... args) noexcept {
    return [&](void* where) { ::new (where) T(std::forward<Args>(args)...); };
  }
  bool told(bool done) {
    // why each and not all: a coroutine that is resumed here may destroy another one that stands in line
    if (done) changes_.events.notify_each();
    return done;
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  mutable detail::value_slots<T, Sync> values_;
  mutable detail::waiting_room<Sync> changes_;
};

/// Reads one latest_value, again and again, and waits for it to change. It has one value at a time, from its construction on,
/// which lives as long as it has it.
template <class T, clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class latest_reader {
  using values = detail::value_slots<T, Sync>;
  using state = typename values::state;
  using time_point = typename Clock::time_point;

 public:
  using value_type = T;
  using sync_type = Sync;

  /// Has the newest value. `of` must outlive it.
  explicit latest_reader(const latest_value<T, Clock, Sync>& of) noexcept
      : of_(&of), held_(&of.values_.come()) {}
  /// `other` can only be assigned to, or destroyed.
  latest_reader(latest_reader&& other) noexcept
      : of_(other.of_), held_(std::exchange(other.held_, nullptr)) {}
  latest_reader& operator=(latest_reader&& other) noexcept {
    if (this == &other) return *this;
    let_go();
    of_ = other.of_;
    held_ = std::exchange(other.held_, nullptr);
    return *this;
  }
  ~latest_reader() { let_go(); }

  /// The newest value; it stays until the next read(), or as long as the reader.
  const T& read() noexcept {
    if (changed()) {
      auto& newest = of_->values_.come();
      of_->values_.leave(*std::exchange(held_, &newest));
    }
    return held_->value();
  }
  /// What read() gave last, or the constructor found.
  [[nodiscard]] const T& value() const noexcept { return held_->value(); }
  /// Its number: how many values came before it, ever.
  [[nodiscard]] std::uint64_t version() const noexcept { return held_->version(); }
  /// Whether there is a newer one.
  [[nodiscard]] bool changed() const noexcept { return !of_->values_.is_newest(*held_); }

  // ok: there is a newer one, for read() | closed: there is none, and there will be none | timeout

  outcome wait() const { return wait_within(detail::no_limit()); }
  template <class Rep, class Period>
  outcome wait_for(std::chrono::duration<Rep, Period> limit) const {
    return wait_within(detail::limit_for(of_->clock_, limit));
  }
  outcome wait_until(time_point deadline) const {
    return wait_within(detail::limit_at<Clock>{of_->clock_, deadline});
  }
  /// To co_await at once: ok, closed or cancelled. The coroutine stands in the same line as threads do. It is resumed by
  /// executor(handle), in the thread that sets the value; by default that one runs it inside its set: do not block there.
  /// The executor must not throw. Suspended, it may be destroyed, as verbs.hpp says of async_pop.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_wait(Executor executor = {}, Stop stop = {}) const {
    using operation = detail::change_operation<latest_reader>;
    return detail::awaiter<Sync, operation, Executor, Stop>(operation(*this), std::move(executor),
                                                            std::move(stop));
  }

 private:
  friend detail::change_operation<latest_reader>;
  template <class Reader, class Handler>
  friend class detail::change_case;

  void let_go() noexcept {
    if (held_ != nullptr) of_->values_.leave(*held_);
  }
  [[nodiscard]] auto& line() const noexcept { return of_->changes_.events; }
  /// ok, closed or empty.
  [[nodiscard]] outcome look() const noexcept {
    switch (of_->values_.look(*held_)) {
      case state::changed: return outcome::ok;
      case state::closed: return outcome::closed;
      case state::same: break;
    }
    return outcome::empty;
  }
  template <class Limit>
  outcome wait_within(Limit limit) const {
    const outcome result = look();
    if (result != outcome::empty) return result;
    limit.start();
    return of_->changes_.await(outcome::empty, limit, [this] { return look(); });
  }

  const latest_value<T, Clock, Sync>* of_;
  typename values::slot* held_;
};

namespace detail {

/// See core/detail/awaiter.hpp.
template <class Reader>
class change_operation {
 public:
  explicit change_operation(const Reader& r) noexcept : reader_(&r) {}
  [[nodiscard]] auto& line() noexcept { return reader_->line(); }
  bool try_now() noexcept { return (result_ = reader_->look()) != outcome::empty; }
  bool attempt() noexcept { return try_now(); }
  /// The others have been told by who set the value.
  [[nodiscard]] auto tell() const noexcept {
    return [] {};
  }
  void cancel() noexcept { result_ = outcome::cancelled; }
  [[nodiscard]] outcome answer() const noexcept { return result_; }
  void abandon() noexcept {}

 private:
  const Reader* reader_;
  outcome result_ = outcome::empty;
};

/// A case of select.
template <class Reader, class Handler>
class change_case {
 public:
  using sync = typename Reader::sync_type;
  static constexpr std::size_t alternatives = 1;

  change_case(Reader& from, Handler& handler) noexcept : from_(from), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return 1; }
  [[nodiscard]] auto* line(std::size_t) const noexcept { return &from_.line(); }
  bool attempt(std::size_t) noexcept { return (result_ = from_.look()) != outcome::empty; }
  decltype(auto) conclude() {
    return std::forward<Handler>(handler_)(result_ == outcome::ok ? &from_.read() : nullptr);
  }

 private:
  Reader& from_;
  std::remove_reference_t<Handler>& handler_;
  outcome result_ = outcome::empty;
};

}  // namespace detail

/// For a select: reads when there is a newer value, handler(const T*), or nullptr once there will be none.
template <class T, clock Clock, class Sync, class Handler>
[[nodiscard]] auto on_change(latest_reader<T, Clock, Sync>& from, Handler&& handler) noexcept {
  return detail::change_case<latest_reader<T, Clock, Sync>, Handler>(from, handler);
}

}  // namespace v0
}  // namespace millrace
