// millrace/delivery/duplicate_check.hpp - how a consumer group asks a deduplicator about a message.
//
// Use it when : a group is to leave out messages whose id it has dealt with lately.
// Use instead : `deduplicator` itself, where there is no group.
// Threads     : as the deduplicator.
// Order       : does not apply.
// Progress    : as the deduplicator.
// Errors      : none.
// Exceptions  : what the function that finds the id throws, from a group's receive; the message stays. Asked again when the
//               message is settled, it must not throw.
// Memory      : two pointers and the function.
// Cost        : as the deduplicator, twice a message.
// Source      : ours.
// Checked by  : tests/delivery/consumer_group_test.cpp
//
// Example:
//   millrace::deduplicator<std::uint64_t> seen({.window = 2min});
//   auto once = millrace::duplicates_by<order>(seen, [](const order& o) { return o.id; });
//   auto billing = orders.group("billing", {.duplicates = &once});
#pragma once

#include <concepts>
#include <functional>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/delivery/deduplicator.hpp"

namespace millrace {
inline namespace v0 {

/// Its group calls it; see duplicates_by.
template <class T>
class duplicate_check {
 public:
  virtual dedup_status try_begin(const T& message) = 0;
  virtual void commit(const T& message) noexcept = 0;
  virtual void abort(const T& message) noexcept = 0;

 protected:
  duplicate_check() noexcept = default;
  duplicate_check(const duplicate_check&) noexcept = default;
  duplicate_check& operator=(const duplicate_check&) noexcept = default;
  ~duplicate_check() = default;
};

/// Made by duplicates_by.
template <class T, class Deduplicator, class IdOf>
class duplicate_check_by final : public duplicate_check<T> {
 public:
  duplicate_check_by(Deduplicator& seen, IdOf id_of) : seen_(&seen), id_of_(std::move(id_of)) {}
  dedup_status try_begin(const T& message) override { return seen_->try_begin(std::invoke(id_of_, message)); }
  void commit(const T& message) noexcept override { seen_->commit(std::invoke(id_of_, message)); }
  void abort(const T& message) noexcept override { seen_->abort(std::invoke(id_of_, message)); }

 private:
  Deduplicator* seen_;
  IdOf id_of_;
};

/// For messages of type T, whose id is id_of(message). Both must outlive the groups that use it.
template <class T, class Deduplicator, class IdOf>
  requires std::convertible_to<std::invoke_result_t<IdOf&, const T&>, typename Deduplicator::id_type>
[[nodiscard]] auto duplicates_by(Deduplicator& seen, IdOf id_of) {
  return duplicate_check_by<T, Deduplicator, IdOf>(seen, std::move(id_of));
}

}  // namespace v0
}  // namespace millrace
