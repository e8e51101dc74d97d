#include "support/suite.hpp"

// BENCH_TBB: the build has found the library to link with.
#if BENCH_TBB && __has_include(<oneapi/tbb/parallel_pipeline.h>)
#include <oneapi/tbb/parallel_pipeline.h>

#include "support/flow.hpp"

namespace {

using namespace bench;
using flow::order;
using flow::size;
using tbb::filter_mode;

template <size Size, order How, filter_mode Between>
class filters {
 public:
  filters(flow::source& from, flow::results& out) : from_(from), out_(out) {}
  void run() {
    constexpr filter_mode last =
        How == order::kept ? filter_mode::serial_in_order : filter_mode::serial_out_of_order;
    tbb::parallel_pipeline(
        flow::most_inside,
        tbb::make_filter<void, word>(filter_mode::serial_in_order, [this](tbb::flow_control& control) {
          word v = 0;
          if (from_.try_pop(v) != millrace::outcome::ok) control.stop();
          return flow::stage<Size>(v);
        }) & tbb::make_filter<word, word>(Between, [](word v) {
          return flow::stage<Size>(v);
        }) & tbb::make_filter<word, word>(Between, [](word v) {
          return flow::stage<Size>(v);
        }) & tbb::make_filter<word, void>(last, [this](word v) { out_.take(flow::stage<Size>(v)); }));
  }

 private:
  flow::source& from_;
  flow::results& out_;
};
template <size Size, order How>
class parallel : public filters<Size, How, filter_mode::parallel> {
  using filters<Size, How, filter_mode::parallel>::filters;
};
template <size Size, order How>
class serial
    : public filters<Size, How,
                     How == order::kept ? filter_mode::serial_in_order : filter_mode::serial_out_of_order> {
  using base = filters<Size, How,
                       How == order::kept ? filter_mode::serial_in_order : filter_mode::serial_out_of_order>;
  using base::base;
};

}  // namespace

void bench::add_pipeline_tbb(suite& s) {
  for (const order how : {order::any, order::kept}) {
    s.add_pipeline<parallel>("tbb::parallel_pipeline", role::peer).both_sizes(how);
    s.add_pipeline<serial>("tbb::parallel_pipeline, serial filters", role::peer).both_sizes(how);
  }
}
#else
void bench::add_pipeline_tbb(suite& s) { s.missing_flow("tbb::parallel_pipeline: libtbb-dev"); }
#endif
