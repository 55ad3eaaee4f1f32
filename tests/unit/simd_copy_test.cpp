// Strided copies against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "framework/base/error.h"
#include "ops/shared/simd/copy.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using Dims = std::vector<int64_t>;

Dims contiguous(const Dims& dims) {
  Dims s(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) s[i - 1] = s[i] * dims[i];
  return s;
}
int64_t product(const Dims& d) {
  return std::accumulate(d.begin(), d.end(), int64_t{1}, std::multiplies<>());
}

// Copies by loops, then by StridedCopy whole and unit by unit backwards.
template <class T>
void check(const Dims& dims, const Dims& src_strides, const Dims& dst_strides, size_t src_size,
           size_t dst_size, int64_t src_at = 0) {
  std::vector<T> src(src_size), want(dst_size, T(0x55)), got = want, units = want;
  std::mt19937_64 engine(5);
  for (auto& v : src) v = static_cast<T>(engine());
  const int64_t total = product(dims);
  for (int64_t k = 0; k < total; ++k) {
    int64_t rest = k, from = src_at, to = 0;
    for (size_t i = dims.size(); i-- > 0; rest /= dims[i]) {
      from += rest % dims[i] * src_strides[i];
      to += rest % dims[i] * dst_strides[i];
    }
    want[static_cast<size_t>(to)] = src[static_cast<size_t>(from)];
  }
  const simd::StridedCopy copy(static_cast<int>(dims.size()), dims.data(), src_strides.data(),
                               dst_strides.data(), sizeof(T));
  copy.run(src.data() + src_at, got.data());
  EXPECT_EQ(got, want) << testing::PrintToString(dims) << " from " << testing::PrintToString(src_strides);
  for (int64_t u = copy.units(); u-- > 0;) copy.run(src.data() + src_at, units.data(), u, u + 1);
  EXPECT_EQ(units, want);
  EXPECT_EQ(copy.units() == 0, total == 0);
}
template <class... A>
void check_sizes(const A&... args) {
  check<uint8_t>(args...);
  check<uint16_t>(args...);
  check<uint32_t>(args...);
  check<uint64_t>(args...);
}

// Every permutation of a shape.
void check_permutations(const Dims& shape) {
  std::vector<int> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  const Dims strides = contiguous(shape);
  const auto n = static_cast<size_t>(product(shape));
  do {
    Dims dims, src;
    for (int axis : order)
      dims.push_back(shape[static_cast<size_t>(axis)]), src.push_back(strides[static_cast<size_t>(axis)]);
    check_sizes(dims, src, contiguous(dims), n, n);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(SimdCopy, Permutations) {
  check_permutations({});
  check_permutations({5});
  check_permutations({33, 47});
  check_permutations({4, 64});
  check_permutations({2, 19, 3, 16});
  check_permutations({3, 1, 5, 2, 7});
  check_permutations({200, 130});
  check_permutations({40000});
}

TEST(SimdCopy, BroadcastSliceAndReverse) {
  check_sizes(Dims{6, 9}, Dims{0, 1}, Dims{9, 1}, size_t{9}, size_t{54});  // repeated rows
  check_sizes(Dims{6, 9}, Dims{1, 0}, Dims{9, 1}, size_t{6}, size_t{54});  // repeated columns
  check_sizes(Dims{30000}, Dims{0}, Dims{1}, size_t{1}, size_t{30000});    // one value
  check_sizes(Dims{4, 5, 6}, Dims{0, 7, 0}, Dims{30, 6, 1}, size_t{36}, size_t{120});
  check_sizes(Dims{5, 6}, Dims{20, 2}, Dims{6, 1}, size_t{100}, size_t{30});  // every second value
  check_sizes(Dims{5, 6}, Dims{6, 1}, Dims{20, 3}, size_t{30}, size_t{100});  // spread out
  check_sizes(Dims{5, 6}, Dims{-6, -1}, Dims{6, 1}, size_t{30}, size_t{30}, int64_t{29});  // both reversed
  check_sizes(Dims{17, 8}, Dims{8, 1}, Dims{24, 1}, size_t{136}, size_t{17 * 24});  // a block of wider rows
  check_sizes(Dims{2, 2, 2, 2, 2, 2, 2, 2}, Dims{1, 2, 4, 8, 16, 32, 64, 128},
              Dims{128, 64, 32, 16, 8, 4, 2, 1}, size_t{256}, size_t{256});
}

TEST(SimdCopy, EmptyAndErrors) {
  check_sizes(Dims{3, 0, 2}, Dims{0, 2, 1}, Dims{0, 2, 1}, size_t{1}, size_t{1});
  const int64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, negative[1] = {-1};
  EXPECT_THROW(simd::StridedCopy(9, dims, dims, dims, 4), Error);
  EXPECT_THROW(simd::StridedCopy(1, dims, dims, dims, 3), Error);
  EXPECT_THROW(simd::StridedCopy(1, negative, dims, dims, 4), Error);
}

}  // namespace
}  // namespace fovea
