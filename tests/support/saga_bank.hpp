// What the steps of sagas do in tests: a bank that keeps its books by idempotency key, what was asked of it, and what the
// books, and the events that a runner has published, must look like in the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_store.hpp"

namespace support {

/// The context of the sagas: how many steps have been done, as the saga knows it.
struct booking {
  int done = 0;
  int undone = 0;
};

/// An action under a key is done once; a compensation takes it back, or sees to it that it is never done.
class saga_bank {
 public:
  /// Of the action with this key.
  enum class entry : std::uint8_t { none, done, taken_back };

  void apply(const millrace::saga_call& c) {
    const std::lock_guard lock(mutex_);
    if (c.compensates) {
      const std::string action = c.key.substr(0, c.key.rfind('/'));
      entry& e = entries_[action];
      if (e == entry::done) --balance_;
      e = entry::taken_back;
      return;
    }
    entry& e = entries_[c.key];
    if (e != entry::none) return;
    e = entry::done;
    ++balance_;
  }
  /// That it was asked, whatever comes of it.
  void note(const millrace::saga_call& c) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(c);
  }
  [[nodiscard]] entry of(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(key);
    return at == entries_.end() ? entry::none : at->second;
  }
  /// How many actions are done and not taken back.
  [[nodiscard]] long balance() const {
    const std::lock_guard lock(mutex_);
    return balance_;
  }
  [[nodiscard]] std::vector<millrace::saga_call> calls_of(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    std::vector<millrace::saga_call> out;
    for (const auto& c : calls_) {
      if (c.id == id) out.push_back(c);
    }
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, entry> entries_;
  std::vector<millrace::saga_call> calls_;
  long balance_ = 0;
};

inline std::string step_name(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }

/// A saga of `steps` steps, perhaps with a pivot, as the rules of saga.hpp see it.
struct saga_shape {
  std::size_t steps = 0;
  std::optional<std::size_t> pivot = std::nullopt;

  [[nodiscard]] bool has_compensation(std::size_t step) const { return !pivot || step < *pivot; }
};

/// Whether a saga of that shape may have published these events, one after the other; what is wrong otherwise. Between two
/// runners some may be missing, as the first one may have died before it told; `resumed` says where it is.
class saga_story {
 public:
  explicit saga_story(const saga_shape& shape) : shape_(shape), may_be_done_(shape.steps, false) {}

  /// Empty: it may come next.
  std::string wrong_with(const millrace::saga_event& e) {
    const std::size_t s = e.step.size() == 1 ? static_cast<std::size_t>(e.step[0] - 'a') : shape_.steps;
    if (s >= shape_.steps) return "no such step";
    using enum millrace::saga_transition;
    switch (e.what) {
      case started: return start(s);
      case resumed: return resume(e, s);
      case step_started: return begin(e, s, false);
      case compensation_started: return begin(e, s, true);
      case step_done: return end(e, s, false, false);
      case compensation_done: return end(e, s, true, false);
      case step_failed:
      case step_timed_out: return end(e, s, false, true);
      case compensation_failed:
      case compensation_timed_out: return end(e, s, true, true);
      case compensating: return turn(e, s);
      case completed:
        if (at_ != where::between || backward_ || next_ != shape_.steps) return "too early";
        at_ = where::finished;
        return {};
      case compensated:
        if (at_ != where::between || !backward_) return "too early";
        if (last_to_take_back(shape_.steps) && is_sure_) return "something is not taken back";
        if (next_ != 0 && last_to_take_back(next_ - 1)) return "something is not taken back";
        at_ = where::finished;
        return {};
      case stuck:
        if (at_ != where::failed) return "nothing has failed";
        if (!backward_ && is_sure_ && !(shape_.pivot && s >= *shape_.pivot)) return "it can go backward";
        if (e.reason.empty()) return "no reason";
        at_ = where::is_stuck;
        return {};
    }
    return "no such transition";
  }

 private:
  enum class where : std::uint8_t { nowhere, between, in_attempt, failed, is_stuck, finished };

