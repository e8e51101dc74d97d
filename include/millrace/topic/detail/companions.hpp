// What components of other rooms keep with a topic: it goes with the topic, before its log.
#pragma once

#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Companion>
inline constexpr char kind_of = 0;  // its address tells the kinds apart, as there may be no RTTI

class companion {
 public:
  explicit companion(const char* kind) noexcept : kind_(kind) {}
  companion(const companion&) = delete;
  companion& operator=(const companion&) = delete;
  virtual ~companion() = default;
  [[nodiscard]] const char* kind() const noexcept { return kind_; }

 private:
  template <class>
  friend class companions;
  const char* const kind_;
  companion* next_ = nullptr;  // guarded by the mutex of companions
};

template <class Sync>
class companions {
 public:
  companions() noexcept = default;
  companions(const companions&) = delete;
  companions& operator=(const companions&) = delete;
  ~companions() {
    while (first_ != nullptr) {
      companion* const c = first_;
      first_ = c->next_;
      delete c;
    }
  }

  /// The Companion of which is_it(Companion&) is true, or else the one that make() returns, which is kept. One thread at a time is
  /// in here.
  template <class Companion, class IsIt, class Make>
  Companion& find_or_add(IsIt is_it, Make make) {
    struct guard {
      typename mutex_of<Sync>::type& m;
      explicit guard(typename mutex_of<Sync>::type& mutex) : m(mutex) { m.lock(); }
      ~guard() { m.unlock(); }
    } const locked(mutex_);
    for (companion* c = first_; c != nullptr; c = c->next_) {
      if (c->kind() == &kind_of<Companion> && is_it(static_cast<Companion&>(*c)))
        return static_cast<Companion&>(*c);
    }
    Companion* const made = make();
    static_cast<companion*>(made)->next_ = first_;
    first_ = made;
    return *made;
  }

 private:
  typename mutex_of<Sync>::type mutex_;
  companion* first_ = nullptr;  // guarded by mutex_
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
