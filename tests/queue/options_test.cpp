// Options: any order, any number, each where it belongs.
#include "millrace/queue/options.hpp"

#include <cstddef>
#include <memory>
#include <type_traits>

#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/instances.hpp"

namespace {

using namespace millrace;
using detail::queue_options;

struct my_sync : std_sync {
  static inline int pauses = 0;
  static void pause() noexcept { ++pauses; }
};
struct not_an_option {};

using plain = queue_options<int>;
static_assert(std::is_same_v<plain::allocator, std::allocator<int>>);
static_assert(std::is_same_v<plain::backoff, exponential_backoff<>>);
static_assert(std::is_same_v<plain::sync, std_sync>);
static_assert(plain::patience == 64 && plain::first_position == 0);

template <class Options>
constexpr bool all_mine = std::is_same_v<typename Options::allocator, support::counting_allocator<int>> &&
                          std::is_same_v<typename Options::backoff, no_backoff> &&
                          std::is_same_v<typename Options::sync, my_sync> && Options::patience == 3 &&
                          Options::first_position == 17;

using memory = use_allocator<support::counting_allocator<int>>;
static_assert(all_mine<queue_options<int, memory, use_backoff<no_backoff>, use_sync<my_sync>, use_patience<3>,
                                     use_first_position<17>>>);
static_assert(all_mine<queue_options<int, use_first_position<17>, use_patience<3>, use_sync<my_sync>,
                                     use_backoff<no_backoff>, memory>>);
static_assert(queue_options<int, use_patience<0>>::patience == 0);
static_assert(detail::queue_option<use_patience<3>> && !detail::queue_option<not_an_option>);

}  // namespace

TEST_CASE("a queue is what its options say") {
  support::allocator_books books;
  using mine = mpmc_queue<int, use_patience<1>, memory, use_backoff<exponential_backoff<1, 2>>>;
  static_assert(std::is_same_v<mine::allocator_type, support::counting_allocator<int>>);
  static_assert(std::is_same_v<mine::sync_type, std_sync>);
  static_assert(std::is_same_v<mpmc_queue<int, use_sync<my_sync>>::sync_type, my_sync>);
  static_assert(std::is_same_v<spsc_queue<int, use_sync<my_sync>>::sync_type, my_sync>);
  mine q(2, support::counting_allocator<int>(books));
  CHECK(books.allocations == 1);
  REQUIRE(q.try_push(1));
  CHECK(q.try_pop() == 1);
}

TEMPLATE_TEST_CASE_SIG("patience: so many pauses before a stalled position is given up", "",
                       ((unsigned N), N), 0u, 1u, 5u, 64u) {
  mpmc_queue<support::hooked, use_sync<my_sync>, use_patience<N>> q(2);
  support::hooked slow(1, [&](int move) {
    if (move != 1) return;
    my_sync::pauses = 0;
    REQUIRE_FALSE(q.try_pop().has_value());
    CHECK(my_sync::pauses == static_cast<int>(N));
  });
  REQUIRE(q.try_push(std::move(slow)));
  CHECK(q.try_pop()->value() == 1);
}
