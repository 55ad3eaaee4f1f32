// Softmax over columns of tiles against plain loops in long double, for every instruction set of the machine.
#include "ops/shared/simd/softmax_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/simd_test_util.h"

namespace fovea::simd {
namespace {

using simd_test::for_each_target;

constexpr double kInf = std::numeric_limits<double>::infinity();

// One column block of `classes` classes in tiles of `tile`.
template <class T>
struct Columns {
  int64_t classes, tile, columns, tiles;
  std::vector<T> x, bias, max, sum, gaps, largest;
  std::vector<double> total;

  Columns(int64_t classes_, int64_t tile_, int64_t columns_, bool with_bias)
      : classes(classes_),
        tile(tile_),
        columns(columns_),
        tiles((classes_ + tile_ - 1) / tile_),
        x(simd_test::uniform_values<T>(static_cast<size_t>(classes_ * kTileColumns), -9, 9)),
        max(static_cast<size_t>(tiles * kTileColumns)),
        sum(max.size()),
        gaps(max.size()),
        largest(kTileColumns),
        total(kTileColumns) {
    if (with_bias) bias = simd_test::uniform_values<T>(static_cast<size_t>(classes_), -3, 3, 7);
  }
  int64_t rows_of(int64_t t) const { return std::min(tile, classes - t * tile); }
  T value(int64_t c, int64_t j) const {  // a logit, before it is overwritten
    const T v = x[static_cast<size_t>(c * kTileColumns + j)];
    return bias.empty() ? v : v + bias[static_cast<size_t>(c)];
  }
  void visit(T* e, bool stream) {
    for (int64_t t = 0; t < tiles; ++t)
      exp_columns(ExpColumns<T>{rows_of(t), columns, x.data() + t * tile * kTileColumns,
                                bias.empty() ? nullptr : bias.data() + t * tile, e + t * tile * kTileColumns,
                                stream, max.data() + t * kTileColumns, sum.data() + t * kTileColumns,
                                gaps.data() + t * kTileColumns});
  }
  void join() {
    join_columns(JoinColumns<T>{tiles, columns, max.data(), sum.data(), largest.data(), total.data()});
  }
};

template <class T>
void check(int64_t classes, int64_t tile, int64_t columns, bool bias, bool stream) {
  Columns<T> c(classes, tile, columns, bias);
  const Columns<T> before = c;
  alignas(64) static T apart[256 * kTileColumns];
  T* e = stream ? apart : c.x.data();
  c.visit(e, stream);
  const std::vector<T> maxima = c.max;
  c.join();
  std::vector<T> scale(kTileColumns), shift(kTileColumns, T(0.25));
  for (int64_t j = 0; j < columns; ++j)
    scale[static_cast<size_t>(j)] = j % 3 == 1 ? T(0) : static_cast<T>(2 / c.total[static_cast<size_t>(j)]);
  for (int64_t t = 0; t < c.tiles; ++t)
    scale_columns(ScaleColumns<T>{c.rows_of(t), columns, e + t * tile * kTileColumns,
                                  c.max.data() + t * kTileColumns, scale.data(), shift.data()});
  const double unit = std::numeric_limits<T>::epsilon();
  for (int64_t j = 0; j < columns; ++j) {
    const size_t at = static_cast<size_t>(j);
    long double largest = -kInf, total = 0;
    for (int64_t k = 0; k < classes; ++k) largest = std::max<long double>(largest, before.value(k, j));
    for (int64_t k = 0; k < classes; ++k) total += std::exp(before.value(k, j) - largest);
    ASSERT_EQ(c.largest[at], static_cast<T>(largest));
    ASSERT_NEAR(c.total[at], static_cast<double>(total), 20 * unit * static_cast<double>(total));
    for (int64_t t = 0; t < c.tiles; ++t) {
      const double max = maxima[static_cast<size_t>(t * kTileColumns + j)];
      double gaps = 0;
      for (int64_t k = t * tile; k < t * tile + c.rows_of(t); ++k) gaps += max - before.value(k, j);
      ASSERT_NEAR(c.gaps[static_cast<size_t>(t * kTileColumns + j)], gaps, 20 * unit * gaps);
    }
    for (int64_t k = 0; k < classes; ++k) {
      const double p = static_cast<double>(std::exp(before.value(k, j) - largest) / total);
      const double want = j % 3 == 1 ? 0 : 2 * p - 0.25;
      ASSERT_NEAR(e[k * kTileColumns + j], want, 30 * unit * (p + 0.25)) << "class " << k << ", column " << j;
    }
  }
}

TEST(SoftmaxColumns, AgreesWithLoops) {
  for_each_target([] {
    for (int64_t classes : {1, 2, 31, 33, 97, 200})
      for (int64_t columns : {16, 32, 48, 64})
        for (bool bias : {false, true}) {
          check<float>(classes, 96, columns, bias, columns == 32);
          check<double>(classes, 40, columns, bias, columns == 48);
        }
  });
}

// -inf has no share, even where a tile holds nothing else; NaN and +inf make the column NaN.
TEST(SoftmaxColumns, SpecialValues) {
  for_each_target([] {
    Columns<float> c(8, 4, 16, false);
    auto set = [&](int64_t k, int64_t j, double v) {
      c.x[static_cast<size_t>(k * kTileColumns + j)] = static_cast<float>(v);
    };
    for (int64_t k = 0; k < 8; ++k)
      set(k, 1, k < 4 ? -kInf : 0), set(k, 2, -kInf), set(k, 5, k == 3 ? 100 : -100);
    set(6, 3, std::nan("")), set(2, 4, kInf);
    c.visit(c.x.data(), false);
    c.join();
    EXPECT_EQ(c.total[1], 4);
    EXPECT_EQ(c.largest[1], 0);
    EXPECT_EQ(c.x[kTileColumns + 1], 0);
    EXPECT_TRUE(std::isnan(c.total[2]));
    EXPECT_TRUE(std::isnan(c.total[3]));
    EXPECT_TRUE(std::isnan(c.total[4]));
    EXPECT_EQ(c.total[5], 1);
    EXPECT_EQ(c.largest[5], 100);
  });
}

// A scale of 0 gives 0 whatever stood there, a scale of NaN gives NaN.
TEST(SoftmaxColumns, Scales) {
  for_each_target([] {
    std::vector<float> e(kTileColumns, std::nanf("")), ones(kTileColumns, 1), scale(kTileColumns, 0);
    scale[3] = std::nanf("");
    e[3] = 1;
    scale_columns(ScaleColumns<float>{1, 16, e.data(), ones.data(), scale.data(), ones.data()});
    for (size_t j = 0; j < 16; ++j) EXPECT_TRUE(j == 3 ? std::isnan(e[j]) : e[j] == 0) << j;
  });
}

TEST(SoftmaxColumns, RowSums) {
  for_each_target([] {
    const std::vector<double> tile = simd_test::uniform_values<double>(5 * kTileColumns, -1, 1);
    std::vector<double> sums(5, 2);
    add_row_sums(tile.data(), 5, 48, sums.data());
    for (size_t r = 0; r < 5; ++r) {
      double want = 2;
      for (size_t j = 0; j < 48; ++j) want += tile[r * kTileColumns + j];
      EXPECT_NEAR(sums[r], want, 1e-13);
    }
  });
}

}  // namespace
}  // namespace fovea::simd
