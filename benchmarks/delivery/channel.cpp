// What workers would share if nothing were to be acknowledged: a pop is all.
#include "millrace/queue/channel.hpp"

#include "support/delivery.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using bench::delivery::worked;

class channel {
 public:
  void publish(std::uint64_t n) {
    for (std::uint64_t i = 1; i <= n; ++i) static_cast<void>(channel_.push(i));
    channel_.close();
  }
  worked work(unsigned) {
    worked did;
    for (word v = 0; channel_.pop(v) == millrace::outcome::ok;) did.note(v);
    did.last = stopwatch::now();
    return did;
  }
  static void check(std::uint64_t) {}

 private:
  millrace::channel<word> channel_{delivery::capacity};
};

}  // namespace

void bench::add_delivery_channel(suite& s) {
  for (const unsigned workers : delivery::crews) {
    s.delivery.push_back({delivery::ack_table,
                          {delivery::column_of(workers)},
                          "millrace::channel",
                          role::reference,
                          [workers](std::uint64_t messages) {
                            channel fresh;
                            return std::vector{delivery::sample(fresh, workers, messages)};
                          }});
  }
}
