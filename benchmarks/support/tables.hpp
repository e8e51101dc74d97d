// Contenders in the cells of tables, as topics and consumer groups have them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/role.hpp"

namespace bench {

struct table_column {
  std::string name;
  const char* unit;
};

/// A contender in a cell of a table, or in several cells that are measured at once.
struct table_entry {
  std::string table;
  std::vector<table_column> columns;
  std::string name;
  role as;
  std::function<std::vector<double>(std::uint64_t messages)> sample;  // a figure for each column
  bool scales = true;                      // so that a sample of fewer messages takes less time
  std::uint64_t most = ~std::uint64_t{0};  // messages of a sample
};

/// What ours has to reach in every column of a table.
struct table_target {
  std::string table;
  double at_least;                  // times as good as the best rival
  std::vector<std::string> rivals;  // by name
};

}  // namespace bench
