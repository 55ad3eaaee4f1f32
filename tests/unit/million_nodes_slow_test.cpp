// A chain of a million nodes is traced, differentiated, optimised, planned, run and destroyed on a small
// stack, in time that grows with the number of nodes and no faster.
#include <gtest/gtest.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>

#include "frontends/cpp/fovea.h"

namespace fovea {
namespace {

constexpr size_t kStack = 256 << 10;
constexpr int64_t kWidth = 4;
constexpr float kScale = 0.99f, kShift = 0.01f;

// Of this thread: other work on the machine does not count.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void on_small_stack(const std::function<void()>& body) {
  struct Job {
    const std::function<void()>& body;
    std::exception_ptr error;
  } job{body, nullptr};
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kStack), 0);
  pthread_t thread{};
  const auto run = [](void* p) -> void* {
    Job& mine = *static_cast<Job*>(p);
    try {
      mine.body();
    } catch (...) {
      mine.error = std::current_exception();
    }
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &job), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (job.error) std::rethrow_exception(job.error);
}

// x -> tanh(x * a + b), over and over: three nodes a round.
std::vector<Tensor> chain(const std::vector<Tensor>& in, int64_t nodes) {
  Tensor x = in[0];
  for (int64_t i = 0; i < nodes / 3; ++i) x = tanh(x * in[1] + in[2]);
  return {sum(x)};
}

// The chain's last value and its derivative by the first, in doubles.
std::pair<double, double> expected(double x, int64_t nodes) {
  double slope = 1;
  for (int64_t i = 0; i < nodes / 3; ++i) {
    x = std::tanh(x * kScale + kShift);
    slope *= (1 - x * x) * kScale;
  }
  return {x, slope};
}

struct Times {
  double trace = 0, compile = 0, plan = 0, destroy = 0;
  double total() const { return trace + compile + plan + destroy; }
};

Times life_of(int64_t nodes) {
  Times times;
  double mark = cpu_seconds();
  auto lap = [&mark](double& into) {
    const double now = cpu_seconds();
    into = now - mark;
    mark = now;
  };
  const Spec vector(DType::f32, {kWidth}), scalar(DType::f32, {});
  auto module =
      trace(value_and_grad([&](const auto& in) { return chain(in, nodes); }), {vector, scalar, scalar});
  EXPECT_GE(module->functions.size(), 2u);
  lap(times.trace);
  auto program = std::make_unique<Program>(module, "main");
  lap(times.compile);
  const std::vector<Array> in = {Array::of(std::vector<float>{-0.5f, 0.1f, 0.2f, 0.9f}, {kWidth}),
                                 Array::scalar(kScale), Array::scalar(kShift)};
  auto plan = program->plan(in);
  lap(times.plan);
  const std::vector<Array> out = plan->run(in);
  double sum = 0;
  for (int64_t i = 0; i < kWidth; ++i) {
    const auto [value, slope] = expected(in[0].get_flat(i), nodes);
    sum += value;
    EXPECT_NEAR(out[1].get_flat(i), slope, 1e-4 * std::abs(slope) + 1e-30) << "element " << i;
  }
  EXPECT_NEAR(out[0].item(), sum, 1e-4);
  mark = cpu_seconds();
  plan.reset();
  program.reset();
  module.reset();
  lap(times.destroy);
  return times;
}

TEST(MillionNodes, AChainLivesOnASmallStackInLinearTime) {
  double least_small = 1e9, million = 0;
  auto run = [](int64_t nodes, int repeats) {
    double best = 1e9;
    for (int i = 0; i < repeats; ++i) {
      Times t;
      on_small_stack([&] { t = life_of(nodes); });
      std::printf("%8lld nodes: trace %.3f s, compile %.3f s, plan %.3f s, destroy %.3f s: %.2f us a node\n",
                  static_cast<long long>(nodes), t.trace, t.compile, t.plan, t.destroy,
                  t.total() / static_cast<double>(nodes) * 1e6);
      best = std::min(best, t.total() / static_cast<double>(nodes));
    }
    return best;
  };
  for (const auto& [nodes, repeats] :
       {std::pair{int64_t{9'999}, 5}, {int64_t{99'999}, 2}, {int64_t{999'999}, 2}}) {
    const double per_node = run(nodes, repeats);
    if (nodes < 999'999) least_small = std::min(least_small, per_node);
    million = per_node;
  }
  EXPECT_LE(million, 2 * least_small) << "seconds a node";
  EXPECT_LE(million * 1e6, 60) << "seconds for a million nodes";
}

}  // namespace
}  // namespace fovea
