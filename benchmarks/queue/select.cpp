// A select over n channels, of which one at a time has something. The cell's capacity tells n.
#include "millrace/queue/select.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "support/suite.hpp"

namespace {

using bench::word;
using channel = millrace::channel<word>;
constexpr std::size_t places = 64;

/// n channels, the next push into one at random.
template <std::size_t N>
class several {
 public:
  using value_type = word;
  explicit several(std::size_t) {}
  void push(word&& v) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    static_cast<void>(at(random_ % N).push(std::move(v)));
  }

 protected:
  channel& at(std::size_t i) { return channels_[i].it; }

 private:
  struct own {
    channel it{places};
  };
  std::array<own, N> channels_;
  word random_ = 88172645463325252;  // the producer's
};

template <std::size_t N>
class by_cases : public several<N> {
 public:
  using several<N>::several;
  void pop(word& v) { pop(v, std::make_index_sequence<N>()); }

 private:
  template <std::size_t... I>
  void pop(word& v, std::index_sequence<I...>) {
    millrace::select(millrace::on_pop(this->at(I), [&](std::optional<word> got) { v = *got; })...);
  }
};

template <std::size_t N>
class by_list : public several<N> {
 public:
  explicit by_list(std::size_t n) : several<N>(n) {
    for (std::size_t i = 0; i < N; ++i) list_[i] = &this->at(i);
  }
  void pop(word& v) {
    millrace::select(millrace::on_pop_any(list_, [&](std::size_t, std::optional<word> got) { v = *got; }));
  }

 private:
  std::array<channel*, N> list_;
};

/// What one does without a select: tries them one after the other, and yields.
template <std::size_t N>
class polled : public several<N> {
 public:
  using several<N>::several;
  void pop(word& v) {
    for (bench::waiting wait;; wait()) {
      for (std::size_t n = 0; n < N; ++n) {
        next_ = (next_ + 1) % N;
        if (this->at(next_).try_pop(v) == millrace::outcome::ok) return;
      }
    }
  }

 private:
  std::size_t next_ = 0;  // the consumer's
};

/// What one does where the messages can share a channel.
class shared {
 public:
  using value_type = word;
  explicit shared(std::size_t) {}
  void push(word&& v) { static_cast<void>(channel_.push(std::move(v))); }
  void pop(word& v) { static_cast<void>(channel_.pop(v)); }

 private:
  channel channel_{places};
};

template <std::size_t N>
void add(bench::suite& s) {
  using bench::role;
  s.add_select<by_cases<N>>(N, "millrace::select, on_pop", role::ours);
  s.add_select<by_list<N>>(N, "millrace::select, on_pop_any", role::variant);
  s.add_select<polled<N>>(N, "try_pop of each in turn, no sleep", role::reference);
  s.add_select<shared>(N, "one channel for all", role::reference);
}

}  // namespace

void bench::add_select(suite& s) {
  add<2>(s);
  add<8>(s);
}
