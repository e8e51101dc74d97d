// Lines, chunks of whole lines, and a reader that cuts a file into chunks: in constant memory, whatever the
// file.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

using std::size_t;
using text = std::string_view;
using count = std::uint64_t;

constexpr size_t longest_shown = 64 * 1024;

struct line {
  text shown;  // without the '\n'; of a line longer than longest_shown only the beginning
  count more;  // how many bytes the line has besides
  bool ended;  // by a '\n', which only the last line of the input may lack
};

/// What shows whether two threads have seen the same lines, in whatever order.
struct census {
  count lines = 0;
  count bytes = 0;
  count longest = 0;
  count checksum = 0;  // the sum of the lines' hashes

  void add(const line& l) {
    const count length = l.shown.size() + l.more;
    add({1, length + (l.ended ? 1 : 0), length, std::hash<text>()(l.shown) + l.more});
  }
  void add(const census& part) {
    lines += part.lines;
    bytes += part.bytes;
    longest = std::max(longest, part.longest);
    checksum += part.checksum;
  }
  bool operator==(const census&) const = default;
};

/// Whole lines, as many as fit.
struct chunk {
  std::array<char, longest_shown + 1> bytes;
  size_t size = 0;
  count more = 0;  // what its line has besides, where a single one does not fit

  [[nodiscard]] count lines() const {
    const text all(bytes.data(), size);
    return static_cast<count>(std::ranges::count(all, '\n')) + (all.ends_with('\n') ? 0 : 1);
  }
  template <class F>
  void for_each_line(F f) const {
    for (text rest(bytes.data(), size); !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      f(line{rest.substr(0, end), more, end < rest.size()});
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
};

/// Cuts a file into chunks: its first `limit` bytes, `times` over. A chunk is complete when it is full, or
/// when a pipe has no more for the moment.
class reader {
 public:
  reader(std::FILE* from, count limit, size_t times)
      : from_(from), limit_(limit), left_(limit), times_(times) {}

  /// Nothing: the end.
  std::unique_ptr<chunk> next() {
    auto c = std::make_unique_for_overwrite<chunk>();
    while (!fill(*c)) {
      if (error_ != 0 || --times_ == 0) return nullptr;
      std::rewind(from_);
      left_ = limit_;
    }
    return c;
  }
  /// errno, if the file could not be read to its end.
  [[nodiscard]] int error() const { return error_; }

 private:
  bool fill(chunk& c) {
    c.size = begun_.copy(c.bytes.data(), begun_.size());
    begun_.clear();
    while (c.size < c.bytes.size()) {
      const size_t got = read(c.bytes.data() + c.size, c.bytes.size() - c.size);
      c.size += got;
      const text all(c.bytes.data(), c.size);
      if (const size_t last = all.rfind('\n'); last != text::npos) {
        begun_ = all.substr(last + 1);
        c.size = last + 1;
        return true;
      }
      if (got == 0) return c.size > 0;
    }
    skip_rest_of_line(c);
    return true;
  }

  void skip_rest_of_line(chunk& c) {
    c.size = longest_shown;
    c.more = c.bytes.size() - longest_shown;
    do {
      begun_.resize(longest_shown);
      begun_.resize(read(begun_.data(), begun_.size()));
      const size_t end = begun_.find('\n');
      c.more += std::min(end, begun_.size());
      if (end != text::npos) {
        c.bytes[c.size++] = '\n';
        begun_.erase(0, end + 1);
        return;
      }
    } while (!begun_.empty());
  }

  // At least a byte; 0 at the end.
  size_t read(char* to, size_t n) {
    n = static_cast<size_t>(std::min<count>(n, left_));
#if __has_include(<unistd.h>)
    // why not fread: it waits until there are n, and a slow pipe would seem to stand still.
    const auto got = ::read(fileno(from_), to, n);
    if (got < 0) error_ = errno;
    n = static_cast<size_t>(std::max<decltype(got)>(got, 0));
#else
    n = std::fread(to, 1, n, from_);
    if (std::ferror(from_) != 0) error_ = errno;
#endif
    left_ -= n;
    return n;
  }

  std::FILE* from_;
  count limit_;
  count left_;
  size_t times_;
  int error_ = 0;
  std::string begun_;  // what has been read of the next chunk
};
