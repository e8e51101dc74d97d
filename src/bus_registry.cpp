#include "millrace/bus/detail/bus_registry.hpp"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include <iterator>
#include <mutex>
#include <utility>

#include "millrace/bus/detail/bus_checks.hpp"
#include "millrace/bus/detail/subject_tree.hpp"
#include "millrace/bus/subject.hpp"
#include "millrace/core/detail/waiting.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {
namespace {

using phase = subscription_on_bus::phase;
using topic_ptr = std::shared_ptr<topic_on_bus>;
using subscription_ptr = std::shared_ptr<subscription_on_bus>;
using group_ptr = std::shared_ptr<group_on_bus>;

absl::Status of_two_types(std::string_view name, const type_tag& there, const type_tag& asked) {
  return absl::InvalidArgumentError(
      fmt::format("bus: topic \"{}\" is of type {}, and not of {}", name, there.name, asked.name));
}

absl::Status served_twice(const subscription_on_bus& there, const subscription_on_bus& asked) {
  return absl::AlreadyExistsError(
      fmt::format("bus: group \"{}\" has a handler for \"{}\", which has topics in common with \"{}\"",
                  there.group(), there.pattern(), asked.pattern()));
}

}  // namespace

struct bus_registry::content {
  explicit content(std::string bus_name) : name(std::move(bus_name)) {}

  const std::string name;
  mutable std::mutex mutex;
  // All guarded by mutex. Topics go first, and with them their groups.
  std::vector<subscription_ptr> subscriptions;
  subject_tree patterns;  // numbers in subscriptions
  std::vector<group_ptr> groups;
  std::vector<topic_ptr> topics;
  subject_tree names;  // numbers in topics
  absl::flat_hash_map<std::string, topic_ptr> by_name;
  bus_state state = bus_state::made;

  // With the mutex held:

  [[nodiscard]] absl::Status check_open() const {
    if (state != bus_state::stopped) return absl::OkStatus();
    return absl::FailedPreconditionError(fmt::format("bus \"{}\": it has been stopped", name));
  }
  [[nodiscard]] topic_ptr named(std::string_view subject) const {
    const auto at = by_name.find(absl::string_view(subject.data(), subject.size()));
    return at == by_name.end() ? nullptr : at->second;
  }
  [[nodiscard]] absl::StatusOr<topic_ptr> find(std::string_view subject, const type_tag& type,
                                               const named_topic_options* chosen) const {
    topic_ptr found = named(subject);
    absl::Status s;
    if (found == nullptr) {
      s = check_open();
    } else if (!(found->type() == type)) {
      s = of_two_types(subject, found->type(), type);
    } else if (chosen != nullptr) {
      s = check_same(subject, found->chosen(), *chosen);
    }
    if (!s.ok()) return s;
    return found;
  }
  /// Against the subscriptions that overlap with it, and the topic that it names.
  [[nodiscard]] absl::Status check_free(const subscription_on_bus& made) const {
    const bool is_name = is_subject(made.pattern());
    if (const topic_ptr t = named(made.pattern()); t != nullptr && !(t->type() == made.type())) {
      return of_two_types(t->name(), t->type(), made.type());
    }
    for (const std::size_t i : patterns.overlapping(made.pattern())) {
      const subscription_on_bus& s = *subscriptions[i];
      if (s.is == phase::withdrawn) continue;
      if (s.type() == made.type()) {
        if (s.group() == made.group()) return served_twice(s, made);
      } else if (is_name && is_subject(s.pattern())) {
        return of_two_types(made.pattern(), s.type(), made.type());
      }
    }
    return absl::OkStatus();
  }
  /// What may find no memory, so that keep() can not; nothing is seen of it.
  void prepare(const std::vector<group_ptr>& made) {
    for (const group_ptr& g : made) {
      if (g->buries_in != nullptr) g->on().needs.push_back(g->buries_in);
    }
    make_room(groups, made.size());
  }
  void keep(const std::vector<group_ptr>& made) noexcept {
    groups.insert(groups.end(), made.begin(), made.end());
    for (const group_ptr& g : made) {
      g->is_kept = true;
      ++g->by().topics;
    }
  }
  void add(const topic_ptr& made, const std::vector<group_ptr>& its_groups,
           const std::vector<subscription_on_bus*>& passing_over) {
    for (subscription_on_bus* const s : passing_over) s->passed_over.push_back(made->name());
    prepare(its_groups);
    make_room(topics, 1);
    by_name.emplace(made->name(), made);
    on_exception forget([&] { by_name.erase(made->name()); });
    names.insert(made->name(), topics.size());
    forget.dismiss();
    keep(its_groups);
    topics.push_back(made);
  }
  void add(const subscription_ptr& made) {
    make_room(subscriptions, 1);
    patterns.insert(made->pattern(), subscriptions.size());
    subscriptions.push_back(made);
  }

