// An executor that does what has been posted when it is told to, in the thread that says so: what is posted costs as little as
// it can, and who publishes is timed alone.
#pragma once

#include <deque>
#include <utility>

#include "millrace/flow/executor.hpp"

namespace bench {

/// By one thread.
class later final : public millrace::executor {
 public:
  void post(task t) noexcept override { tasks_.push_back(std::move(t)); }
  void run() {
    while (!tasks_.empty()) {
      task t = std::move(tasks_.front());
      tasks_.pop_front();
      t();
    }
  }

 private:
  std::deque<task> tasks_;
};

}  // namespace bench
