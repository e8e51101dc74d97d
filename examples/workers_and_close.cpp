// Work for several threads, and how they learn that there will be no more.
//
//              push                       for (job : jobs)
//   main ----------------> [ jobs ] ---+----> worker ---+         push            for (total : totals)
//    |                                 +----> worker ---+--------------> [ totals ] -----> main
//    +--- close, at the end            +----> worker ---+
//
// A worker sleeps while there is nothing to do, and main while there is no room. Closing ends the stream:
// pushes are refused from then on, what has been accepted is still handed out, and then the workers' loops
// end. None of them needs a flag, a poison pill or a timeout.
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "millrace/queue/channel.hpp"

struct job {
  std::uint64_t number;
};
struct total {
  int jobs = 0;
  std::uint64_t sum = 0;
};

int main() {
  constexpr int workers = 3;
  constexpr int count = 10000;
  millrace::channel<job> jobs(64);
  millrace::channel<total> totals(workers);

  std::vector<std::jthread> threads;
  for (int i = 0; i < workers; ++i) {
    threads.emplace_back([&] {
      total mine;
      for (const job& j : jobs) {
        ++mine.jobs;
        mine.sum += j.number * j.number;
      }
      if (totals.push(mine) != millrace::outcome::ok) std::printf("a total was lost\n");
    });
  }

  int accepted = 0;
  for (std::uint64_t n = 1; n <= count; ++n) {
    if (jobs.push(job{n}) == millrace::outcome::ok) ++accepted;
  }
  jobs.close();
  std::printf("%d jobs accepted; one more: %s\n", accepted, to_string(jobs.push(job{0})));

  threads.clear();  // joins them
  totals.close();
  total all;
  int handed_in = 0;
  for (const total& t : totals) {
    ++handed_in;
    all.jobs += t.jobs;
    all.sum += t.sum;
  }
  std::printf("%d workers did %d jobs; the sum of the squares is %llu\n", handed_in, all.jobs,
              static_cast<unsigned long long>(all.sum));
  return all.jobs == accepted ? 0 : 1;
}
