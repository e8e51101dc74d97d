// Ids in a hash table of nodes that never move, and a line of some of them, oldest first. For one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// why: a model check brings storage of its own, in which every touch after the end is seen
template <class Sync>
struct dedup_memory {
  template <class T>
  using allocator = std::allocator<T>;
};
template <class Sync>
  requires requires { typename Sync::template allocator<int>; }
struct dedup_memory<Sync> {
  template <class T>
  using allocator = typename Sync::template allocator<T>;
};

enum class id_stage : std::uint8_t {
  of_ticket,  // in progress, and only its ticket settles it
  of_caller,  // in progress, settled by its id
  committed,  // in the line
};

template <class Id, class TimePoint>
struct id_node {
  template <class K>
  id_node(std::size_t h, K&& from) : hash(h), id(std::forward<K>(from)) {}

  const std::size_t hash;
  id_node* next = nullptr;   // in its bucket; of one that was removed, the next such
  id_node* older = nullptr;  // \ in the line
  id_node* newer = nullptr;  // /
  TimePoint until{};         // of a committed one: then its window ends
  id_stage stage = id_stage::of_caller;
  Id id;
};

/// Nothing throws but make_room, build, and find if == does.
template <class Id, class TimePoint, class Sync>
class id_table {
 public:
  using node = id_node<Id, TimePoint>;

  id_table() noexcept = default;
  id_table(const id_table&) = delete;
  id_table& operator=(const id_table&) = delete;
  ~id_table() {
    for (std::size_t b = 0; b < buckets_; ++b) {
      while (node* const n = first_[b]) {
        first_[b] = n->next;
        destroy(n);
      }
    }
    if (first_ != nullptr) for_buckets().deallocate(first_, buckets_);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  [[nodiscard]] node* find(std::size_t hash, const Id& id) const {
    if (buckets_ == 0) return nullptr;
    node* n = first_[bucket_of(hash)];
    while (n != nullptr && !(n->hash == hash && n->id == id)) n = n->next;
    return n;
  }

  /// A new node, in its bucket; `id` is taken only if there is memory.
  template <class K>
  [[nodiscard]] node* insert(std::size_t hash, K&& id) {
    if (size_ == buckets_) grow();
    node* const n = build(hash, std::forward<K>(id));
    enter(*n);
    ++size_;
    return n;
  }
  /// Out of its bucket; it must not be in the line. Who gets it destroys it.
  node* take_out(node& n) noexcept {
    node** at = &first_[bucket_of(n.hash)];
    while (*at != &n) at = &(*at)->next;
    *at = n.next;
    --size_;
    return &n;
  }
  static void destroy(node* n) noexcept {
    n->~node();
    for_nodes().deallocate(n, 1);
  }

  [[nodiscard]] node* oldest() const noexcept { return oldest_; }
  void join_line(node& n) noexcept {
    n.older = newest_;
    n.newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = &n;
    newest_ = &n;
  }
  void leave_line(node& n) noexcept {
    (n.older != nullptr ? n.older->newer : oldest_) = n.newer;
    (n.newer != nullptr ? n.newer->older : newest_) = n.older;
  }

 private:
  using for_nodes = typename dedup_memory<Sync>::template allocator<node>;
  using for_buckets = typename dedup_memory<Sync>::template allocator<node*>;

  // why multiplied: std::hash leaves an integer as it is, and ids often differ in their upper bits alone (D. Knuth, The Art
  // of Computer Programming 3, 6.4: multiplicative hashing)
  [[nodiscard]] std::size_t bucket_of(std::size_t hash) const noexcept {
    return static_cast<std::size_t>((std::uint64_t{hash} * 0x9E3779B97F4A7C15u) >> shift_);
  }
  void enter(node& n) noexcept {
    node*& first = first_[bucket_of(n.hash)];
    n.next = first;
    first = &n;
  }

  template <class K>
  static node* build(std::size_t hash, K&& id) {
    struct place {  // given back if the id throws
      node* at = for_nodes().allocate(1);
      bool taken = false;
      ~place() {
        if (!taken) for_nodes().deallocate(at, 1);
      }
    } p;
    node* const n = ::new (static_cast<void*>(p.at)) node(hash, std::forward<K>(id));
    p.taken = true;
    return n;
  }

  MILLRACE_NOINLINE void grow() {
    const std::size_t before = buckets_;
    node** const old = first_;
    const std::size_t many = before == 0 ? 64 : 2 * before;
    first_ = for_buckets().allocate(many);
    std::uninitialized_fill_n(first_, many, nullptr);
    buckets_ = many;
    shift_ = before == 0 ? 64 - 6 : shift_ - 1;
    for (std::size_t b = 0; b < before; ++b) {
      for (node* n = old[b]; n != nullptr;) {
        node* const next = n->next;
        enter(*n);
        n = next;
      }
    }
    if (old != nullptr) for_buckets().deallocate(old, before);
  }

  node** first_ = nullptr;   // of each bucket
  std::size_t buckets_ = 0;  // 0, or a power of two
  unsigned shift_ = 0;
  std::size_t size_ = 0;
  node* oldest_ = nullptr;  // \ the line
  node* newest_ = nullptr;  // /
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
