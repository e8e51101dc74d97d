#include "millrace/flow/saga_store.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using millrace::saga_record;
using millrace::saga_state;
using store = millrace::memory_saga_store<std::string>;

saga_record<std::string> made(std::string saga, std::string id, saga_state s = saga_state::running) {
  return {.saga = std::move(saga), .id = std::move(id), .state = s, .step = "first", .context = "c"};
}

}  // namespace

TEST_CASE("the states of a saga have names") {
  CHECK(std::string(to_string(saga_state::running)) == "running");
  CHECK(std::string(to_string(saga_state::completed)) == "completed");
  CHECK(std::string(to_string(saga_state::compensating)) == "compensating");
  CHECK(std::string(to_string(saga_state::compensated)) == "compensated");
  CHECK(std::string(to_string(saga_state::stuck)) == "stuck");
  CHECK(std::string(to_string(static_cast<saga_state>(99))) == "invalid");
  CHECK(is_finished(saga_state::completed));
  CHECK(is_finished(saga_state::compensated));
  CHECK_FALSE(is_finished(saga_state::running));
  CHECK_FALSE(is_finished(saga_state::compensating));
  CHECK_FALSE(is_finished(saga_state::stuck));
}

TEST_CASE("a store in memory gives back what was saved last") {
  store s;
  CHECK_FALSE(s.load("buy", "1"));
  CHECK(s.insert(made("buy", "1")));
  auto r = made("buy", "1", saga_state::compensating);
  r.compensates = true;
  r.unknown = true;
  r.step = "pay";
  r.attempt = 3;
  r.reason = "why";
  r.context = "changed";
  s.save(r);
  const auto loaded = s.load("buy", "1");
  REQUIRE(loaded);
  CHECK(loaded->saga == "buy");
  CHECK(loaded->id == "1");
  CHECK(loaded->state == saga_state::compensating);
  CHECK(loaded->compensates);
  CHECK(loaded->unknown);
  CHECK(loaded->step == "pay");
  CHECK(loaded->attempt == 3);
  CHECK(loaded->reason == "why");
  CHECK(loaded->context == "changed");
}

TEST_CASE("an id is refused while the store knows it, and ids are per saga") {
  store s;
  CHECK(s.insert(made("buy", "1")));
  CHECK(s.insert(made("sell", "1")));
  auto again = made("buy", "1");
  again.context = "other";
  CHECK_FALSE(s.insert(again));
  CHECK(s.load("buy", "1")->context == "c");
  CHECK(s.size() == 2);
}

TEST_CASE("unfinished ones are those that run forward or backward") {
  store s;
  CHECK(s.insert(made("buy", "1")));
  CHECK(s.insert(made("buy", "2", saga_state::completed)));
  CHECK(s.insert(made("buy", "3", saga_state::compensating)));
  CHECK(s.insert(made("buy", "4", saga_state::compensated)));
  CHECK(s.insert(made("buy", "5", saga_state::stuck)));
  CHECK(s.insert(made("sell", "6")));
  auto ids = s.unfinished("buy");
  std::sort(ids.begin(), ids.end());
  CHECK(ids == std::vector<std::string>{"1", "3"});
  CHECK(s.unfinished("sell") == std::vector<std::string>{"6"});
  CHECK(s.unfinished("other").empty());

  CHECK(s.erase_finished() == 2);
  CHECK(s.size() == 4);
  CHECK(s.load("buy", "5")->state == saga_state::stuck);  // somebody has to look at it
  CHECK(s.insert(made("buy", "2")));
}

TEST_CASE("a store is called by several threads") {
  store s;
  std::vector<std::thread> threads;
  std::vector<int> inserted(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string id = std::to_string(i);
        inserted[static_cast<std::size_t>(t)] += s.insert(made("buy", id));
        s.save(made("own", std::to_string(t)));
        static_cast<void>(s.load("buy", id));
        if (i % 100 == 0) static_cast<void>(s.unfinished("buy"));
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(inserted[0] + inserted[1] + inserted[2] + inserted[3] == 500);
  CHECK(s.size() == 504);
}