  std::string start(std::size_t s) {
    if (at_ != where::nowhere || s != 0) return "started, but not at the beginning";
    at_ = where::between;
    return {};
  }
  std::string resume(const millrace::saga_event& e, std::size_t s) {
    if (at_ == where::finished) return "it had ended";
    if (at_ == where::is_stuck && e.attempt != 0) return "not all attempts before it";
    next_ = s;
    attempt_ = e.attempt;
    is_sure_ = false;
    for (std::size_t i = 0; i < shape_.steps; ++i) may_be_done_[i] = i <= s;
    at_ = where::failed;
    return {};
  }
  std::string begin(const millrace::saga_event& e, std::size_t s, bool backward) {
    if (at_ == where::failed) {
      if (s != next_ || e.attempt != attempt_ + 1) return "not that attempt";
    } else if (at_ == where::between) {
      const auto due = backward ? last_to_take_back(next_) : std::optional(next_);
      // after `resumed` it may be known that the step has failed, or not
      const bool is_other = backward && !is_sure_ && next_ != 0 && last_to_take_back(next_ - 1) == s;
      if (due != s && !is_other) return "not that step";
      if (is_other) may_be_done_[next_] = false;
      if (e.attempt != 1) return "not the first attempt";
    } else {
      return "not the time for an attempt";
    }
    // before `resumed` it may have turned without a word
    if (backward != backward_ && (backward_ || is_sure_)) return "the wrong way";
    if (backward && !shape_.has_compensation(s)) return "nothing to take back";
    backward_ = backward;
    next_ = s;
    attempt_ = e.attempt;
    at_ = where::in_attempt;
    if (backward) is_sure_ = true;
    return {};
  }
  std::string end(const millrace::saga_event& e, std::size_t s, bool backward, bool failed) {
    if (at_ != where::in_attempt || s != next_ || e.attempt != attempt_ || backward != backward_) {
      return "not the attempt that was begun";
    }
    if (failed) {
      if (e.reason.empty()) return "no reason";
      if (e.what == millrace::saga_transition::step_timed_out) may_be_done_[s] = true;
      at_ = where::failed;
      return {};
    }
    at_ = where::between;
    is_sure_ = true;
    may_be_done_[s] = !backward;
    if (!backward) ++next_;
    return {};
  }
  std::string turn(const millrace::saga_event& e, std::size_t s) {
    if (at_ != where::failed || s != next_ || backward_) return "nothing has failed";
    if (shape_.pivot && (s > *shape_.pivot || (s == *shape_.pivot && is_sure_ && may_be_done_[s]))) {
      return "the pivot may be done";
    }
    if (e.reason.empty()) return "no reason";
    backward_ = true;
    at_ = where::between;
    return {};
  }
  /// At or before `from`.
  [[nodiscard]] std::optional<std::size_t> last_to_take_back(std::size_t from) const {
    for (std::size_t i = std::min(from + 1, shape_.steps); i != 0; --i) {
      if (may_be_done_[i - 1] && shape_.has_compensation(i - 1)) return i - 1;
    }
    return std::nullopt;
  }

  const saga_shape shape_;
  where at_ = where::nowhere;
  bool backward_ = false;
  std::size_t next_ = 0;  // the step that is tried, or comes next; backward: or was taken back last
  std::uint32_t attempt_ = 0;
  bool is_sure_ = true;  // whether it is known here what the saga knows of the step that is tried
  std::vector<bool> may_be_done_;
};

inline std::string wrong_with(const std::vector<millrace::saga_event>& events, const saga_shape& shape) {
  saga_story story(shape);
  for (std::size_t n = 0; n < events.size(); ++n) {
    const std::string wrong = story.wrong_with(events[n]);
    if (!wrong.empty()) return wrong + ", at event " + std::to_string(n) + ", " + to_string(events[n].what);
  }
  return {};
}

/// Whether the calls, and the books, are what they may be for a saga that is in that state; what is wrong otherwise.
inline std::string wrong_with(const saga_bank& bank, const std::vector<millrace::saga_event>& events,
                              const saga_shape& shape, const std::string& saga, const std::string& id,
                              millrace::saga_state state) {
  const auto calls = bank.calls_of(id);
  bool backward = false;
  std::size_t step = 0;
  std::map<std::string, std::size_t> times;
  for (const auto& c : calls) {
    const auto s = static_cast<std::size_t>(c.step[0] - 'a');
    if (c.compensates) {
      if (c.key != saga + "/" + id + "/" + c.step + "/compensate") return "the key " + c.key;
      if (backward && s > step) return "not in reverse: " + c.key;
      backward = true;
    } else {
      if (c.key != saga + "/" + id + "/" + c.step) return "the key " + c.key;
      if (backward) return "forward after backward: " + c.key;
      if (s < step) return "not in order: " + c.key;
    }
    step = s;
    ++times[c.key];
  }
  // A second call under a key must have been told of.
  for (const auto& [key, n] : times) {
    std::size_t told = 1;
    for (const auto& e : events) {
      using enum millrace::saga_transition;
      const bool back = e.what == compensation_failed || e.what == compensation_timed_out;
      const bool forth = e.what == step_failed || e.what == step_timed_out;
      const std::string k = millrace::saga_key(saga, id, e.step) + (back ? "/compensate" : "");
      told += ((back || forth) && k == key) || e.what == resumed;
    }
    if (n > told) return "called again without a word: " + key;
  }
  for (std::size_t i = 0; i < shape.steps; ++i) {
    const std::string key = millrace::saga_key(saga, id, step_name(i));
    const auto entry = bank.of(key);
    if (state == millrace::saga_state::completed && entry != saga_bank::entry::done)
      return "not done: " + key;
    if (state == millrace::saga_state::compensated && entry == saga_bank::entry::done) {
      return "not taken back: " + key;
    }
    // A step that has failed for certain, each time, has nothing to take back.
    bool may_be_done = false;
    for (const auto& e : events) {
      using enum millrace::saga_transition;
      if (e.what == resumed) may_be_done = true;
      if (e.step == step_name(i) && (e.what == step_done || e.what == step_timed_out)) may_be_done = true;
    }
    if (times.contains(key + "/compensate") && !may_be_done) return "taken back for nothing: " + key;
  }
  if (state == millrace::saga_state::completed && backward) return "completed after compensations";
  return {};
}

}  // namespace support
