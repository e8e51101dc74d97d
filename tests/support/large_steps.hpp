// A step_executor for what does many things in a task: step_executor itself asks for small ones.
#pragma once

#include <utility>

#include "millrace/flow/executor.hpp"
#include "millrace/testing/step_executor.hpp"

namespace support {

class large_steps final : public millrace::executor {
 public:
  explicit large_steps(millrace::testing::step_executor& to) noexcept : to_(to) {}
  void post(task t) noexcept override { to_.post(std::move(t)); }

 private:
  millrace::testing::step_executor& to_;
};

}  // namespace support
