// millrace/flow/saga_store.hpp - where sagas are kept, so that a runner that comes after a restart goes on with them.
//
// A saga is a record. The runner saves it before what it says can be seen by others: that a step is about to be tried, before
// the step is called. So a record may say more than has happened, and never less; what may have happened is done again
// under the same key, or taken back.
//
// Use it when : you derive from it to keep sagas in a file or a data base; or use the one in memory, which ends with the process.
// Use instead : nothing.
// Threads     : a store is called by any number of threads at once, but for one saga by one at a time. A record is a value.
// Order       : what was saved before is there when it is loaded.
// Progress    : memory_saga_store takes a mutex. A store may take its time; a thread of the executor waits for it.
// Errors      : insert is false if there is one of that id.
// Exceptions  : a store throws when it can not do it. From insert, load and unfinished that goes to who has called the runner;
//               if save throws, the saga stays where it is and the runner comes back to it after a pause. Whether an insert or a
//               save that has thrown has been done does not matter.
// Memory      : memory_saga_store: a record and about 100 bytes each, until erase_finished.
// Cost        : a copy of the record, and a look into a hash table.
// Source      : the log of H. Garcia-Molina & K. Salem, Sagas, SIGMOD 1987.
// Checked by  : tests/flow/saga_store_test.cpp, tests/flow/saga_books_test.cpp
//
// Example:
//   class table final : public millrace::saga_store<transfer> {
//     void save(const millrace::saga_record<transfer>& r) override { db.run("update sagas set ...", r.saga, r.id, ...); }
//     ...
//   };
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

enum class saga_state : std::uint8_t {
  running,       // forward
  completed,     // all steps are done
  compensating,  // backward
  compensated,   // what was done is taken back
  stuck,         // it can go neither way: somebody has to look at it
};

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(saga_state s) noexcept {
  switch (s) {
    case saga_state::running: return "running";
    case saga_state::completed: return "completed";
    case saga_state::compensating: return "compensating";
    case saga_state::compensated: return "compensated";
    case saga_state::stuck: return "stuck";
  }
  return "invalid";
}
/// Nothing is left to be done.
[[nodiscard]] constexpr bool is_finished(saga_state s) noexcept {
  return s == saga_state::completed || s == saga_state::compensated;
}

template <class Context>
struct saga_record {
  std::string saga;  // \ which one;
  std::string id;    // /  ids are per saga
  saga_state state = saga_state::running;
  /// Whether it goes backward, or did when it got stuck.
  bool compensates = false;
  /// Whether an attempt of the step's action, or compensation, may have done its work although no answer has come.
  bool unknown = false;
  /// The step that is tried, or comes next.
  std::string step = {};
  /// How many attempts of it have been begun.
  std::uint32_t attempt = 0;
  /// Why it goes backward, or is stuck.
  std::string reason = {};
  Context context;
};

template <class Context>
class saga_store {
 public:
  using record = saga_record<Context>;

  saga_store() noexcept = default;
  saga_store(const saga_store&) = delete;
  saga_store& operator=(const saga_store&) = delete;
  virtual ~saga_store() = default;

  /// A new one. False, and nothing is done: there is one of that saga and id.
  [[nodiscard]] virtual bool insert(const record& r) = 0;
  /// Instead of what is there of that saga and id.
  virtual void save(const record& r) = 0;
  [[nodiscard]] virtual std::optional<record> load(std::string_view saga, std::string_view id) = 0;
  /// The ids of those that are running or compensating.
  [[nodiscard]] virtual std::vector<std::string> unfinished(std::string_view saga) = 0;
};

/// Keeps finished ones, too, so that their ids are refused, until erase_finished.
template <class Context>
class memory_saga_store final : public saga_store<Context> {
 public:
  using typename saga_store<Context>::record;

  [[nodiscard]] bool insert(const record& r) override {
    std::string key = key_of(r.saga, r.id);
    record copy(r);
    const std::lock_guard lock(mutex_);
    return records_.try_emplace(std::move(key), std::move(copy)).second;
  }
  void save(const record& r) override {
    std::string key = key_of(r.saga, r.id);
    record copy(r);
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = records_.try_emplace(std::move(key), std::move(copy));
    if (!is_new) std::swap(at->second, copy);  // the old one goes without the lock
  }
  [[nodiscard]] std::optional<record> load(std::string_view saga, std::string_view id) override {
    const std::string key = key_of(saga, id);
    const std::lock_guard lock(mutex_);
    const auto at = records_.find(key);
    if (at == records_.end()) return std::nullopt;
    return at->second;
  }
  [[nodiscard]] std::vector<std::string> unfinished(std::string_view saga) override {
    std::vector<std::string> ids;
    const std::lock_guard lock(mutex_);
    for (const auto& [key, r] : records_) {
      if (r.saga == saga && (r.state == saga_state::running || r.state == saga_state::compensating)) {
        ids.push_back(r.id);
      }
    }
    return ids;
  }

  /// Forgets those that are completed or compensated. How many.
  std::size_t erase_finished() {
    const std::lock_guard lock(mutex_);
    return std::erase_if(records_, [](const auto& entry) { return is_finished(entry.second.state); });
  }
  /// How many there are.
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return records_.size();
  }

 private:
  [[nodiscard]] static std::string key_of(std::string_view saga, std::string_view id) {
    std::string key;
    key.reserve(saga.size() + id.size() + 1);
    return key.append(saga).append("/").append(id);
  }

  mutable std::mutex mutex_;
  std::unordered_map<std::string, record> records_;  // guarded by mutex_
};

}  // namespace v0
}  // namespace millrace
