// The half of a pipeline that knows its types: source, functions, end, and what lies between them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/flow/detail/pipeline_item.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// A function is given `const In&` if it takes that, so that it finds the same in the next attempt; otherwise `In&&`, but in
// the first stage, whose message is the source's.

template <class F, class In>
inline constexpr bool takes_constant = std::is_invocable_v<F&, const In&>;

template <class F, class In, bool IsFirst>
inline constexpr bool takes = takes_constant<F, In> || (!IsFirst && std::is_invocable_v<F&, In&&>);

template <class F, class In>
decltype(auto) call_with(F& f, In& in) {
  if constexpr (takes_constant<F, In>) {
    return std::invoke(f, std::as_const(in));
  } else {
    return std::invoke(f, std::move(in));
  }
}

template <class R>
struct filtered_value {
  using type = R;
  static constexpr bool may_be_none = false;
};
template <class V>
struct filtered_value<std::optional<V>> {
  using type = V;
  static constexpr bool may_be_none = true;
};

template <class F, class In>
using result_of = std::remove_cvref_t<decltype(call_with(std::declval<F&>(), std::declval<In&>()))>;

template <class F, class In>
struct pipeline_stage {
  using in = In;
  using result = result_of<F, In>;
  using out = typename filtered_value<result>::type;
  static_assert(std::is_void_v<out> || std::is_nothrow_move_constructible_v<out>,
                "pipeline: what a stage returns must be nothrow move constructible");

  stage_plan plan;
  F f;
};

// --- ends ---

struct no_end {
  static constexpr bool exists = false;
};

/// A topic, or a channel.
template <class To>
struct publishing_end {
  static constexpr bool exists = true;
  To* to;

  template <class In>
  step_result operator()(In& in) {
    outcome o = outcome::ok;
    if constexpr (requires { to->try_emplace(std::move(in)); }) {
      o = to->try_emplace(std::move(in));  // untouched, if full
    } else {
      o = to->try_push(std::move(in));
    }
    if (o == outcome::ok) return step_result::finished;
    return o == outcome::full ? step_result::full : step_result::closed;
  }
};

template <class F>
struct sink_end {
  static constexpr bool exists = true;
  F f;

  template <class In>
  step_result operator()(In& in) {
    call_with(f, in);
    return step_result::finished;
  }
};

// --- the whole ---

template <class Timers, class Source, class End, class... Stages>
class pipeline_chain final : public pipeline_works<Timers> {
  using base = pipeline_works<Timers>;
  using item = pipeline_item<Timers>;
  using feed = typename Source::template feed<Timers>;
  using token = typename Source::token;
  using value_type = typename Source::value_type;
  static constexpr std::size_t count = sizeof...(Stages);

  template <class T>
  struct room {
    static constexpr std::size_t size = sizeof(T);
    static constexpr std::size_t alignment = alignof(T);
  };
  struct nothing {};
  template <class T>
  using room_of = room<std::conditional_t<std::is_void_v<T>, nothing, T>>;

  struct parcel final : item {
    parcel() noexcept = default;
    parcel(const parcel&) = delete;
    parcel& operator=(const parcel&) = delete;
    ~parcel() { clear(); }

    template <class T>
    [[nodiscard]] T& get() noexcept {
      return *std::launder(reinterpret_cast<T*>(value));
    }
    template <class T>
    void put(T&& v) noexcept {
      using held = std::remove_cvref_t<T>;
      clear();
      ::new (static_cast<void*>(value)) held(std::forward<T>(v));
      destroy = [](void* at) noexcept { std::launder(static_cast<held*>(at))->~held(); };
    }
    void clear() noexcept {
      if (destroy != nullptr) std::exchange(destroy, nullptr)(value);
    }

    token from{};
    void (*destroy)(void*) noexcept = nullptr;  // nullptr: the first stage has not returned
    alignas((std::max)({room_of<typename Stages::out>::alignment...}))
        std::byte value[(std::max)({room_of<typename Stages::out>::size...})];
  };

 public:
  pipeline_chain(Source source, Timers& timers, End end, std::tuple<Stages...> stages)
      : stages_(std::move(stages)), end_(std::move(end)), feed_(std::move(source), timers) {}

  step_result call(item& i) override { return calls[i.stage](*this, static_cast<parcel&>(i)); }
  void settle(item& i, settling how, std::string_view stage, std::string_view reason) noexcept override {
    auto& p = static_cast<parcel&>(i);
    p.clear();
    feed_.settle(p.from, how, stage, reason);
  }
  item& make() override { return parcels_.emplace_back(); }
  void open(pipeline_wake wake) override { feed_.open(std::move(wake)); }
  outcome take(item** into, std::size_t n, std::size_t& got) override {
    return feed_.take(n, got,
                      [&](std::size_t i, token&& t) { static_cast<parcel*>(into[i])->from = std::move(t); });
  }
  void stand_back() noexcept override { feed_.stand_back(); }
  void close() noexcept override { feed_.close(); }
  std::size_t parked() const override { return feed_.parked(); }
  bool take_parked(const void* kind, void* vector) override {
    if (kind != &pipeline_kind<value_type>) return false;
    feed_.take_parked(*static_cast<std::vector<value_type>*>(vector));
    return true;
  }

 private:
  using step = step_result(pipeline_chain&, parcel&);

  template <std::size_t N>
  static decltype(auto) input(parcel& p) noexcept {
    if constexpr (N == 0) {
      return feed::value(p.from);
    } else {
      return p.template get<typename std::tuple_element_t<N - 1, std::tuple<Stages...>>::out>();
    }
  }
  template <std::size_t N>
  static step_result call_stage(pipeline_chain& me, parcel& p) {
    using stage = std::tuple_element_t<N, std::tuple<Stages...>>;
    auto& f = std::get<N>(me.stages_).f;
    if constexpr (std::is_void_v<typename stage::out>) {
      call_with(f, input<N>(p));
      return step_result::finished;
    } else if constexpr (filtered_value<typename stage::result>::may_be_none) {
      typename stage::result out = call_with(f, input<N>(p));
      if (!out) return step_result::filtered;
      p.put(std::move(*out));
      return step_result::passed;
    } else {
      p.put(typename stage::out(call_with(f, input<N>(p))));
      return step_result::passed;
    }
  }
  static step_result call_end(pipeline_chain& me, parcel& p) {
    if constexpr (End::exists) {
      return me.end_(input<count>(p));
    } else {
      return step_result::finished;  // never called
    }
  }
  template <std::size_t... N>
  static constexpr std::array<step*, count + 1> all(std::index_sequence<N...>) noexcept {
    return {&call_stage<N>..., &call_end};
  }
  static constexpr std::array<step*, count + 1> calls = all(std::make_index_sequence<count>());

  std::tuple<Stages...> stages_;
  MILLRACE_NO_UNIQUE_ADDRESS End end_;
  feed feed_;
  std::deque<parcel> parcels_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
