#include "support/drive.hpp"

#include <latch>
#include <stdexcept>

double bench::race(const bodies& all) {
  std::vector<tally> tallies(all.size());
  std::latch start(static_cast<std::ptrdiff_t>(all.size()));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < all.size(); ++i) {
    threads.emplace_back([&, i] {
      tally mine;
      start.arrive_and_wait();
      mine.begin = stopwatch::now();
      all[i](mine);
      if (mine.end == stopwatch::time_point()) mine.end = stopwatch::now();
      tallies[i] = mine;
    });
  }
  for (std::thread& t : threads) t.join();

  tally sum = tallies.front();
  for (std::size_t i = 1; i < tallies.size(); ++i) {
    sum.put += tallies[i].put;
    sum.got += tallies[i].got;
    sum.begin = std::min(sum.begin, tallies[i].begin);
    sum.end = std::max(sum.end, tallies[i].end);
  }
  if (sum.put != sum.got) throw std::runtime_error("what came out is not what went in");
  return std::chrono::duration<double>(sum.end - sum.begin).count();
}
