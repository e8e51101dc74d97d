#include "alternatives/two_word_rings.hpp"

#include "support/suite.hpp"

void bench::add_two_word_rings(suite& s) {
  s.add<alternatives::two_word_rings<block>>("two word rings (alternative)", role::reference);
}
