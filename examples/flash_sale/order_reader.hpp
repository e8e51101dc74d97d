// risk, analytics and late-audit: each wants every order, and none knows of the others.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "chance.hpp"
#include "ledger.hpp"
#include "service.hpp"

template <class Clock>
struct order_reader {
  using group_type = millrace::consumer_group<order_topic<Clock>>;

  /// One of `stumbles` orders it cannot see to at first; 0: none.
  order_reader(group_type g, std::size_t orders, count seed, std::uint32_t stumbles = 0)
      : group(std::move(g)), notes(orders), seed_(seed), stumbles_(stumbles) {}

  void handle(millrace::delivery<order> d) {
    notes.note_delivery(*d);
    if (stumbles_ != 0 && d.attempt() == 1 && chance(seed_, purpose::risk, d->id).below(stumbles_) == 0) {
      d.nack(std::chrono::milliseconds(50));
      return;
    }
    notes.note_done(*d);
    d.ack();
  }

  group_type group;
  ledger notes;

 private:
  count seed_;
  std::uint32_t stumbles_;
};
