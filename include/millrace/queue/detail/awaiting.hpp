// What a coroutine that waits for a channel wants of it. How it waits: core/detail/awaiter.hpp.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/awaiter.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/ends.hpp"
#include "millrace/queue/overflow.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T>
struct into_optional {
  std::optional<T> value;
  void operator()(T&& v) { value.emplace(std::move(v)); }
  std::optional<T> answer(outcome) { return std::exchange(value, std::nullopt); }
  template <class Drop>
  void abandon(Drop drop) {
    if (value) drop(std::move(*value));
  }
};
template <class T>
struct into_variable {
  T* out;
  void operator()(T&& v) { *out = std::move(v); }
  outcome answer(outcome result) noexcept { return result; }
  template <class Drop>
  void abandon(Drop) noexcept {}  // it is the owner's
};

template <class Channel, class Into>
class pop_operation {
  using ends = ends_of<Channel>;

 public:
  pop_operation(Channel& from, Into into) : from_(&from), into_(std::move(into)) {}
  [[nodiscard]] auto& line() noexcept { return ends::to_pop(*from_); }
  bool try_now() { return done(ends::pop_now(*from_, into_)); }
  bool attempt() { return done(ends::take_quietly(*from_, into_)); }
  [[nodiscard]] auto tell() noexcept {
    return [from = from_, result = result_] { ends::tell_of_take(*from, result); };
  }
  void cancel() noexcept { result_ = outcome::cancelled; }
  auto answer() { return into_.answer(result_); }
  void abandon() {
    into_.abandon([this](auto&& value) { ends::drop(*from_, std::move(value)); });
  }

 private:
  bool done(outcome result) noexcept { return (result_ = result) != outcome::empty; }

  Channel* from_;
  Into into_;
  outcome result_ = outcome::empty;
};

template <class Lane, class Value>
class push_operation {
 public:
  push_operation(Lane& to, std::remove_reference_t<Value>& value) : to_(&to), value_(&value) {}
  [[nodiscard]] auto& line() noexcept { return to_->not_full.events; }
  bool try_now() {
    result_ = to_->push_now(static_cast<Value&&>(*value_));
    return result_ != outcome::full || to_->policy != overflow::block;
  }
  bool attempt() {
    threw_ = true;
    result_ = to_->offer_quietly(static_cast<Value&&>(*value_));
    threw_ = false;
    return result_ != outcome::full;
  }
  [[nodiscard]] auto tell() noexcept {
    return [to = to_, result = result_, threw = threw_] {
      // A constructor that throws may have freed the place that another one waits for.
      if (threw) return to->not_full.events.notify_one();
      to->tell_of_offer(result);
    };
  }
  void cancel() noexcept { result_ = outcome::cancelled; }
  [[nodiscard]] outcome answer() const noexcept { return result_; }
  void abandon() noexcept {}

 private:
  Lane* to_;
  std::remove_reference_t<Value>* value_;
  outcome result_ = outcome::full;
  bool threw_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
