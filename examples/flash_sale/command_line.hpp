// How flash_sale is called.
#pragma once

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "chance.hpp"

constexpr const char* help =
    "flash_sale [--virtual] [--seed N] [--rate N] [--seconds N] [--stock N] [--trace FILE] [--plot FILE]\n"
    "\n"
    "A flash sale: a burst of requests is answered at once, and the orders are worked off at the pace that "
    "a\n"
    "payment provider allows. At the end the books must balance.\n"
    "\n"
    "  --virtual     on a clock that is moved by hand: over in a moment, and equal for equal seeds\n"
    "  --seed N      of all that is left to chance, 0 to 18446744073709551615; by default 1\n"
    "  --rate N      requests a second at the peak, 1 to 200000; by default 100000\n"
    "  --seconds N   how long requests come, 1 to 30; by default 5\n"
    "  --stock N     pieces for sale, 1 to 1000000; by default 60000. 5,000 orders a second are worked off\n"
    "  --trace FILE  requests come as in this access log (common or combined format): its time is "
    "compressed\n"
    "                to --seconds, and each line stands for as many requests as it takes that there are "
    "--rate\n"
    "                in the busiest second\n"
    "  --plot FILE   draws the peak and how it was shaved, as SVG\n"
    "\n"
    "Exit status: 0 the books balance, 1 they do not, 2 wrong arguments, 3 a file cannot be read or "
    "written.\n";

struct options {
  bool is_virtual = false;
  count seed = 1;
  count rate = 100'000;
  count seconds = 5;
  count stock = 60'000;
  std::string trace;
  std::string plot;
};

inline count number(std::string_view option, std::string_view value, count least, count most) {
  count n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < least || n > most) {
    throw std::invalid_argument(std::string(option) + " must be " + std::to_string(least) + " to " +
                                std::to_string(most));
  }
  return n;
}

inline options parse(const std::vector<std::string_view>& args) {
  options o;
  for (auto arg = args.begin(); arg != args.end(); ++arg) {
    const std::string_view name = *arg;
    if (name == "--virtual") {
      o.is_virtual = true;
      continue;
    }
    const std::string_view value = arg + 1 != args.end() ? arg[1] : "";
    if (name == "--seed") {
      o.seed = number(name, value, 0, ~count{0});
    } else if (name == "--rate") {
      o.rate = number(name, value, 1, 200'000);
    } else if (name == "--seconds") {
      o.seconds = number(name, value, 1, 30);
    } else if (name == "--stock") {
      o.stock = number(name, value, 1, 1'000'000);
    } else if (name == "--trace" || name == "--plot") {
      if (value.empty())
        throw std::invalid_argument(std::string(name) + " must be followed by a file's name");
      (name == "--trace" ? o.trace : o.plot) = value;
    } else {
      throw std::invalid_argument("there is no option " + std::string(name));
    }
    ++arg;
  }
  return o;
}
