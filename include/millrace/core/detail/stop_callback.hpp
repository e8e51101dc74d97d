// What std::stop_callback is to std::stop_token, for any kind of token: a seam, so that a model check can bring its own.
#pragma once

#include <stop_token>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Stop, class F>
struct stop_callback_of {
  using type = typename Stop::template callback_type<F>;
};
template <class F>
struct stop_callback_of<std::stop_token, F> {
  using type = std::stop_callback<F>;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
