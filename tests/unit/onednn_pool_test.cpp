#include "framework/backend/cpu/onednn/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Expected {
  std::vector<double> y, dx;
  std::vector<int64_t> indices;
};

// Straight from the definition: every tap of every window, padding included.
Expected reference(const PoolDesc& d, const std::vector<double>& x, const std::vector<double>& dy) {
  int64_t out[3] = {1, 1, 1}, volume = 1;
  for (int i = 0; i < d.spatial; ++i) out[i] = d.out(i);
  for (int i = 0; i < 3; ++i) volume *= d.kernel[i];
  Expected e;
  e.dx.assign(x.size(), 0);
  const int64_t in_size = d.in[0] * d.in[1] * d.in[2];
  for (int64_t p = 0; p < d.planes; ++p)
    for (int64_t a = 0; a < out[0]; ++a)
      for (int64_t b = 0; b < out[1]; ++b)
        for (int64_t c = 0; c < out[2]; ++c) {
          std::vector<int64_t> taps;
          for (int64_t i = 0; i < d.kernel[0]; ++i)
            for (int64_t j = 0; j < d.kernel[1]; ++j)
              for (int64_t k = 0; k < d.kernel[2]; ++k) {
                const int64_t u = a * d.stride[0] + i * d.dilation[0] - d.pad_before[0];
                const int64_t v = b * d.stride[1] + j * d.dilation[1] - d.pad_before[1];
                const int64_t w = c * d.stride[2] + k * d.dilation[2] - d.pad_before[2];
                if (u >= 0 && v >= 0 && w >= 0 && u < d.in[0] && v < d.in[1] && w < d.in[2])
                  taps.push_back((u * d.in[1] + v) * d.in[2] + w);
              }
          const auto at = [&](int64_t i) { return static_cast<size_t>(p * in_size + i); };
          const double g = dy[e.y.size()];
          if (d.kind == PoolKind::Max) {
            int64_t best = -1;
            for (int64_t t : taps)
              if (best < 0 || x[at(t)] > x[at(best)]) best = t;
            e.y.push_back(best < 0 ? -kInf : x[at(best)]);
            e.indices.push_back(best);
            if (best >= 0) e.dx[at(best)] += g;
          } else {
            const double count =
                d.count_include_pad ? static_cast<double>(volume) : static_cast<double>(taps.size());
            double sum = 0;
            for (int64_t t : taps) sum += x[at(t)];
            e.y.push_back(count == 0 ? 0 : sum / count);
            for (int64_t t : taps) e.dx[at(t)] += g / count;
          }
        }
  return e;
}

template <class T>
double number(T x) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else
    return static_cast<double>(static_cast<float>(x));
}

template <class T>
void check(const PoolDesc& d, double tolerance) {
  const PoolPlan plan(d);
  int64_t outputs = d.planes;
  for (int i = 0; i < d.spatial; ++i) outputs *= d.out(i);
  std::mt19937 random(7);
  std::uniform_int_distribution<int> uniform(-20, 20);  // with ties
  const auto make = [&](int64_t n) {
    std::vector<T> v;
    for (int64_t i = 0; i < n; ++i) v.push_back(T(static_cast<float>(uniform(random)) / 4));
    return v;
  };
  const auto wide = [](const std::vector<T>& v) {
    std::vector<double> w;
    for (T x : v) w.push_back(number(x));
    return w;
  };
  const std::vector<T> x = make(d.planes * d.in[0] * d.in[1] * d.in[2]), dy = make(outputs);
  const Expected e = reference(d, wide(x), wide(dy));
  const bool max = d.kind == PoolKind::Max;
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    std::vector<T> y(dy.size(), T(99.0f)), dx(x.size(), T(99.0f)), again(x.size(), T(99.0f));
    std::vector<int64_t> indices(dy.size(), -7);
    plan.forward(x.data(), y.data(), max ? indices.data() : nullptr, pool);
    if (max) {
      EXPECT_EQ(indices, e.indices);
    }
    plan.backward(x.data(), nullptr, dy.data(), dx.data(), pool);
    if (max) plan.backward(nullptr, indices.data(), dy.data(), again.data(), pool);
    for (size_t i = 0; i < y.size(); ++i)
      if (number(y[i]) != e.y[i]) {  // -inf equals -inf
        ASSERT_NEAR(number(y[i]), e.y[i], tolerance) << i;
      }
    for (size_t i = 0; i < dx.size(); ++i) {
      ASSERT_NEAR(number(dx[i]), e.dx[i], tolerance * 4) << i;
      if (max) {
        ASSERT_EQ(number(dx[i]), number(again[i])) << i;
      }
    }
  }
}