  template <class T>
  static void make_room(std::vector<T>& list, std::size_t n) {
    if (list.capacity() - list.size() < n) list.reserve(2 * list.size() + n);
  }
};

bus_registry::bus_registry(std::string bus_name) : in_(std::make_unique<content>(std::move(bus_name))) {}
bus_registry::~bus_registry() = default;

absl::StatusOr<topic_ptr> bus_registry::find(std::string_view name, const type_tag& type,
                                             const named_topic_options* chosen) const {
  if (absl::Status s = check_subject(name); !s.ok()) return s;
  if (chosen != nullptr) {
    if (absl::Status s = check_options(*chosen); !s.ok()) return s;
  }
  const std::lock_guard lock(in_->mutex);
  return in_->find(name, type, chosen);
}

absl::StatusOr<topic_ptr> bus_registry::add(const topic_ptr& made, const named_topic_options* chosen) {
  std::vector<group_ptr> groups;
  absl::flat_hash_set<const subscription_on_bus*> seen_to;
  for (;;) {
    std::vector<subscription_ptr> missing;
    {
      const std::lock_guard lock(in_->mutex);
      absl::StatusOr<topic_ptr> other = in_->find(made->name(), made->type(), chosen);
      if (!other.ok() || *other != nullptr) return other;
      std::vector<subscription_on_bus*> passing_over;
      for (const std::size_t i : in_->patterns.overlapping(made->name())) {
        const subscription_ptr& s = in_->subscriptions[i];
        if (s->is == phase::withdrawn) continue;
        if (!(s->type() == made->type())) {
          if (is_subject(s->pattern())) return of_two_types(made->name(), s->type(), made->type());
          if (s->is == phase::ready) passing_over.push_back(s.get());
        } else if (s->is == phase::ready && !seen_to.contains(s.get())) {
          missing.push_back(s);
        }
      }
      if (missing.empty()) {
        in_->add(made, groups, passing_over);
        if (in_->state != bus_state::running) return made;
        break;
      }
    }
    for (const subscription_ptr& s : missing) {
      absl::StatusOr<group_ptr> g = s->make(*made);
      if (!g.ok()) return g.status();
      groups.push_back(*std::move(g));
      seen_to.insert(s.get());
    }
  }
  for (const group_ptr& g : groups) g->start();
  return made;
}

absl::Status bus_registry::add(const subscription_ptr& made) {
  {
    const std::lock_guard lock(in_->mutex);
    if (absl::Status s = in_->check_open(); !s.ok()) return s;
    if (absl::Status s = in_->check_free(*made); !s.ok()) return s;
    in_->add(made);
  }
  struct withdraw_unless_ready {
    content& in;
    subscription_on_bus& s;
    ~withdraw_unless_ready() {
      const std::lock_guard lock(in.mutex);
      if (s.is == phase::reserved) s.is = phase::withdrawn;
    }
  } const afterwards{*in_, *made};

  std::vector<group_ptr> groups;
  absl::flat_hash_set<const topic_on_bus*> seen_to;
  for (;;) {
    std::vector<topic_ptr> missing;
    {
      const std::lock_guard lock(in_->mutex);
      if (absl::Status s = in_->check_open(); !s.ok()) return s;
      std::vector<std::string> passed_over;
      for (const std::size_t i : in_->names.overlapping(made->pattern())) {
        const topic_ptr& t = in_->topics[i];
        if (!(t->type() == made->type())) {
          passed_over.push_back(t->name());
        } else if (!seen_to.contains(t.get())) {
          missing.push_back(t);
        }
      }
      if (missing.empty()) {
        in_->prepare(groups);
        in_->keep(groups);
        made->passed_over = std::move(passed_over);
        made->is = phase::ready;
        if (in_->state != bus_state::running) return absl::OkStatus();
        break;
      }
    }
    for (const topic_ptr& t : missing) {
      absl::StatusOr<group_ptr> g = made->make(*t);
      if (!g.ok()) return g.status();
      groups.push_back(*std::move(g));
      seen_to.insert(t.get());
    }
  }
  for (const group_ptr& g : groups) g->start();
  return absl::OkStatus();
}

