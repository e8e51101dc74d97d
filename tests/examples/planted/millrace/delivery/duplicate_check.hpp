// A check that does not know what it has seen, so that one sees what notices. It stands in for the real one where this folder
// comes first among the include directories; the environment variable FAULT names the wrong.
#pragma once

#include <cstdlib>
#include <string_view>
#include <utility>

#define duplicates_by sound_duplicates_by
#include "../../../../../include/millrace/delivery/duplicate_check.hpp"
#undef duplicates_by

namespace millrace {
inline namespace v0 {

template <class T, class Deduplicator, class IdOf>
class wrong_duplicates final : public duplicate_check<T> {
 public:
  wrong_duplicates(Deduplicator& seen, IdOf id_of) : sound_(seen, std::move(id_of)) {}

  dedup_status try_begin(const T& message) override {
    const dedup_status found = sound_.try_begin(message);
    if (fault_ == "twice") return dedup_status::fresh;
    if (fault_ == "lost" && found == dedup_status::fresh && ++asked_ == 7) {
      sound_.abort(message);
      return dedup_status::duplicate;
    }
    return found;
  }
  void commit(const T& message) noexcept override { sound_.commit(message); }
  void abort(const T& message) noexcept override { sound_.abort(message); }

 private:
  duplicate_check_by<T, Deduplicator, IdOf> sound_;
  int asked_ = 0;
  std::string_view fault_ = std::getenv("FAULT") != nullptr ? std::getenv("FAULT") : "";
};

template <class T, class Deduplicator, class IdOf>
[[nodiscard]] auto duplicates_by(Deduplicator& seen, IdOf id_of) {
  return wrong_duplicates<T, Deduplicator, IdOf>(seen, std::move(id_of));
}

}  // namespace v0
}  // namespace millrace
