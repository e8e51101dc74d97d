// What one would write by hand: a thread for each stage, and channels between them; and a loop without either.
#include <cstddef>
#include <latch>
#include <thread>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "support/flow.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using flow::order;
using flow::size;
using millrace::outcome;

// One thread a stage, so the order is kept anyway.
template <size Size, order>
class threads {
 public:
  threads(flow::source& from, flow::results& out) {
    start([&] { pass(from, first_); });
    start([&] { pass(first_, second_); });
    start([&] { pass(second_, third_); });
    start([&] {
      for (word v = 0; third_.pop(v) == outcome::ok;) out.take(flow::stage<Size>(v));
    });
  }
  void run() {
    go_.arrive_and_wait();
    for (std::jthread& t : threads_) t.join();
  }

 private:
  using link = millrace::channel<word>;

  template <class F>
  void start(F f) {
    threads_.emplace_back([this, f] {
      go_.arrive_and_wait();
      f();
    });
  }
  template <class From>
  static void pass(From& from, link& to) {
    for (word v = 0; from.pop(v) == outcome::ok;) static_cast<void>(to.push(flow::stage<Size>(v)));
    to.close();
  }

  link first_{flow::most_between};
  link second_{flow::most_between};
  link third_{flow::most_between};
  std::latch go_{flow::stages + 1};
  std::vector<std::jthread> threads_;
};
/// The stages one after the other, in a loop.
template <size Size, order>
class loop {
 public:
  loop(flow::source& from, flow::results& out) : from_(from), out_(out) {}
  void run() {
    for (word v = 0; from_.pop(v) == outcome::ok;) {
      for (unsigned i = 0; i < flow::stages; ++i) v = flow::stage<Size>(v);
      out_.take(v);
    }
  }

 private:
  flow::source& from_;
  flow::results& out_;
};

}  // namespace

void bench::add_pipeline_channels(suite& s) {
  for (const order how : {order::any, order::kept}) {
    s.add_pipeline<loop>("a loop in one thread", role::reference).both_sizes(how);
    s.add_pipeline<threads>("millrace::channel between threads", role::peer).both_sizes(how);
  }
}
