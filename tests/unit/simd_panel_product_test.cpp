// Panel products against sums in double, for every instruction set that the machine has.
#include "ops/shared/simd/panel_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/simd_test_util.h"

namespace fovea::simd {
namespace {

using simd_test::for_each_target;

float number(int64_t i) { return static_cast<float>(i * 7919 % 201 - 100) / 64; }

void check(int64_t rows, int64_t columns, int64_t depth, bool add, bool fetch) {
  const int64_t a_row = depth + 3, c_row = columns + 5;
  std::vector<float> a(static_cast<size_t>(rows * a_row + 1)),
      panel(static_cast<size_t>(depth * kPanelColumns + 1)), c(static_cast<size_t>(rows * c_row)),
      next(panel.size());
  for (size_t i = 0; i < a.size(); ++i) a[i] = number(static_cast<int64_t>(i));
  for (size_t i = 0; i < panel.size(); ++i) panel[i] = number(static_cast<int64_t>(i) * 3 + 1);
  for (size_t i = 0; i < c.size(); ++i) c[i] = number(static_cast<int64_t>(i) * 5 + 2);
  const std::vector<float> before = c;
  PanelProduct p;
  p.rows = rows, p.columns = columns, p.depth = depth;
  p.a = a.data(), p.a_row = a_row, p.panel = panel.data(), p.c = c.data(), p.c_row = c_row;
  p.add = add;
  p.next = fetch ? next.data() : nullptr;
  panel_product(p);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < c_row; ++j) {
      const size_t at = static_cast<size_t>(r * c_row + j);
      if (j >= columns) {
        ASSERT_EQ(c[at], before[at]) << "outside, row " << r << ", column " << j;
        continue;
      }
      double sum = add ? before[at] : 0, size = std::abs(sum);
      for (int64_t k = 0; k < depth; ++k) {
        const double x = static_cast<double>(a[static_cast<size_t>(r * a_row + k)]) *
                         panel[static_cast<size_t>(k * kPanelColumns + j)];
        sum += x, size += std::abs(x);
      }
      ASSERT_NEAR(c[at], sum, size * 1e-6 + 1e-12) << rows << "x" << columns << "x" << depth << ", row " << r;
    }
}

TEST(PanelProduct, AgreesWithDouble) {
  for_each_target([] {
    for (int64_t rows : {1, 2, 5, 6, 7, 8, 9, 17, 33})
      for (int64_t columns : {1, 7, 16, 47, 48})
        for (int64_t depth : {0, 1, 31, 32, 33, 100})
          for (bool add : {false, true}) check(rows, columns, depth, add, depth % 2 == 0);
  });
}

// A row's bits do not depend on how many rows are computed with it.
TEST(PanelProduct, RowsAreIndependent) {
  for_each_target([] {
    const int64_t depth = 77, rows = 19;
    std::vector<float> a(rows * depth), panel(depth * kPanelColumns), all(rows * kPanelColumns),
        one(kPanelColumns);
    for (size_t i = 0; i < a.size(); ++i) a[i] = number(static_cast<int64_t>(i)) / 3;
    for (size_t i = 0; i < panel.size(); ++i) panel[i] = number(static_cast<int64_t>(i)) / 7;
    PanelProduct p{rows,         kPanelColumns, depth,         a.data(), depth,
                   panel.data(), all.data(),    kPanelColumns, false,    nullptr};
    panel_product(p);
    for (int64_t r = 0; r < rows; ++r) {
      p.rows = 1, p.a = a.data() + r * depth, p.c = one.data();
      panel_product(p);
      for (int64_t j = 0; j < kPanelColumns; ++j)
        ASSERT_EQ(one[static_cast<size_t>(j)], all[static_cast<size_t>(r * kPanelColumns + j)]);
    }
  });
}

}  // namespace
}  // namespace fovea::simd
