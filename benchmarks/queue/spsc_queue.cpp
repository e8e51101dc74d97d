#include "millrace/queue/spsc_queue.hpp"

#include "support/suite.hpp"

namespace {

template <class T>
class queue : public millrace::spsc_queue<T> {
 public:
  static constexpr bool one_to_one = true;
  using millrace::spsc_queue<T>::spsc_queue;
};

}  // namespace

void bench::add_spsc_queue(suite& s) {
  const char* name = "millrace::spsc_queue";
  s.add<queue<word>>(name, role::ours);
  s.add<queue<block>>(name, role::ours);
  s.add<queue<pointer>>(name, role::ours);

  s.targets.insert(s.targets.end(), {
                                        {"spsc/8B/4096/single", 1.0, {}},
                                        {"spsc/8B/4096/ping-pong", 1.0, {}},
                                        {"spsc/8B/4096/1P1C", 1.0, {}},
                                    });
}