std::vector<PoolDesc> cases() {
  std::vector<PoolDesc> all;
  for (PoolKind kind : {PoolKind::Max, PoolKind::Average})
    for (bool include : {false, true}) {
      if (kind == PoolKind::Max && include) continue;
      PoolDesc d;
      d.kind = kind;
      d.count_include_pad = include;
      d.planes = 6;
      for (int i = 0; i < 2; ++i) {
        d.in[i] = 9 + i;
        d.kernel[i] = d.stride[i] = 2;
      }
      all.push_back(d);  // 2x2
      for (int i = 0; i < 2; ++i) {
        d.kernel[i] = 3;
        d.pad_before[i] = d.pad_after[i] = 1;
      }
      all.push_back(d);  // overlapping windows with padding
      d.pad_after[1] = 5;
      d.dilation[0] = 2;
      d.stride[1] = 1;
      all.push_back(d);  // windows wholly in the padding
      PoolDesc global = d;
      for (int i = 0; i < 2; ++i) {
        global.kernel[i] = global.in[i];
        global.pad_before[i] = global.pad_after[i] = 0;
        global.dilation[i] = global.stride[i] = 1;
      }
      all.push_back(global);
      PoolDesc line = d;
      line.spatial = 1;
      line.planes = 300;
      line.in[1] = line.kernel[1] = 1;
      all.push_back(line);
      PoolDesc volume = d;
      volume.spatial = 3;
      volume.in[2] = 5;
      volume.kernel[2] = 2;
      volume.pad_before[2] = 1;
      all.push_back(volume);
      d.planes = 0;
      all.push_back(d);
    }
  return all;
}

TEST(OnednnPool, MatchesTheDefinition) {
  for (PoolDesc d : cases()) {
    d.dtype = DType::f32;
    if (d.spatial == 1) d.kernel[1] = d.stride[1] = d.dilation[1] = 1, d.pad_before[1] = d.pad_after[1] = 0;
    check<float>(d, 1e-5);
    d.dtype = DType::f64;
    check<double>(d, 1e-13);
    d.dtype = DType::bf16;
    check<bf16_t>(d, 0.05);
    d.dtype = DType::f16;
    check<f16_t>(d, 0.01);
  }
}

TEST(OnednnPool, NanWinsAndGetsTheGradient) {
  PoolDesc d;
  d.spatial = 1;
  d.in[0] = 4;
  d.kernel[0] = d.stride[0] = 2;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float x[] = {1, nan, nan, 5}, dy[] = {10, 20};
  float y[2], dx[4];
  ThreadPool pool(1);
  const PoolPlan plan(d);
  plan.forward(x, y, nullptr, pool);
  plan.backward(x, nullptr, dy, dx, pool);
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  EXPECT_EQ(std::vector<float>(dx, dx + 4), (std::vector<float>{0, 10, 20, 0}));
}

TEST(OnednnPool, RefusesWithASentence) {
  const auto sentence = [](auto change) -> std::string {
    PoolDesc d;
    d.in[0] = d.in[1] = 5;
    change(d);
    try {
      PoolPlan plan(d);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(sentence([](PoolDesc&) {}), "");
  EXPECT_EQ(sentence([](PoolDesc& d) { d.kernel[0] = 6; }),
            "InvalidArgument: pooling: the window spans 6 elements in spatial dim 0, more than the padded "
            "input's 5");
  EXPECT_EQ(sentence([](PoolDesc& d) { d.stride[1] = 0; }),
            "InvalidArgument: pooling: a stride is 0; it must be at least 1");
  EXPECT_EQ(sentence([](PoolDesc& d) { d.dtype = DType::i64; }),
            "Unsupported: pooling: dtype i64 is not floating point");
  EXPECT_NE(sentence([](PoolDesc& d) { d.planes = int64_t{1} << 60; }), "");
  EXPECT_NE(sentence([](PoolDesc& d) { d.pad_before[0] = -1; }), "");
}

}  // namespace
}  // namespace fovea::onednn
