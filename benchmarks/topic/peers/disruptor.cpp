// The LMAX Disruptor: a Java process for each size of a message and way of waiting, kept alive so that it is warm, and asked
// for a sample whenever it is its turn. See disruptor/Workloads.java.
#include "support/suite.hpp"

#if BENCH_DISRUPTOR
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace bench;
using topics::plan;
using topics::waits;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

class java {
 public:
  java(std::string bytes, std::string waiting) : bytes_(std::move(bytes)), waiting_(std::move(waiting)) {}
  java(const java&) = delete;
  java& operator=(const java&) = delete;
  ~java() {
    if (to_ == nullptr) return;
    std::fclose(to_);  // the end of its input is the end of it
    std::fclose(from_);
    ::waitpid(child_, nullptr, 0);
  }

  /// The numbers of the answer.
  std::vector<double> ask(const std::string& request) {
    if (to_ == nullptr) start();
    char line[512] = "";
    if (std::fprintf(to_, "%s\n", request.c_str()) < 0 || std::fflush(to_) != 0 ||
        std::fgets(line, sizeof line, from_) == nullptr) {
      throw std::runtime_error("the Java process has gone");
    }
    std::istringstream answer(line);
    std::string word;
    answer >> word;
    if (word != "ok") {
      const std::string why = line;
      throw std::runtime_error(why.substr(0, why.find('\n')));
    }
    std::vector<double> numbers;
    for (double n = 0; answer >> n;) numbers.push_back(n);
    return numbers;
  }

 private:
  void start() {
    // Then a process that has gone is an error of the write.
    std::signal(SIGPIPE, SIG_IGN);
    // why O_CLOEXEC: another Java process would hold the pipe open
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) fail("pipe2");
    child_ = ::fork();
    if (child_ < 0) fail("fork");
    if (child_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      // The memory is that of the rings; nothing is allocated while it is measured.
      ::execl(BENCH_JAVA, BENCH_JAVA, "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp",
              BENCH_DISRUPTOR_CLASSES, "Workloads", bytes_.c_str(), waiting_.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = ::fdopen(in[1], "w");
    from_ = ::fdopen(out[0], "r");
    if (to_ == nullptr || from_ == nullptr) fail("fdopen");
  }

  std::string bytes_;
  std::string waiting_;
  pid_t child_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

double run(java& with, const char* name, unsigned readers, std::uint64_t messages) {
  const std::string request =
      std::string("run ") + name + ' ' + std::to_string(readers) + ' ' + std::to_string(messages);
  return with.ask(request).at(0) / static_cast<double>(messages);
}

void enter_plans(suite& s, const std::shared_ptr<java>& with, waits how, const char* item, const char* name) {
  for (const plan& p : topics::plans()) {
    s.topics.push_back({topics::table_of(how, item),
                        {topics::column_of(p)},
                        name,
                        role::peer,
                        [with, &p](std::uint64_t messages) {
                          const char* its = p.name == "unicast, multi" ? "multi" : p.name.c_str();
                          return std::vector{run(*with, its, 0, topics::rounded(p, messages))};
                        }});
  }
}

}  // namespace

void bench::add_topic_disruptor(suite& s) {
  const char* name = "LMAX Disruptor";
  const auto one = [](const char* bytes, const char* waiting) {
    return std::make_shared<java>(bytes, waiting);
  };
  enter_plans(s, one("8", "yielding"), waits::spinning, "8B", name);
  enter_plans(s, one("64", "yielding"), waits::spinning, "64B", name);
  const char* as_here = "LMAX Disruptor, waiting as the others";
  enter_plans(s, one("8", "bench"), waits::spinning, "8B", as_here);
  enter_plans(s, one("64", "bench"), waits::spinning, "64B", as_here);
  const auto blocking = one("8", "blocking");
  enter_plans(s, blocking, waits::parking, "8B", name);
  enter_plans(s, one("64", "blocking"), waits::parking, "64B", name);

  for (const unsigned n : topics::crowds) {
    s.topics.push_back({topics::crowd_table,
                        {topics::column_of(topics::crowd(n))},
                        name,
                        role::peer,
                        [blocking, n](std::uint64_t messages) {
                          return std::vector{run(*blocking, "crowd", n, topics::for_crowd(messages, n)) / n};
                        }});
  }
  for (const bool many : {false, true}) {
    s.topics.push_back({topics::publish_table,
                        {topics::publish_column(many)},
                        name,
                        role::peer,
                        [blocking, many](std::uint64_t messages) {
                          const char* which = many ? "publish many " : "publish one ";
                          const double ns = blocking->ask(which + std::to_string(messages)).at(0);
                          return std::vector{ns / static_cast<double>(messages)};
                        }});
  }
  s.topics.push_back(
      {topics::publish_table, topics::wake_columns(), name, role::peer, [blocking](std::uint64_t) {
         std::vector<double> both = blocking->ask("wake " + std::to_string(topics::wake_ups));
         for (double& ns : both) ns *= 1e-3;
         return both;
       }});
}
#else
void bench::add_topic_disruptor(suite& s) {
  s.missing_topic("the LMAX Disruptor: libdisruptor-java, default-jdk-headless");
}
#endif
