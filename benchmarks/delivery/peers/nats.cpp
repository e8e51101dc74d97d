// NATS JetStream: a work-queue stream in memory, and one durable pull consumer that all workers fetch from. The producer waits
// for the answers of its publishes, up to 4,000 of which may be missing; a worker asks for 100 messages at a time and sends the
// acknowledgements of what has come together.
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "delivery/peers/server.hpp"
#include "support/delivery.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using bench::delivery::fate;
using bench::delivery::worked;

constexpr std::uint64_t batch = 100;
constexpr std::uint64_t most_pending = 4000;
/// A batch, and how long a worker waits for it before it looks whether there is to be more: ns. What comes is not kept
/// waiting by it.
constexpr const char* request = R"({"batch":100,"expires":50000000})";

struct message {
  std::string reply;  // where an answer goes
  std::string_view head;
  std::string_view body;
};

/// What the client library of a language does.
class client {
 public:
  explicit client(connection&& to) : to_(std::move(to)), inbox_("_INBOX." + std::to_string(++clients)) {
    static_cast<void>(to_.line());  // INFO
    to_.out() += "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
    ((to_.out() += "SUB ") += inbox_) += " 1\r\n";
    flush();
  }

  /// Goes with the next send.
  void publish(std::string_view subject, std::string_view body, bool answered) {
    std::string& out = to_.out();
    ((out += "PUB ") += subject) += ' ';
    if (answered) (out += inbox_) += ' ';
    (out += std::to_string(body.size())) += "\r\n";
    (out += body) += "\r\n";
  }
  void send() { to_.send(); }
  /// The next one for the inbox.
  void receive(message& m) {
    for (;;) {
      const std::string_view line = to_.line();
      if (line.substr(0, 4) == "MSG " || line.substr(0, 5) == "HMSG ") {
        take(line, m);
        return;
      }
      if (line == "PING") {
        to_.out() += "PONG\r\n";
        to_.send();
      } else if (line != "PONG") {
        throw std::runtime_error("nats-server says " + std::string(line));
      }
    }
  }
  [[nodiscard]] bool has_more() const noexcept { return to_.has_more(); }
  /// Sends, and waits until the server has seen it all. Nothing else may be under way to here.
  void flush() {
    to_.out() += "PING\r\n";
    to_.send();
    for (;;) {
      const std::string_view line = to_.line();
      if (line == "PONG") return;
      if (line != "PING") throw std::runtime_error("nats-server says " + std::string(line));
      to_.out() += "PONG\r\n";
      to_.send();
    }
  }
  /// The answer to a request of the JetStream API.
  std::string ask(std::string_view what, std::string_view body) {
    publish(std::string("$JS.API.") += what, body, true);
    send();
    message m;
    receive(m);
    if (!m.head.empty() || m.body.find("\"error\"") != std::string_view::npos) {
      throw std::runtime_error("nats-server answers " + std::string(m.head) + std::string(m.body));
    }
    return std::string(m.body);
  }

 private:
  // MSG subject sid [reply] size, or HMSG subject sid [reply] size-of-head size
  void take(std::string_view line, message& m) {
    std::array<std::string_view, 6> words;
    std::size_t n = 0;
    while (n < words.size() && !line.empty()) {
      const std::size_t end = line.find(' ');
      words[n++] = line.substr(0, end);
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    }
    const bool has_head = words[0] == "HMSG";
    const std::size_t numbers = has_head ? 2 : 1;
    const auto number = [](std::string_view w) {
      std::size_t v = 0;
      std::from_chars(w.data(), w.data() + w.size(), v);
      return v;
    };
    const std::size_t size = number(words[n - 1]);
    const std::size_t head = has_head ? number(words[n - 2]) : 0;
    m.reply = n == 4 + numbers ? words[3] : std::string_view();  // before what it is in moves
    const std::string_view all = to_.block(size);
    m.head = all.substr(0, head);
    m.body = all.substr(head);
  }

  static inline std::uint64_t clients = 0;  // made by one thread
  connection to_;
  std::string inbox_;
};

class nats {
 public:
  client connect() {
    if (server_ == nullptr) {
      port_ = free_port();
      server_ = std::make_unique<server>(
          find_program("nats-server"),
          [this](const std::string& folder) {
            return std::vector<std::string>{
                "-js", "-sd", folder, "-a", "127.0.0.1", "-p", std::to_string(port_)};
          },
          [this](const std::string&) { static_cast<void>(connection::to_port(port_)); });
    }
    return client(connection::to_port(port_));
  }

 private:
  std::uint16_t port_ = 0;
  std::unique_ptr<server> server_;
};

