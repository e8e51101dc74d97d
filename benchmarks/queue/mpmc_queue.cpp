#include "millrace/queue/mpmc_queue.hpp"

#include <cstddef>
#include <iterator>
#include <utility>

#include "support/suite.hpp"

namespace {

template <class T, class... Options>
class queue : public millrace::mpmc_queue<T, Options...> {
 public:
  using millrace::mpmc_queue<T, Options...>::mpmc_queue;

  std::size_t try_push_n(T* first, std::size_t n) {
    return millrace::mpmc_queue<T, Options...>::try_push_n(std::move_iterator<T*>(first), n);
  }
};

// A word that the queue does not know to be one, so that it is stored in place.
struct opaque_word {
  opaque_word() = default;
  explicit opaque_word(bench::word w) noexcept : value(w) {}
  opaque_word(opaque_word&& o) noexcept : value(o.value) {}
  opaque_word& operator=(opaque_word&& o) noexcept {
    value = o.value;
    return *this;
  }
  ~opaque_word() = default;
  bench::word value = 0;
};

class slots_of_words {
 public:
  using value_type = bench::word;
  explicit slots_of_words(std::size_t capacity) : queue_(capacity) {}
  bool try_push(bench::word&& v) { return queue_.try_push(opaque_word(v)); }
  bool try_pop(bench::word& v) {
    opaque_word out;
    if (!queue_.try_pop(out)) return false;
    v = out.value;
    return true;
  }

 private:
  millrace::mpmc_queue<opaque_word> queue_;
};

}  // namespace

void bench::add_mpmc_queue(suite& s) {
  using millrace::no_backoff;
  using millrace::use_backoff;
  const char* name = "millrace::mpmc_queue";
  s.add<queue<word>>(name, role::ours);
  s.add<queue<block>>(name, role::ours);
  s.add<queue<pointer>>(name, role::ours);
  const char* bare = "millrace::mpmc_queue, no backoff";
  s.add<queue<word, use_backoff<no_backoff>>>(bare, role::variant);
  s.add<queue<block, use_backoff<no_backoff>>>(bare, role::variant);
  s.add<slots_of_words>("millrace::mpmc_queue, in place", role::variant);

  s.targets.insert(s.targets.end(), {
                                        {"try/8B/4096/ping-pong", 2.0, {}},
                                        {"try/8B/4096/1P1C", 2.0, {}},
                                        {"try/8B/4096/2P2C", 2.0, {}},
                                        {"try/8B/4096/4P4C", 2.0, {}},
                                        {"try/8B/4096/1P4C", 2.0, {}},
                                        {"try/8B/4096/4P1C", 1.2, {}},
                                        {"try/64B/4096/ping-pong", 0.9, {}},
                                        {"try/64B/4096/1P1C", 1.5, {}},
                                        {"try/64B/4096/2P2C", 2.0, {}},
                                        {"try/64B/4096/4P4C", 1.3, {}},
                                        {"try/64B/4096/1P4C", 1.3, {}},
                                        {"try/64B/4096/4P1C", 1.1, {}},
                                    });
}
