// A message broker for as long as it is measured: a child process with a folder of its own, and connections to it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Where the program is; empty: it is not installed.
[[nodiscard]] std::string find_program(const char* name);

/// A TCP port of the loopback that nobody has at the moment.
[[nodiscard]] std::uint16_t free_port();

/// A socket, and what is to be sent and has been received. Throws std::runtime_error where the other side goes, or says nothing
/// for ten seconds.
class connection {
 public:
  /// std::system_error: nobody listens there.
  static connection to_socket(const std::string& path);
  static connection to_port(std::uint16_t port);
  connection(connection&& other) noexcept;
  connection& operator=(connection&&) = delete;
  ~connection();

  /// What is written here goes with the next send().
  [[nodiscard]] std::string& out() noexcept { return out_; }
  void send();
  /// Until the end of the line, without that. A view lasts until the next call.
  [[nodiscard]] std::string_view line();
  /// n bytes, and the end of a line behind them, which is dropped.
  [[nodiscard]] std::string_view block(std::size_t n);
  /// Whether something has been received that has not been asked for.
  [[nodiscard]] bool has_more() const noexcept { return at_ != in_.size(); }

 private:
  explicit connection(int socket);
  void receive();

  int socket_;
  std::string out_;
  std::string in_;
  std::size_t at_ = 0;
};

class server {
 public:
  /// Begins with `program`, arguments(its folder), and waits until `reached(its folder)` does not throw std::system_error any
  /// more. By the thread that ends the program last: with it the child ends, too.
  server(const std::string& program,
         const std::function<std::vector<std::string>(const std::string& folder)>& arguments,
         const std::function<void(const std::string& folder)>& reached);
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server();

  [[nodiscard]] const std::string& folder() const noexcept { return folder_; }

 private:
  void stop() noexcept;

  std::string folder_;
  pid_t child_ = -1;
};

}  // namespace bench
