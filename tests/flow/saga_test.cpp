#include "millrace/flow/saga.hpp"

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"

namespace {

using millrace::saga;
using millrace::saga_attempt;
using millrace::saga_call;
using namespace std::chrono_literals;

struct order {
  int n = 0;
};
const auto nothing = [](order&, const saga_call&) {};

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the keys of a saga's steps") {
  CHECK(millrace::saga_key("transfer", "t-17", "debit") == "transfer/t-17/debit");
  CHECK(millrace::saga_compensation_key("transfer", "t-17", "debit") == "transfer/t-17/debit/compensate");
  // Ids may have anything in them: no two keys are the same, as no step is called "compensate".
  CHECK(millrace::saga_key("transfer", "2024/17", "debit") == "transfer/2024/17/debit");
}

TEST_CASE("a saga is defined step by step") {
  saga<order> s("buy");
  CHECK(s.name() == "buy");
  CHECK(s.size() == 0);
  s.step("reserve", {}, nothing, nothing)
      .step("look", {.timeout = 1s}, nothing)
      .pivot("pay", {}, [](saga_attempt<order>&) {})
      .step("ship", {.timeout = millrace::saga_step_options::no_timeout}, [](saga_attempt<order>&) {});
  CHECK(s.size() == 4);
}

TEST_CASE("a saga refuses what it cannot be") {
  const std::string bad_name = "saga: name must be 1 character or more, without '/'";
  CHECK(refusal([] { saga<order> s(""); }) == bad_name);
  CHECK(refusal([] { saga<order> s("a/b"); }) == bad_name);

  saga<order> s("buy");
  const std::string bad_step =
      "saga: a step's name must be 1 character or more, without '/', and not 'compensate'";
  CHECK(refusal([&] { s.step("", {}, nothing); }) == bad_step);
  CHECK(refusal([&] { s.step("a/b", {}, nothing); }) == bad_step);
  CHECK(refusal([&] { s.step("compensate", {}, nothing, nothing); }) == bad_step);
  CHECK(refusal([&] { s.pivot("a/b", {}, nothing); }) == bad_step);

  s.step("a", {}, nothing, nothing);
  CHECK(refusal([&] { s.step("a", {}, nothing); }) == "saga: step 'a': name must be that of one step");
  CHECK(refusal([&] { s.step("b", {.timeout = 0s}, nothing); }) ==
        "saga: step 'b': timeout must be more than 0");
  CHECK(refusal([&] { s.step("b", {.timeout = -1s}, nothing); }) ==
        "saga: step 'b': timeout must be more than 0");
  const std::string bad_attempts = ": retry_policy: attempts must be 1 to 4294967294, or unlimited_attempts";
  CHECK(refusal([&] { s.step("b", {.retry = {.attempts = 0}}, nothing); }) ==
        "saga: step 'b': retry" + bad_attempts);
  CHECK(refusal([&] { s.step("b", {.compensation_retry = {.attempts = 0}}, nothing); }) ==
        "saga: step 'b': compensation_retry" + bad_attempts);
  CHECK(s.size() == 1);

  // Nothing of a refused pivot stays, either.
  CHECK(refusal([&] { s.pivot("b", {.timeout = 0s}, nothing); }) ==
        "saga: step 'b': timeout must be more than 0");
  s.step("b", {}, nothing, nothing);
  s.pivot("c", {}, nothing);
  CHECK(refusal([&] { s.pivot("d", {}, nothing); }) == "saga::pivot: a saga has one pivot at the most");
  CHECK(refusal([&] { s.step("d", {}, nothing, nothing); }) ==
        "saga::step: compensation must be none behind the pivot");
  s.step("d", {}, nothing);
  CHECK(s.size() == 4);
}

TEST_CASE("an action or a compensation that is none is refused, by its step") {
  using action = std::function<void(order&, const saga_call&)>;
  void (*none)(saga_attempt<order>&) = nullptr;
  saga<order> s("buy");
  const std::string no_action = "saga: step 'a': its action must be set";
  CHECK(refusal([&] { s.step("a", {}, action()); }) == no_action);
  CHECK(refusal([&] { s.step("a", {}, none, nothing); }) == no_action);
  CHECK(refusal([&] { s.pivot("a", {}, none); }) == no_action);
  const std::string no_compensation = "saga: step 'a': its compensation must be set, or left out";
  CHECK(refusal([&] { s.step("a", {}, nothing, action()); }) == no_compensation);
  CHECK(refusal([&] { s.step("a", {}, nothing, none); }) == no_compensation);
  CHECK(s.size() == 0);
  s.step("a", {}, action(nothing), action(nothing)).pivot("b", {}, nothing);
  CHECK(s.size() == 2);
}

TEST_CASE("an action may be of any size, and may be one that is only moved") {
  struct large {
    std::unique_ptr<int> held = std::make_unique<int>(1);
    char more[200] = {};
    void operator()(order&, const saga_call&) const {}
  };
  saga<order> s("buy");
  s.step("a", {}, large(), large());
  CHECK(s.size() == 1);
}

TEST_CASE("an attempt that is none") {
  saga_attempt<order> none;
  CHECK_FALSE(none);
  CHECK_FALSE(none.done());
  CHECK_FALSE(none.failed("why"));
  saga_attempt<order> moved(std::move(none));
  CHECK_FALSE(moved);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<saga_attempt<order>>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<saga_attempt<order>>);
}
