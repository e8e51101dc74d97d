// What a pipeline knows of the half that does its work: the verbs of the host, whatever source, stages and timers there are.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "millrace/core/config.hpp"
#include "millrace/flow/pipeline_stats.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Clock>
class pipeline_engine {
 public:
  using time_point = typename Clock::time_point;

  pipeline_engine() = default;
  pipeline_engine(const pipeline_engine&) = delete;
  pipeline_engine& operator=(const pipeline_engine&) = delete;
  virtual ~pipeline_engine() = default;
  virtual void start() = 0;
  virtual std::size_t drain(std::optional<time_point> deadline) = 0;
  virtual std::size_t stop() noexcept = 0;
  virtual void join() = 0;
  [[nodiscard]] virtual bool has_ended() const = 0;
  virtual void scale(std::string_view stage, std::size_t workers) = 0;
  [[nodiscard]] virtual pipeline_stats stats() const = 0;
  virtual bool take_parked(const void* kind, void* vector) = 0;
  /// Stopped for good: tasks and timers that still have it keep nothing of the host's, and touch nothing.
  virtual void abandon() noexcept = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
