// Two loops that do nothing but multiply and add, and nothing but read.
#include "ops/shared/simd/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "framework/tensor/array.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/peak.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

// Independent sums: two units of four cycles' latency want eight, sixteen registers hold twelve.
constexpr int kChains = 12;

// Twelve chains of x = x * a + b. Returns the operations done.
double multiply_add(int64_t rounds, float start, float* sink) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999f + start), b = hn::Set(d, 0.001f);
  // All different, or the compiler would compute equal chains once.
  auto x0 = hn::Set(d, start), x1 = hn::Set(d, start + 1), x2 = hn::Set(d, start + 2);
  auto x3 = hn::Set(d, start + 3), x4 = hn::Set(d, start + 4), x5 = hn::Set(d, start + 5);
  auto x6 = hn::Set(d, start + 6), x7 = hn::Set(d, start + 7), x8 = hn::Set(d, start + 8);
  auto x9 = hn::Set(d, start + 9), x10 = hn::Set(d, start + 10), x11 = hn::Set(d, start + 11);
  for (int64_t i = 0; i < rounds; ++i) {
    x0 = hn::MulAdd(x0, a, b);
    x1 = hn::MulAdd(x1, a, b);
    x2 = hn::MulAdd(x2, a, b);
    x3 = hn::MulAdd(x3, a, b);
    x4 = hn::MulAdd(x4, a, b);
    x5 = hn::MulAdd(x5, a, b);
    x6 = hn::MulAdd(x6, a, b);
    x7 = hn::MulAdd(x7, a, b);
    x8 = hn::MulAdd(x8, a, b);
    x9 = hn::MulAdd(x9, a, b);
    x10 = hn::MulAdd(x10, a, b);
    x11 = hn::MulAdd(x11, a, b);
  }
  const auto s0 = hn::Add(hn::Add(x0, x1), hn::Add(x2, x3));
  const auto s1 = hn::Add(hn::Add(x4, x5), hn::Add(x6, x7));
  const auto s2 = hn::Add(hn::Add(x8, x9), hn::Add(x10, x11));
  *sink = hn::GetLane(hn::Add(s0, hn::Add(s1, s2)));
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

// `n` is a multiple of eight vectors' worth of words.
uint32_t read(const uint32_t* HWY_RESTRICT p, size_t n) {
  const hn::ScalableTag<uint32_t> d;
  const size_t lanes = hn::Lanes(d);
  auto x0 = hn::Zero(d), x1 = x0, x2 = x0, x3 = x0;
  for (size_t i = 0; i < n; i += 4 * lanes) {
    x0 = hn::Xor(x0, hn::Load(d, p + i));
    x1 = hn::Xor(x1, hn::Load(d, p + i + lanes));
    x2 = hn::Xor(x2, hn::Load(d, p + i + 2 * lanes));
    x3 = hn::Xor(x3, hn::Load(d, p + i + 3 * lanes));
  }
  return hn::GetLane(hn::Xor(hn::Xor(x0, x1), hn::Xor(x2, x3)));
}

}  // namespace
}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
namespace {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The shortest of runs of `body` that together take about `budget` seconds; at least five.
template <class F>
double shortest(double budget, F&& body) {
  double best = 1e30;
  const double begin = seconds();
  for (int runs = 0; runs < 5 || (seconds() - begin < budget && runs < 10000); ++runs) {
    const double t = seconds();
    body();
    best = std::min(best, seconds() - t);
  }
  return best;
}

}  // namespace

double measure_peak_gflops(ThreadPool& pool) {
  // Blocks of some 50 microseconds, many a thread: none waits long for the last.
  constexpr int64_t kRounds = 20000, kBlocksPerThread = 40;
  const int64_t blocks = kBlocksPerThread * pool.threads();
  std::atomic<double> operations{0};
  std::atomic<float> sink{0};
  const double best = shortest(0.05, [&] {
    pool.parallel_for(blocks, [&](int64_t block) {
      float result = 0;
      operations =
          HWY_DYNAMIC_DISPATCH(multiply_add)(kRounds, 1e-6f * static_cast<float>(block % 7), &result);
      sink = result;
    });
  });
  return operations * static_cast<double>(blocks) / best * 1e-9;
}

double measure_read_gbs(ThreadPool& pool) {
  constexpr size_t kBlockWords = size_t{1} << 18, kBlocks = 256;  // 1 MiB a block
  const Array memory(DType::u8, {kBlocks * kBlockWords * sizeof(uint32_t)});
  auto* words = static_cast<uint32_t*>(memory.raw());
  // Written once, for fresh pages may all be one page of zeros.
  pool.parallel_for(kBlocks, [&](int64_t b) {
    uint32_t* block = words + static_cast<size_t>(b) * kBlockWords;
    for (size_t i = 0; i < kBlockWords; ++i) block[i] = static_cast<uint32_t>(i);
  });
  std::atomic<uint32_t> sink{0};
  const double best = shortest(0.05, [&] {
    pool.parallel_for(kBlocks, [&](int64_t b) {
      sink = sink ^ HWY_DYNAMIC_DISPATCH(read)(words + static_cast<size_t>(b) * kBlockWords, kBlockWords);
    });
  });
  return static_cast<double>(kBlocks * kBlockWords * sizeof(uint32_t)) / best * 1e-9;
}

}  // namespace fovea::simd
#endif
