// What an attempt of a saga's step, in whosever hands, has to do with the saga that waits for it.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// What an action or a compensation is told.
struct saga_call {
  /// Its idempotency key: `saga/id/step`, or `saga/id/step/compensate`.
  std::string key;
  std::string id;
  std::string step;
  /// 1 for the first one.
  std::uint32_t attempt = 1;
  bool compensates = false;
};

namespace detail {

template <class Context>
class saga_machine;
template <class Context, class Timers>
class saga_core;
template <class Context>
class saga_desk;

template <class Context>
struct saga_open_attempt {
  std::shared_ptr<saga_desk<Context>> desk;
  std::uint64_t generation;
  saga_call call;
  Context context;
};

enum class saga_verdict : std::uint8_t {
  none,  // go on: a pause is over
  done,
  failed,
  unknown,
};

/// What a saga that waits is told.
template <class Context>
struct saga_news {
  saga_verdict what = saga_verdict::none;
  std::string reason = {};
  std::exception_ptr error = {};
  std::unique_ptr<saga_open_attempt<Context>> from = {};  // nullptr: not the attempt says so
};

template <class Context>
class saga_desk {
 public:
  /// False: it does not wait for that attempt any more.
  virtual bool settle(saga_news<Context> n) noexcept = 0;

 protected:
  ~saga_desk() = default;
};

}  // namespace detail

}  // namespace v0
}  // namespace millrace
