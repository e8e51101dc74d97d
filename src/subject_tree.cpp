#include "millrace/bus/detail/subject_tree.hpp"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <string>

#include "millrace/bus/detail/tokens.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

struct subject_tree::node {
  absl::flat_hash_map<std::string, std::unique_ptr<node>> next;
  std::vector<std::size_t> here;  // the numbers of what ends here

  [[nodiscard]] const node* behind(std::string_view token) const {
    const auto at = next.find(absl::string_view(token.data(), token.size()));
    return at == next.end() ? nullptr : at->second.get();
  }
  void add_here(std::vector<std::size_t>& out) const { out.insert(out.end(), here.begin(), here.end()); }
  void add_all_below(std::vector<std::size_t>& out) const {
    for (const auto& [token, n] : next) {
      n->add_here(out);
      n->add_all_below(out);
    }
  }
  // As deep as a subject has tokens, 128 at the most.
  void add_overlapping(subject_tokens asked, std::vector<std::size_t>& out) const {
    if (asked.is_empty()) return add_here(out);
    const std::string_view token = asked.take();
    if (token == all_the_rest) return add_all_below(out);
    if (const node* const n = behind(all_the_rest)) n->add_here(out);
    if (token == any_token) {
      for (const auto& [each, n] : next) {
        if (each != all_the_rest) n->add_overlapping(asked, out);
      }
      return;
    }
    if (const node* const n = behind(token)) n->add_overlapping(asked, out);
    if (const node* const n = behind(any_token)) n->add_overlapping(asked, out);
  }
};

subject_tree::subject_tree() : root_(std::make_unique<node>()) {}
subject_tree::~subject_tree() = default;

void subject_tree::insert(std::string_view text, std::size_t number) {
  node* at = root_.get();
  for (subject_tokens left(text); !left.is_empty();) {
    auto& next = at->next[std::string(left.take())];
    if (next == nullptr) next = std::make_unique<node>();
    at = next.get();
  }
  at->here.push_back(number);
}

std::vector<std::size_t> subject_tree::overlapping(std::string_view asked) const {
  std::vector<std::size_t> out;
  root_->add_overlapping(subject_tokens(asked), out);
  std::sort(out.begin(), out.end());  // the tables have no order, and are not the same in every run
  return out;
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