template <fate What>
class work_queue {
 public:
  work_queue(nats& at, unsigned workers, std::uint64_t messages) : all_(messages), producer_(at.connect()) {
    static_cast<void>(producer_.ask(
        "STREAM.CREATE.w", R"({"name":"w","subjects":["w"],"retention":"workqueue","storage":"memory"})"));
    static_cast<void>(
        producer_.ask("CONSUMER.DURABLE.CREATE.w.c",
                      R"({"stream_name":"w","config":{"durable_name":"c","ack_policy":"explicit",)"
                      R"("deliver_policy":"all","max_ack_pending":-1}})"));
    for (unsigned k = 0; k < workers; ++k) workers_.push_back(std::make_unique<client>(at.connect()));
  }
  work_queue(const work_queue&) = delete;
  work_queue& operator=(const work_queue&) = delete;
  ~work_queue() {
    try {
      static_cast<void>(producer_.ask("STREAM.DELETE.w", ""));
    } catch (const std::exception&) {
      // the next one finds that there is one of that name
    }
  }

  void publish(std::uint64_t n) {
    message m;
    std::uint64_t pending = 0;
    for (std::uint64_t i = 1; i <= n; ++i) {
      std::array<char, sizeof i> bytes{};
      std::memcpy(bytes.data(), &i, sizeof i);
      producer_.publish("w", std::string_view(bytes.data(), bytes.size()), true);
      ++pending;
      if (i % batch == 0 || i == n) {
        producer_.send();
        for (; pending > (i == n ? 0 : most_pending - batch); --pending) {
          producer_.receive(m);
          if (m.body.find("\"seq\"") == std::string_view::npos) {
            throw std::runtime_error("nats-server answers " + std::string(m.head) + std::string(m.body));
          }
        }
      }
    }
  }

  worked work(unsigned k) {
    client& c = *workers_[k];
    worked did;
    did.last = stopwatch::now();
    stopwatch::time_point heard = did.last;
    message m;
    std::uint64_t settled = 0;
    for (;;) {
      c.publish("$JS.API.CONSUMER.MSG.NEXT.w.c", request, true);
      c.send();  // and the acknowledgements of the batch before
      if (settled != 0) did.last = heard = stopwatch::now();
      const bool is_all = settled_.fetch_add(settled, std::memory_order_relaxed) + settled == all_;
      if (settled == 0 && is_all) return did;
      delivery::check(stopwatch::now() - heard < delivery::longest_silence, "NATS does not deliver all");
      settled = 0;
      for (std::uint64_t got = 0; got < batch; ++got) {
        c.receive(m);
        if (!m.head.empty()) break;  // the time of the request is up
        std::uint64_t number = 0;
        if (m.body.size() != sizeof number) throw std::runtime_error("NATS has changed a message");
        std::memcpy(&number, m.body.data(), sizeof number);
        if (What == fate::fails_once && is_first(m.reply)) {
          c.publish(m.reply, "-NAK", false);
        } else {
          did.note(number);
          ++settled;
          c.publish(m.reply, "+ACK", false);
        }
        // What is the last of a batch goes with the next request.
        if (!c.has_more() && got + 1 < batch) c.send();
      }
    }
  }

  void check(std::uint64_t) {
    // why more than once: an acknowledgement is not answered, and works a moment after it has been read
    for (int i = 0; i < 1000; ++i) {
      const std::string info = producer_.ask("STREAM.INFO.w", "");
      if (info.find("\"messages\":0,") != std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    throw std::runtime_error("NATS holds messages that were not acknowledged");
  }

 private:
  /// $JS.ACK.stream.consumer.deliveries. and more
  static bool is_first(std::string_view reply) { return reply.substr(0, 14) == "$JS.ACK.w.c.1."; }

  std::uint64_t all_;
  client producer_;
  std::vector<std::unique_ptr<client>> workers_;
  std::atomic<std::uint64_t> settled_{0};
};

template <fate What>
void enter(suite& s, const std::shared_ptr<nats>& shared, unsigned workers) {
  s.delivery.push_back({delivery::table_of(What),
                        {delivery::column_of(workers)},
                        "NATS JetStream",
                        role::peer,
                        [shared, workers](std::uint64_t messages) {
                          work_queue<What> fresh(*shared, workers, messages);
                          return std::vector{delivery::sample(fresh, workers, messages)};
                        },
                        true,
                        delivery::most_of_brokers});
}

}  // namespace

void bench::add_nats(suite& s) {
  if (find_program("nats-server").empty()) {
    s.missing_delivery("NATS JetStream: nats-server");
    return;
  }
  const auto shared = std::make_shared<nats>();
  for (const unsigned workers : delivery::crews) enter<fate::succeeds>(s, shared, workers);
  for (const unsigned workers : {1U, 4U}) enter<fate::fails_once>(s, shared, workers);
}
