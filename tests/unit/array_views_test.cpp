// Views of arrays, the strides they have, and copies of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/array_test_util.h"

namespace fovea {
namespace {

using namespace test;

TEST(Views, TransposeAndPermute) {
  const Array a = range({2, 3, 4});
  const Array p = a.permute({2, 0, -2});
  EXPECT_EQ(p.shape(), (Dims{4, 2, 3}));
  EXPECT_EQ(p.raw(), a.raw());
  EXPECT_FALSE(p.is_contiguous());
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 3; ++j)
      for (int64_t k = 0; k < 4; ++k) {
        EXPECT_EQ(p.at({k, i, j}), i * 12 + j * 4 + k);
        EXPECT_EQ(a.transpose(0, -1).at({k, j, i}), i * 12 + j * 4 + k);
      }
  EXPECT_EQ(ints(range({2, 3}).transpose(0, 1)), (Ints{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(range({1, 5, 1}).permute({2, 1, 0}).is_contiguous());
  EXPECT_EQ(Array::scalar(1.f).permute({}).item(), 1);
  expect_invalid([&] { a.permute({0, 1}); }, "names 2 axes of shape [2, 3, 4]");
  expect_invalid([&] { a.permute({0, 1, -2}); }, "axis 1 twice");
  expect_invalid([&] { a.permute({0, 1, 3}); }, "axis 3");
  expect_invalid([&] { a.transpose(0, 3); }, "axis 3");
}

// Python's slice of 0..n-1, walked position by position after its own definition of the bounds.
Ints python_slice(int64_t n, int64_t start, int64_t stop, int64_t step) {
  auto bound = [&](int64_t i) {
    if (i < 0) i = std::max(i + n, step > 0 ? int64_t{0} : int64_t{-1});
    return std::min(i, step > 0 ? n : n - 1);
  };
  Ints out;
  for (int64_t i = bound(start); step > 0 ? i < bound(stop) : i > bound(stop); i += step) out.push_back(i);
  return out;
}

TEST(Views, SliceLikePython) {
  const Array a = range({5});
  EXPECT_EQ(ints(a.slice(0, 1, 4)), (Ints{1, 2, 3}));
  EXPECT_EQ(ints(a.slice(0, -2, 5)), (Ints{3, 4}));
  EXPECT_EQ(ints(a.slice(0, 0, 100, 2)), (Ints{0, 2, 4}));
  EXPECT_EQ(ints(a.slice(0, 4, kLeast, -1)), (Ints{4, 3, 2, 1, 0}));
  EXPECT_EQ(ints(a.slice(0, 100, 0, -2)), (Ints{4, 2}));
  EXPECT_EQ(ints(a.slice(0, 3, 3)), Ints{});
  EXPECT_EQ(ints(a.slice(0, 0, kMost, kMost)), Ints{0});
  EXPECT_EQ(ints(a.slice(0, kMost, kLeast, kLeast)), Ints{4});
  for (int64_t n : {0, 1, 2, 5})
    for (int64_t start = -7; start <= 7; ++start)
      for (int64_t stop = -7; stop <= 7; ++stop)
        for (int64_t step : {-6, -3, -2, -1, 1, 2, 3, 6})
          EXPECT_EQ(ints(range({n}).slice(0, start, stop, step)), python_slice(n, start, stop, step))
              << n << ": " << start << " " << stop << " " << step;
  expect_invalid([&] { a.slice(0, 0, 5, 0); }, "step 0 on axis 0 of shape [5]");
  expect_invalid([&] { a.slice(1, 0, 5); }, "axis 1");
}

TEST(Views, SlicesOfSlices) {
  const Array a = range({4, 6});
  const Array s = a.slice(-1, 5, kLeast, -2).slice(0, 1, 3);
  EXPECT_EQ(s.shape(), (Dims{2, 3}));
  EXPECT_EQ(s.strides(), (Dims{6, -2}));
  EXPECT_EQ(ints(s), (Ints{11, 9, 7, 17, 15, 13}));
  EXPECT_EQ(ints(s.slice(1, -1, kLeast, -1)), (Ints{7, 9, 11, 13, 15, 17}));
  EXPECT_EQ(ints(a.slice(0, 2, 2).slice(1, 3, 1)), Ints{});
}

TEST(Views, Broadcast) {
  const Array a = range({3, 1});
  const Array b = a.broadcast_to({2, 3, 2});
  EXPECT_EQ(b.strides(), (Dims{0, 1, 0}));
  EXPECT_EQ(ints(b), (Ints{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(ints(Array::scalar<int64_t>(7).broadcast_to({2, 2})), (Ints{7, 7, 7, 7}));
  EXPECT_EQ(a.broadcast_to({3, 0}).size(), 0);
  EXPECT_EQ(Array::scalar(1.f).broadcast_to({1 << 20, 1 << 20}).size(), int64_t{1} << 40);
  expect_invalid([&] { a.broadcast_to({4, 2}); }, "axis 0 of shape [3, 1] is 3, not 1 or the 4 of [4, 2]");
  expect_invalid([&] { a.broadcast_to({3}); }, "more dimensions than [3]");
  expect_invalid([&] { a.broadcast_to({3, -2}); }, "negative size");
  expect_invalid([] { Array::scalar(1.f).broadcast_to({kHuge, 8}); }, "overflows");
  expect_invalid([] { Array::scalar(1.f).broadcast_to({kHuge}); }, "overflows");
}

TEST(Views, Reshape) {
  const Array a = range({2, 6});
  EXPECT_EQ(a.reshape({3, -1}).shape(), (Dims{3, 4}));
  EXPECT_EQ(a.reshape({3, 4}).raw(), a.raw());
  EXPECT_EQ(a.reshape({-1}).shape(), (Dims{12}));
  EXPECT_EQ(Array::scalar(1.f).reshape({1, 1}).shape(), (Dims{1, 1}));
  EXPECT_EQ(Array::scalar(1.f).reshape({-1}).shape(), (Dims{1}));
  EXPECT_EQ(range({1}).reshape({}).item(), 0);
  EXPECT_EQ(Array::zeros(DType::f32, {0, 3}).reshape({5, 0}).shape(), (Dims{5, 0}));
  EXPECT_EQ(Array::zeros(DType::f32, {0, 3}).reshape({3, -1}).shape(), (Dims{3, 0}));
  const Array t = a.transpose(0, 1).reshape({12});
  EXPECT_NE(t.raw(), a.raw());
  EXPECT_EQ(ints(t), (Ints{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}));
  expect_invalid([&] { a.reshape({5, -1}); }, "12 elements of shape [2, 6] fit [5, -1] for no value of -1");
  expect_invalid([&] { a.reshape({5}); }, "shape [2, 6] has 12 elements, [5] has 5");
  expect_invalid([&] { a.reshape({-1, -1}); }, "one size may be -1");
  expect_invalid([&] { a.reshape({-2, 6}); }, "one size may be -1");
  expect_invalid([] { Array::zeros(DType::f32, {0}).reshape({0, -1}); }, "for any value of -1");
  expect_invalid([&] { a.reshape({kHuge, 8}); }, "overflows");
}

TEST(Views, ReshapedStridesWhereverTheyExist) {
  using O = std::optional<Dims>;
  EXPECT_EQ(reshaped_strides({2, 3, 4}, {12, 4, 1}, {6, 4}), O(Dims{4, 1}));
  EXPECT_EQ(reshaped_strides({4, 6}, {12, 1}, {2, 2, 3, 2}), O(Dims{24, 12, 2, 1}));  // every second row of 6
  EXPECT_EQ(reshaped_strides({6, 4}, {1, 6}, {2, 3, 4}), O(Dims{3, 1, 6}));           // transposed
  EXPECT_EQ(reshaped_strides({6, 4}, {1, 6}, {24}), O());
  EXPECT_EQ(reshaped_strides({6, 4}, {1, 6}, {3, 8}), O());
  EXPECT_EQ(reshaped_strides({3, 4}, {0, 0}, {2, 6}), O(Dims{0, 0}));  // broadcast
  EXPECT_EQ(reshaped_strides({3, 4}, {0, 1}, {12}), O());
  EXPECT_EQ(reshaped_strides({8}, {-1}, {2, 4}), O(Dims{-4, -1}));  // reversed
  EXPECT_EQ(reshaped_strides({2, 4}, {-4, -1}, {8}), O(Dims{-1}));
  EXPECT_EQ(reshaped_strides({1, 5, 1}, {99, 2, -7}, {5}), O(Dims{2}));
  EXPECT_EQ(reshaped_strides({5}, {1}, {4}), O());
  EXPECT_EQ(reshaped_strides({0, 5}, {1, 1}, {5, 0})->size(), 2u);
}

// Element addresses of a view in row-major order: the definition of strides.
Ints addresses(const Dims& shape, const Dims& strides) {
  Ints out{0};
  for (size_t d = 0; d < shape.size(); ++d) {
    Ints next;
    for (int64_t base : out)
      for (int64_t i = 0; i < shape[d]; ++i) next.push_back(base + i * strides[d]);
    out = std::move(next);
  }
  return out;
}

// All ways to write `n` as a product of at most `rank` sizes.
void factorings(int64_t n, size_t rank, Dims& prefix, std::vector<Dims>& out) {
  if (n == 1) out.push_back(prefix);
  if (prefix.size() == rank) return;
  for (int64_t d = 1; d <= n; ++d) {
    if (n % d != 0) continue;
    prefix.push_back(d);
    factorings(n / d, rank, prefix, out);
    prefix.pop_back();
  }
}

TEST(Views, ReshapedStridesAgainstSearch) {
  std::mt19937 rng(3);
  std::vector<Dims> shapes;
  Dims prefix;
  factorings(12, 3, prefix, shapes);
  for (int trial = 0; trial < 4000; ++trial) {
    const Dims& from = shapes[rng() % shapes.size()];
    const Dims& to = shapes[rng() % shapes.size()];
    Dims strides = contiguous_strides(from);
    if (rng() % 2) std::shuffle(strides.begin(), strides.end(), rng);
    for (int64_t& s : strides) s *= rng() % 4 ? 1 : static_cast<int64_t>(rng() % 4) - 1;
    const Ints want = addresses(from, strides);
    const auto got = reshaped_strides(from, strides, to);
    // A view exists exactly if the step along each new dim, read off the addresses, reproduces all of them.
    Dims steps(to.size(), 0);
    int64_t inner = 1;
    for (size_t d = to.size(); d-- > 0; inner *= to[d])
      if (to[d] > 1) steps[d] = want[static_cast<size_t>(inner)];
    const bool exists = addresses(to, steps) == want;
    ASSERT_EQ(got.has_value(), exists) << to_string(from) << to_string(strides) << to_string(to);
    if (got) {
      ASSERT_EQ(addresses(to, *got), want);
    }
  }
}

TEST(Views, ContiguityIgnoresSizeOne) {
  EXPECT_TRUE(is_contiguous({2, 1, 3}, {3, 77, 1}));
  EXPECT_TRUE(is_contiguous({}, {}));
  EXPECT_TRUE(is_contiguous({0, 3}, {5, 5}));
  EXPECT_FALSE(is_contiguous({2, 3}, {1, 2}));
  EXPECT_FALSE(is_contiguous({2}, {0}));
  EXPECT_EQ(contiguous_strides({2, 0, 3}), (Dims{3, 3, 1}));
  EXPECT_EQ(contiguous_strides({}), Dims{});
}

TEST(Copy, StridedViewsOfEveryKind) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 400; ++trial) {
    Array a = range({3, 5, 2, 4});
    std::vector<int64_t> axes = {0, 1, 2, 3};
    std::shuffle(axes.begin(), axes.end(), rng);
    a = a.permute(axes);
    for (int64_t d = 0; d < 4; ++d) {
      if (rng() % 3 == 0) a = a.slice(d, -1, kLeast, -1);
      if (rng() % 3 == 0) a = a.slice(d, static_cast<int64_t>(rng() % 2), 9, 2);
    }
    Ints want = addresses(a.shape(), a.strides());
    for (int64_t& w : want) w += a.offset();  // the element at address k is k
    const Array c = a.copy();
    EXPECT_TRUE(c.is_contiguous());
    EXPECT_NE(c.buffer(), a.buffer());
    ASSERT_EQ(ints(c), want) << to_string(a.shape()) << to_string(a.strides());
    ASSERT_EQ(a.cast(DType::i16).to_vector<int64_t>(), want);
  }
}

TEST(Copy, RankEightAndLargeTranspositions) {
  const Array a = range({2, 1, 3, 2, 2, 1, 2, 3}).permute({7, 6, 5, 4, 3, 2, 1, 0});
  EXPECT_EQ(ints(a.copy()), addresses(a.shape(), a.strides()));
  const Array b = range({97, 131}).transpose(0, 1);  // not a multiple of any tile
  EXPECT_EQ(ints(b.copy()), addresses(b.shape(), b.strides()));
  const Array c = range({3, 40, 70}).transpose(1, 2);
  EXPECT_EQ(ints(c.copy()), addresses(c.shape(), c.strides()));
}

TEST(Copy, ContiguousIsFreeWhereItCanBe) {
  const Array a = range({4, 3});
  EXPECT_EQ(a.contiguous().buffer(), a.buffer());
  EXPECT_EQ(a.slice(0, 1, 3).contiguous().buffer(), a.buffer());
  EXPECT_NE(a.slice(1, 1, 3).contiguous().buffer(), a.buffer());
  EXPECT_EQ(Array::scalar(4.0).copy().item(), 4);
}

}  // namespace
}  // namespace fovea
