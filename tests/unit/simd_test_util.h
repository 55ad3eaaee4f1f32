// Helpers of the SIMD kernel tests: every instruction set of this machine, special values, distances in ulp.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hwy/targets.h"

namespace fovea::simd_test {

/// Calls body() once for each instruction set that this processor has and the kernels are compiled for.
template <class F>
void for_each_target(F body) {
  const int64_t all = hwy::SupportedTargets();
  for (int64_t target : {int64_t{HWY_SSE4}, int64_t{HWY_AVX2}, int64_t{HWY_AVX3}}) {
    if ((all & target) == 0) continue;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// Sizes around every vector width, and some larger ones.
inline std::vector<size_t> sizes() {
  std::vector<size_t> s;
  for (size_t n = 0; n <= 67; ++n) s.push_back(n);
  for (size_t n : {127, 512, 513, 1000, 1027}) s.push_back(n);
  return s;
}

template <class T>
std::vector<T> specials() {
  using L = std::numeric_limits<T>;
  return {T(0),          T(-0.0),   T(1),     T(-1),       L::infinity(),   -L::infinity(),   L::quiet_NaN(),
          L::min(),      -L::min(), L::max(), L::lowest(), L::denorm_min(), -L::denorm_min(), L::epsilon(),
          -L::epsilon(), T(0.5),    T(-0.5),  T(1.5),      T(-1.5),         T(2.5),           T(1e-20)};
}

template <class T>
std::vector<T> uniform_values(size_t n, double low, double high, unsigned seed = 1) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> pick(low, high);
  std::vector<T> x(n);
  for (auto& v : x) v = static_cast<T>(pick(engine));
  return x;
}

/// An element of any floating type as the type of references.
template <class T>
long double wide(T v) {
  if constexpr (std::is_arithmetic_v<T>)
    return v;
  else
    return static_cast<float>(v);
}

/// Distance of `got` from the exact value `want` in units of the last place of T at want; 0 for two NaNs.
template <class T>
double ulps(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : 1e9;
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : 1e9;
  const T magnitude = std::max(std::fabs(rounded), std::numeric_limits<T>::min());
  const long double unit =
      static_cast<long double>(std::nextafter(magnitude, std::numeric_limits<T>::infinity())) -
      static_cast<long double>(magnitude);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / unit);
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

}  // namespace fovea::simd_test
