#include "alternatives/vyukov_ring.hpp"

#include "support/suite.hpp"

void bench::add_vyukov_ring(suite& s) {
  const char* name = "Vyukov ring (textbook)";
  s.add<alternatives::vyukov_ring<word>>(name, role::reference);
  s.add<alternatives::vyukov_ring<block>>(name, role::reference);
  s.add<alternatives::vyukov_ring<pointer>>(name, role::reference);
}
