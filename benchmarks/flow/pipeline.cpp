#include "millrace/flow/pipeline.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/flow/executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/flow.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using flow::order;
using flow::results;
using flow::size;

/// The stages behind what `from` has made.
template <size Size, order How, std::size_t Workers, class Line>
auto finished(Line line, results& out) {
  const auto all = [] {
    return millrace::stage_options{.workers = Workers, .capacity = flow::most_between - Workers};
  };
  const auto work = [](const word& v) { return flow::stage<Size>(v); };
  auto three =
      std::move(line).stage("first", all(), work).stage("second", all(), work).stage("third", all(), work);
  const auto last = [&out](const word& v) { out.take(flow::stage<Size>(v)); };
  if constexpr (How == order::kept) {
    return std::move(three).ordered().to(last);
  } else {
    return std::move(three).to(last);
  }
}

template <size Size, order How, std::size_t Workers>
class pipeline {
 public:
  pipeline(flow::source& from, results& out)
      : line_("bench", finished<Size, How, Workers>(millrace::from(from), out), workers_, timers_) {}
  void run() {
    line_.start();
    line_.join();
  }

 private:
  millrace::thread_executor workers_{flow::threads()};
  millrace::timer_service timers_;  // nothing fails, so nobody has to run it
  millrace::pipeline line_;
};
template <size Size, order How>
class one_worker : public pipeline<Size, How, 1> {
  using pipeline<Size, How, 1>::pipeline;
};
template <size Size, order How>
class two_workers : public pipeline<Size, How, 2> {
  using pipeline<Size, How, 2>::pipeline;
};

/// The messages are those of a topic, and acknowledged.
template <size Size, order How>
class from_group {
 public:
  from_group(flow::source& from, results& out) {
    std::vector<word> all;
    for (word v = 0; from.try_pop(v) == millrace::outcome::ok;) all.push_back(v);
    topic_.emplace(all.size());
    auto group = topic_->group("bench");
    for (const word v : all) static_cast<void>(topic_->publish(v));
    topic_->close();
    line_.emplace("bench", finished<Size, How, 1>(millrace::from(group), out), workers_, timers_);
  }
  void run() {
    line_->start();
    line_->join();
  }

 private:
  millrace::thread_executor workers_{flow::threads()};
  millrace::timer_service timers_;
  std::optional<millrace::topic<word>> topic_;
  std::optional<millrace::pipeline> line_;
};

}  // namespace

void bench::add_pipeline(suite& s) {
  for (const order how : {order::any, order::kept}) {
    s.add_pipeline<one_worker>("millrace::pipeline", role::ours).both_sizes(how);
    s.add_pipeline<two_workers>("millrace::pipeline, two workers a stage", role::variant).both_sizes(how);
    s.add_pipeline<from_group>("millrace::pipeline, from a consumer group", role::variant).both_sizes(how);
  }

  const std::vector<std::string> tbb{"tbb::parallel_pipeline", "tbb::parallel_pipeline, serial filters"};
  for (const size of : {size::tiny, size::microsecond}) {
    const double at_least = of == size::tiny ? 1 : 0.95;  // the stages themselves are the most of the second
    s.flow_targets.push_back({flow::pipeline_table(of), at_least, tbb});
    s.flow_targets.push_back({flow::pipeline_table(of), at_least, {"millrace::channel between threads"}});
  }
}
