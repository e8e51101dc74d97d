// Queues cross the border between translation units, and between a program and a shared library: they link, all
// sides see one layout, and values, closing and wake-ups pass.
#include "house/sharing.hpp"

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace sharing;

namespace {

std::vector<partner> partners() { return {second_unit::side, library::side()}; }

std::string text(int i) {
  return "a text too long to be kept inside the string object, number " + std::to_string(i);
}

}  // namespace

TEST_CASE("every side sees the same layout") {
  for (const partner& other : partners()) CHECK(other.layout_there() == layout_here());
}

TEST_CASE("values pushed on one side are popped on the other") {
  for (const partner& other : partners()) {
    words numbers(4);
    texts strings(4);
    for (int i = 0; i < 4; ++i) {
      REQUIRE(numbers.try_push(i));
      REQUIRE(strings.try_push(text(i)));
    }
    other.answer_words(numbers);
    other.answer_texts(strings);
    for (int i = 0; i < 4; ++i) {
      CHECK(numbers.try_pop() == std::optional(i + 1000));
      CHECK(strings.try_pop() == std::optional(text(i) + ", seen"));
    }
  }
}

TEST_CASE("a pipe of one producer and one consumer may have its ends on two sides") {
  for (const partner& other : partners()) {
    line there(4), back(4);
    for (int i = 0; i < 4; ++i) REQUIRE(there.try_push(text(i)));
    other.answer_pipe(there, back);
    for (int i = 0; i < 4; ++i) CHECK(back.try_pop() == std::optional(text(i) + ", seen"));
    CHECK(there.empty_approx());
  }
}

TEST_CASE("sleeping, waking and the end of the stream pass between the sides") {
  constexpr int many = 1000;
  for (const partner& other : partners()) {
    stream there(2), back(2);  // small, so that both sides wait often
    std::thread producer([&] {
      for (int i = 0; i < many; ++i) {
        if (there.push(text(i)) != millrace::outcome::ok) return;
      }
      there.close();
    });
    std::thread answering([&] { other.answer_stream(there, back); });
    int next = 0;
    for (const std::string& answer : back) {
      CHECK(answer == text(next) + ", seen");
      ++next;
    }
    producer.join();
    answering.join();
    CHECK(next == many);
  }
}