bus_state bus_registry::state() const {
  const std::lock_guard lock(in_->mutex);
  return in_->state;
}

std::vector<group_ptr> bus_registry::run() {
  const std::lock_guard lock(in_->mutex);
  std::vector<group_ptr> all = in_->groups;
  in_->state = bus_state::running;
  return all;
}

bool bus_registry::stop() noexcept {
  const std::lock_guard lock(in_->mutex);
  return std::exchange(in_->state, bus_state::stopped) != bus_state::stopped;
}

const std::vector<topic_ptr>& bus_registry::topics() const noexcept { return in_->topics; }
const std::vector<group_ptr>& bus_registry::groups() const noexcept { return in_->groups; }

std::vector<group_ptr> bus_registry::groups_now() const {
  const std::lock_guard lock(in_->mutex);
  return in_->groups;
}

std::uint64_t bus_registry::published() const {
  const std::lock_guard lock(in_->mutex);
  std::uint64_t n = 0;
  for (const topic_ptr& t : in_->topics) n += t->tail();
  return n;
}

void bus_registry::look(bus_info& out) const {
  std::vector<topic_ptr> topics;
  std::vector<group_ptr> groups;
  out.name = in_->name;
  {
    const std::lock_guard lock(in_->mutex);
    out.state = in_->state;
    topics = in_->topics;
    groups = in_->groups;
    for (const subscription_ptr& s : in_->subscriptions) {
      if (s->is != phase::ready) continue;
      out.subscriptions.push_back(
          {s->pattern(), s->group(), std::string(s->type().name), s->topics, s->passed_over});
    }
  }
  absl::flat_hash_map<const topic_on_bus*, std::size_t> places;
  for (const topic_ptr& t : topics) {
    topic_info i;
    i.name = t->name();
    i.type = t->type().name;
    i.delayed = t->delayed.load(std::memory_order_relaxed);  // \ each a count, and nothing hangs on it
    i.dropped = t->dropped.load(std::memory_order_relaxed);  // /
    t->look(i);
    places.emplace(t.get(), out.topics.size());
    out.topics.push_back(std::move(i));
  }
  for (const group_ptr& g : groups) {
    out.topics[places.at(&g->on())].groups.push_back(
        {g->by().group(), g->by().pattern(), g->workers(), g->stats()});
  }
}

absl::Status bus_registry::settled_or(absl::StatusCode code, std::string_view why) const {
  constexpr std::size_t most = 8;
  std::string left;
  std::size_t n = 0;
  for (const group_ptr& g : groups_now()) {
    const group_stats s = g->stats();
    if (unsettled(s) == 0 || ++n > most) continue;
    fmt::format_to(std::back_inserter(left),
                   "{} \"{}\" on \"{}\" has {} left (backlog {}, ready {}, behind {}, in flight {}, waiting "
                   "{}, blocked by {})",
                   n == 1 ? "group" : ", group", g->by().group(), g->on().name(), unsettled(s), s.backlog,
                   s.ready, s.behind, s.in_flight, s.waiting, to_string(s.blocked));
  }
  if (n == 0) return absl::OkStatus();
  if (n > most) fmt::format_to(std::back_inserter(left), ", and {} more groups have some", n - most);
  return {code, fmt::format("bus \"{}\": {}; {}", in_->name, why, left)};
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
