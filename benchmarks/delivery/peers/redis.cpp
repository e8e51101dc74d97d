// A Redis stream with a consumer group, over a socket of the file system, and nothing saved. The producer sends 100 XADDs at
// once and has up to 1,000 that are not answered; a worker reads 100 messages at a time and sends the XACK for all of them
// together with its next XREADGROUP.
#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "delivery/peers/server.hpp"
#include "support/delivery.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using bench::delivery::worked;

constexpr std::uint64_t batch = 100;
constexpr std::uint64_t most_pending = 1000;
/// How long a worker waits for messages before it looks whether there are to be any. What comes is not kept waiting by it.
constexpr const char* patience = "50";

class redis {
 public:
  connection connect() {
    if (server_ == nullptr) {
      server_ = std::make_unique<server>(
          find_program("redis-server"),
          [](const std::string& folder) {
            return std::vector<std::string>{"--port", "0",   "--unixsocket", socket(folder),
                                            "--save", "",    "--appendonly", "no",
                                            "--dir",  folder};
          },
          [](const std::string& folder) { static_cast<void>(connection::to_socket(socket(folder))); });
    }
    return connection::to_socket(socket(server_->folder()));
  }

 private:
  static std::string socket(const std::string& folder) { return folder + "/redis.sock"; }
  std::unique_ptr<server> server_;
};

void put_bulk(std::string& out, std::string_view word) {
  ((out += '$') += std::to_string(word.size())) += "\r\n";
  (out += word) += "\r\n";
}
void put_count(std::string& out, std::size_t n) { ((out += '*') += std::to_string(n)) += "\r\n"; }
template <class... Words>
void put(std::string& out, const Words&... words) {
  put_count(out, sizeof...(words));
  (put_bulk(out, words), ...);
}

/// The number behind the first character of a reply, which says what comes: -1 if nothing does.
std::int64_t header(connection& c, char kind) {
  const std::string_view line = c.line();
  if (line.empty() || line.front() != kind) {
    throw std::runtime_error("redis-server has answered " + std::string(line));
  }
  std::int64_t n = 0;
  std::from_chars(line.data() + 1, line.data() + line.size(), n);
  return n;
}
std::string_view bulk(connection& c) { return c.block(static_cast<std::size_t>(header(c, '$'))); }
void expect(connection& c, std::string_view answer) {
  const std::string_view line = c.line();
  if (line != answer) throw std::runtime_error("redis-server has answered " + std::string(line));
}

class stream {
 public:
  stream(redis& at, unsigned workers, std::uint64_t messages) : all_(messages), producer_(at.connect()) {
    for (unsigned k = 0; k < workers; ++k) workers_.push_back(at.connect());
    put(producer_.out(), "FLUSHALL");
    put(producer_.out(), "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM");
    producer_.send();
    expect(producer_, "+OK");
    expect(producer_, "+OK");
  }

  void publish(std::uint64_t n) {
    std::uint64_t pending = 0;
    for (std::uint64_t i = 1; i <= n; ++i) {
      std::array<char, sizeof i> bytes{};
      std::memcpy(bytes.data(), &i, sizeof i);
      put(producer_.out(), "XADD", "s", "*", "m", std::string_view(bytes.data(), bytes.size()));
      ++pending;
      if (i % batch == 0 || i == n) {
        producer_.send();
        for (; pending > (i == n ? 0 : most_pending - batch); --pending) static_cast<void>(bulk(producer_));
      }
    }
  }

  worked work(unsigned k) {
    connection& c = workers_[k];
    const std::string name = std::to_string(k);
    worked did;
    did.last = stopwatch::now();
    stopwatch::time_point heard = did.last;
    std::vector<std::string> ids;
    for (;;) {
      const std::size_t acks = ids.size();
      if (acks != 0) {
        put_count(c.out(), 3 + acks);
        for (const char* w : {"XACK", "s", "g"}) put_bulk(c.out(), w);
        for (const std::string& id : ids) put_bulk(c.out(), id);
        ids.clear();
      }
      put(c.out(), "XREADGROUP", "GROUP", "g", name, "COUNT", "100", "BLOCK", patience, "STREAMS", "s", ">");
      c.send();
      if (acks != 0) {
        if (header(c, ':') != static_cast<std::int64_t>(acks)) {
          throw std::runtime_error("redis-server has not acknowledged all that it was asked to");
        }
        did.last = stopwatch::now();
        settled_.fetch_add(acks, std::memory_order_relaxed);
      }
      read(c, ids, did);
      if (!ids.empty()) {
        heard = stopwatch::now();
      } else {
        if (settled_.load(std::memory_order_relaxed) == all_) return did;
        delivery::check(stopwatch::now() - heard < delivery::longest_silence, "Redis does not deliver all");
      }
    }
  }

  void check(std::uint64_t) {
    put(producer_.out(), "XPENDING", "s", "g");
    producer_.send();
    header(producer_, '*');
    bench::delivery::check(header(producer_, ':') == 0, "Redis holds messages that were not acknowledged");
  }

 private:
  static void read(connection& c, std::vector<std::string>& ids, worked& did) {
    if (header(c, '*') <= 0) return;  // it has waited in vain
    header(c, '*');
    static_cast<void>(bulk(c));  // of which stream
    for (std::int64_t n = header(c, '*'); n > 0; --n) {
      header(c, '*');
      ids.emplace_back(bulk(c));
      header(c, '*');
      static_cast<void>(bulk(c));  // the name of the field
      const std::string_view value = bulk(c);
      std::uint64_t number = 0;
      if (value.size() != sizeof number) throw std::runtime_error("Redis has changed a message");
      std::memcpy(&number, value.data(), sizeof number);
      did.note(number);
    }
  }

  std::uint64_t all_;
  connection producer_;
  std::vector<connection> workers_;
  std::atomic<std::uint64_t> settled_{0};
};

}  // namespace

void bench::add_redis(suite& s) {
  if (find_program("redis-server").empty()) {
    s.missing_delivery("Redis: redis-server");
    return;
  }
  const auto shared = std::make_shared<redis>();
  for (const unsigned workers : delivery::crews) {
    s.delivery.push_back({delivery::ack_table,
                          {delivery::column_of(workers)},
                          "Redis stream",
                          role::peer,
                          [shared, workers](std::uint64_t messages) {
                            stream fresh(*shared, workers, messages);
                            return std::vector{delivery::sample(fresh, workers, messages)};
                          },
                          true,
                          delivery::most_of_brokers});
  }
}
