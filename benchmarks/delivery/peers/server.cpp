#include "delivery/peers/server.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(port);
  return a;
}

/// Closes it unless it is kept.
class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {
    if (fd < 0) fail("socket");
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }
  int keep() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

namespace bench {

std::string find_program(const char* name) {
  const char* path = std::getenv("PATH");
  // why more: not everybody's has those for daemons
  std::istringstream folders(std::string(path != nullptr ? path : "") + ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + '/' + name;
    if (!folder.empty() && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

std::uint16_t free_port() {
  const descriptor any(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in a = loopback(0);
  socklen_t size = sizeof a;
  if (::bind(any.get(), reinterpret_cast<const sockaddr*>(&a), size) != 0) fail("bind");
  if (::getsockname(any.get(), reinterpret_cast<sockaddr*>(&a), &size) != 0) fail("getsockname");
  return ntohs(a.sin_port);
}

connection connection::to_socket(const std::string& path) {
  descriptor s(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path) throw std::runtime_error("the path of the socket is too long");
  std::memcpy(a.sun_path, path.c_str(), path.size() + 1);
  if (::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) fail("connect");
  return connection(s.keep());
}

connection connection::to_port(std::uint16_t port) {
  descriptor s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in a = loopback(port);
  if (::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) fail("connect");
  const int at_once = 1;
  if (::setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once) != 0) fail("TCP_NODELAY");
  return connection(s.keep());
}

connection::connection(int socket) : socket_(socket) {
  timeval most{};
  most.tv_sec = 10;
  if (::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) != 0 ||
      ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0) {
    ::close(socket_);
    fail("SO_RCVTIMEO");
  }
}
connection::connection(connection&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      out_(std::move(other.out_)),
      in_(std::move(other.in_)),
      at_(other.at_) {}
connection::~connection() {
  if (socket_ >= 0) ::close(socket_);
}

void connection::send() {
  for (std::size_t done = 0; done < out_.size();) {
    const ssize_t n = ::send(socket_, out_.data() + done, out_.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw std::runtime_error("the broker takes nothing any more");
    done += static_cast<std::size_t>(n);
  }
  out_.clear();
}

void connection::receive() {
  constexpr std::size_t at_once = std::size_t{64} << 10;
  in_.erase(0, at_);
  at_ = 0;
  const std::size_t had = in_.size();
  in_.resize(had + at_once);
  ssize_t n = 0;
  do {
    n = ::recv(socket_, in_.data() + had, at_once, 0);
  } while (n < 0 && errno == EINTR);
  in_.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
  if (n <= 0) throw std::runtime_error(n == 0 ? "the broker has gone" : "the broker does not answer");
}

std::string_view connection::line() {
  for (std::size_t looked = 0;;) {
    const std::size_t end = in_.find("\r\n", at_ + looked);
    if (end != std::string::npos) {
      const std::string_view found(in_.data() + at_, end - at_);
      at_ = end + 2;
      return found;
    }
    looked = in_.size() - at_;
    if (looked > 0) --looked;  // half of the end may be there
    receive();
  }
}

std::string_view connection::block(std::size_t n) {
  while (in_.size() - at_ < n + 2) receive();
  const std::string_view found(in_.data() + at_, n);
  at_ += n + 2;
  return found;
}

server::server(const std::string& program,
               const std::function<std::vector<std::string>(const std::string&)>& arguments,
               const std::function<void(const std::string&)>& reached) {
  std::string folder = (std::filesystem::temp_directory_path() / "millrace_bench.XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) fail("mkdtemp");
  folder_ = folder;
  std::vector<std::string> words = arguments(folder_);
  words.insert(words.begin(), program);
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);

  const pid_t bench = ::getpid();
  child_ = ::fork();
  if (child_ < 0) fail("fork");
  if (child_ == 0) {
    // It ends with the bench, however that ends.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nowhere = ::open("/dev/null", O_RDWR);
    if (::getppid() != bench || nowhere < 0 || ::chdir(folder_.c_str()) != 0) ::_exit(127);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, fd);
    ::execv(argv.front(), argv.data());
    ::_exit(127);
  }

  using clock = std::chrono::steady_clock;
  const auto latest = clock::now() + std::chrono::seconds(10);
  for (;;) {
    try {
      reached(folder_);
      return;
    } catch (const std::system_error&) {
      const bool has_ended = ::waitpid(child_, nullptr, WNOHANG) == child_;
      if (has_ended) child_ = -1;
      if (has_ended || clock::now() > latest) {
        stop();
        throw std::runtime_error(program + " does not start");
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

server::~server() { stop(); }

void server::stop() noexcept {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);  // there is nothing that it should keep
    ::waitpid(child_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace bench
