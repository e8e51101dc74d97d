// Boost.Signals2: the slots run in the publisher's thread, one after the other, so nothing waits and there is no log. Hence
// one producer only, and the same figure by either waiting rule. The signal is as it comes, with its mutex.
#include "support/suite.hpp"

#if __has_include(<boost/signals2.hpp>)
#include <boost/signals2.hpp>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

namespace {

using namespace bench;
using topics::plan;
using topics::waits;

template <class T>
double emit(const plan& p, std::uint64_t messages) {
  boost::signals2::signal<void(const T&)> signal;
  std::deque<topics::outcome_of_reader> out(p.readers.size());
  for (std::size_t r = 0; r < p.readers.size(); ++r) {
    topics::with(p.readers[r].what, [&](auto what) {
      signal.connect([&value = out[r].value](const T& v) {
        topics::apply<decltype(what)::value>(value, item<T>::number(v));
      });
    });
  }
  const auto publish = [&](std::uint64_t n) {
    for (topics::outcome_of_reader& o : out) o = {};
    const double seconds = race({[&](tally&) {
      for (std::uint64_t i = 1; i <= n; ++i) signal(item<T>::make(topics::number(i)));
    }});
    for (std::size_t r = 0; r < out.size(); ++r) topics::verify(p.readers[r].what, n, out[r].value);
    return 1e9 * seconds / static_cast<double>(n);
  };
  publish(messages / 8 + 1);
  return publish(messages);
}

const char* const name = "Boost.Signals2, in the publisher's thread";

template <class T>
void enter_plans(suite& s) {
  for (const waits how : {waits::spinning, waits::parking}) {
    for (const plan& p : topics::plans()) {
      if (p.name != "unicast" && p.name != "multicast") continue;
      s.topics.push_back({topics::table_of(how, item<T>::name),
                          {topics::column_of(p)},
                          name,
                          role::peer,
                          [&p](std::uint64_t messages) { return std::vector{emit<T>(p, messages)}; }});
    }
  }
}

}  // namespace

void bench::add_topic_signals2(suite& s) {
  enter_plans<word>(s);
  enter_plans<block>(s);
  for (const unsigned n : topics::crowds) {
    const plan p = topics::crowd(n);
    s.topics.push_back(
        {topics::crowd_table, {topics::column_of(p)}, name, role::peer, [n, p](std::uint64_t messages) {
           return std::vector{emit<word>(p, topics::for_crowd(messages, n)) / n};
         }});
  }
  s.topics.push_back(
      {topics::publish_table, {topics::publish_column(true)}, name, role::peer, [](std::uint64_t messages) {
         return std::vector{emit<word>(topics::nobody(true), messages)};
       }});
}
#else
void bench::add_topic_signals2(suite& s) { s.missing_topic("Boost.Signals2: libboost-dev"); }
#endif
