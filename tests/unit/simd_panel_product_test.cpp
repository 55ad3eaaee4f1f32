// Panel products against sums in double, for every instruction set that the machine has.
#include "ops/shared/simd/panel_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/simd_test_util.h"

namespace fovea::simd {
namespace {

using simd_test::for_each_target;

template <class T>
T number(int64_t i) {
  return static_cast<T>(i * 7919 % 201 - 100) / 64;
}

template <class T>
std::vector<T> numbers(int64_t count, int64_t step) {
  std::vector<T> x(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) x[static_cast<size_t>(i)] = number<T>(i * step + step / 2);
  return x;
}

struct Case {
  int64_t rows, columns, depth, panel_row = kPanelColumns;
  bool add = false, fetch = false;
  int64_t piece = 0;  // of A's rows, which then lie in pieces
};

template <class T>
void check(const Case& c) {
  const int64_t gap = c.piece > 0 ? 11 : 0, pieces = c.piece > 0 ? (c.depth + c.piece - 1) / c.piece : 1;
  const int64_t a_row = c.depth + 3 + pieces * gap, c_row = c.columns + 5;
  const std::vector<T> a = numbers<T>(c.rows * a_row + 1, 1),
                       panel = numbers<T>(c.depth * c.panel_row + 1, 3);
  const std::vector<T> next(panel.size() + 100), before = numbers<T>(c.rows * c_row, 5);
  std::vector<T> out = before;
  PanelProduct<T> p;
  p.rows = c.rows, p.columns = c.columns, p.depth = c.depth;
  p.a = a.data(), p.a_row = a_row, p.a_piece = c.piece, p.a_jump = gap;
  p.panel = panel.data(), p.panel_row = c.panel_row;
  p.c = out.data(), p.c_row = c_row;
  p.add = c.add;
  if (c.fetch) p.next = {next.data(), static_cast<int64_t>(next.size())}, p.next_too = {next.data(), 17};
  panel_product(p);
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-15;
  for (int64_t r = 0; r < c.rows; ++r)
    for (int64_t j = 0; j < c_row; ++j) {
      const size_t at = static_cast<size_t>(r * c_row + j);
      if (j >= c.columns) {
        ASSERT_EQ(out[at], before[at]) << "outside, row " << r << ", column " << j;
        continue;
      }
      double sum = c.add ? before[at] : 0, size = std::abs(sum);
      for (int64_t k = 0; k < c.depth; ++k) {
        const int64_t jumps = c.piece > 0 ? k / c.piece * gap : 0;
        const double x = static_cast<double>(a[static_cast<size_t>(r * a_row + k + jumps)]) *
                         static_cast<double>(panel[static_cast<size_t>(k * c.panel_row + j)]);
        sum += x, size += std::abs(x);
      }
      ASSERT_NEAR(out[at], sum, size * tolerance + 1e-12)
          << c.rows << "x" << c.columns << "x" << c.depth << ", row " << r << ", column " << j;
    }
}

TEST(PanelProduct, AgreesWithDouble) {
  for_each_target([] {
    for (int64_t rows : {1, 2, 5, 6, 7, 8, 9, 17, 33})
      for (int64_t columns : {1, 7, 16, 47, 48})
        for (int64_t depth : {0, 1, 31, 32, 33, 100})
          for (bool add : {false, true})
            check<float>(
                {.rows = rows, .columns = columns, .depth = depth, .add = add, .fetch = depth % 2 == 0});
  });
}

TEST(PanelProduct, WidePanels) {
  for_each_target([] {
    for (int64_t rows : {1, 5, 6, 7, 8, 13, 24})
      for (int64_t columns : {1, 16, 17, 32, 40, 48, 63, 64})
        for (int64_t depth : {1, 33, 70}) {
          const Case c{
              .rows = rows, .columns = columns, .depth = depth, .panel_row = 64, .add = rows % 2 == 0};
          check<float>(c);
          check<double>(c);
        }
  });
}

TEST(PanelProduct, RowsInPieces) {
  for_each_target([] {
    for (int64_t depth : {1, 15, 16, 17, 64, 65, 100})
      for (int64_t piece : {1, 16, 33}) {
        const Case c{
            .rows = 7, .columns = 20, .depth = depth, .panel_row = 64, .fetch = true, .piece = piece};
        check<float>(c);
        check<double>(c);
      }
  });
}

// A row's bits do not depend on how many rows are computed with it.
TEST(PanelProduct, RowsAreIndependent) {
  for_each_target([] {
    const int64_t depth = 77, rows = 19;
    const std::vector<float> a = numbers<float>(rows * depth, 3), panel = numbers<float>(depth * 64, 7);
    std::vector<float> all(rows * 64), one(64);
    for (int64_t columns : {48, 64}) {
      PanelProduct<float> p;
      p.rows = rows, p.columns = columns, p.depth = depth;
      p.a = a.data(), p.a_row = depth, p.panel = panel.data(), p.panel_row = 64;
      p.c = all.data(), p.c_row = 64;
      panel_product(p);
      for (int64_t r = 0; r < rows; ++r) {
        p.rows = 1, p.a = a.data() + r * depth, p.c = one.data();
        panel_product(p);
        for (int64_t j = 0; j < columns; ++j)
          ASSERT_EQ(one[static_cast<size_t>(j)], all[static_cast<size_t>(r * 64 + j)]);
      }
    }
  });
}

}  // namespace
}  // namespace fovea::simd
