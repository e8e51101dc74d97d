#include "millrace/delivery/duplicate_check.hpp"

#include <string>

#include "support/catch.hpp"

namespace {

struct order {
  std::string id;
};

}  // namespace

TEST_CASE("a deduplicator asked by a message") {
  millrace::deduplicator<std::string> seen;
  auto by_id = millrace::duplicates_by<order>(seen, &order::id);
  millrace::duplicate_check<order>& duplicates = by_id;
  const order a{"a"};
  CHECK(duplicates.try_begin(a) == millrace::dedup_status::fresh);
  CHECK(duplicates.try_begin(a) == millrace::dedup_status::in_progress);
  duplicates.abort(a);
  CHECK(duplicates.try_begin(a) == millrace::dedup_status::fresh);
  duplicates.commit(a);
  CHECK(duplicates.try_begin(a) == millrace::dedup_status::duplicate);
  CHECK(duplicates.try_begin({"b"}) == millrace::dedup_status::fresh);
  duplicates.abort({"b"});
  CHECK(seen.contains("a"));
  CHECK_FALSE(seen.contains("b"));
}
