// The partner's code, compiled once in a second translation unit and once in the shared library.
#pragma once

#include <utility>

#include "house/sharing.hpp"

namespace sharing {
namespace {

inline constexpr partner this_side{[] { return layout_here(); },
                                   [](words& queue) {
                                     for (std::size_t n = queue.size_approx(); n > 0; --n) {
                                       if (!queue.try_push(queue.try_pop().value() + 1000)) return;
                                     }
                                   },
                                   [](texts& queue) {
                                     for (std::size_t n = queue.size_approx(); n > 0; --n) {
                                       if (!queue.try_push(queue.try_pop().value() + ", seen")) return;
                                     }
                                   },
                                   [](line& from, line& to) {
                                     while (std::string* text = from.front()) {
                                       if (!to.try_push(*text + ", seen")) return;
                                       from.pop();
                                     }
                                   },
                                   [](stream& from, stream& to) {
                                     for (std::string& text : from) {
                                       if (to.push(std::move(text) + ", seen") != millrace::outcome::ok)
                                         return;
                                     }
                                     to.close();
                                   }};

}  // namespace
}  // namespace sharing
