// Subjects or patterns, each with a number, and those of them that have a subject in common with another one.
//
// A level of the tree is a token, wildcards among them, so that only what may match is walked, however many there are.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class subject_tree {
 public:
  subject_tree();
  subject_tree(const subject_tree&) = delete;
  subject_tree& operator=(const subject_tree&) = delete;
  ~subject_tree();

  /// `text` is well-formed. The same one may come again, with another number.
  void insert(std::string_view text, std::size_t number);
  /// The numbers of those for which there is a subject that both they and `asked` match, each once, in order. So a subject finds
  /// the patterns that match it, and a pattern the subjects that it matches, and the patterns that it overlaps.
  [[nodiscard]] std::vector<std::size_t> overlapping(std::string_view asked) const;

 private:
  struct node;
  std::unique_ptr<node> root_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
