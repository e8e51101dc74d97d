#include "millrace/queue/unbounded_queue.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "support/suite.hpp"

namespace {

template <class T>
class queue : public millrace::unbounded_queue<T> {
 public:
  explicit queue(std::size_t first_places) : millrace::unbounded_queue<T>(first_places) {}

  bool try_push(T&& v) {
    this->push(std::move(v));
    return true;
  }
};

}  // namespace

void bench::add_unbounded_queue(suite& s) {
  const char* name = "millrace::unbounded_queue";
  s.add_unbounded<queue<word>>(name, role::ours);
  s.add_unbounded<queue<block>>(name, role::ours);
  s.add_unbounded<queue<pointer>>(name, role::ours);

  const std::vector<std::string> first{"moodycamel::ConcurrentQueue"};
  const std::vector<std::string> others{"xenium::ramalhete_queue", "boost::lockfree::queue",
                                        "tbb::concurrent_queue", "mutex and deque"};
  struct aim {
    const char* shape;
    double words;
    double blocks;
  };
  for (const aim& a : {aim{"1P1C", 1.3, 1.0}, aim{"2P2C", 2.0, 1.2}, aim{"4P4C", 2.0, 1.2},
                       aim{"1P4C", 2.0, 1.2}, aim{"4P1C", 0.9, 0.9}}) {
    const std::string words = std::string("try/8B/unbounded/") + a.shape;
    const std::string blocks = std::string("try/64B/unbounded/") + a.shape;
    s.targets.push_back({words, a.words, first});
    s.targets.push_back({words, 1.5, others});
    s.targets.push_back({blocks, a.blocks, first});
    s.targets.push_back({blocks, 1.5, others});
  }
  // A place of a word is 16 bytes.
  s.burst_bytes_at_most = 1.25 * 16;
}
