// Matrix products: values against sums in double, layouts, broadcasting, shapes with symbols.
#include <cmath>

#include "framework/runtime/thread_pool.h"
#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

using namespace test;

Dims batch_of(const Array& a, const Array& b) {
  const size_t ra = a.shape().size() - 2, rb = b.shape().size() - 2, r = std::max(ra, rb);
  Dims out(r, 1);
  for (size_t i = 0; i < ra; ++i) out[r - ra + i] = std::max(out[r - ra + i], a.shape()[i]);
  for (size_t i = 0; i < rb; ++i) out[r - rb + i] = std::max(out[r - rb + i], b.shape()[i]);
  return out;
}

// Position in `x` of matrix `batch`, element (i, j).
int64_t place(const Array& x, const Dims& batch, int64_t i, int64_t j) {
  Dims index;
  const size_t own = x.shape().size() - 2;
  for (size_t d = 0; d < own; ++d) index.push_back(x.shape()[d] == 1 ? 0 : batch[batch.size() - own + d]);
  index.push_back(i);
  index.push_back(j);
  return flat(x.shape(), index);
}

void expect_product(const Array& a, const Array& b, const Array& got, double tolerance,
                    const std::string& what) {
  const int64_t m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  const Dims batch = batch_of(a, b);
  const Array fa = a.cast(DType::f64).copy(), fb = b.cast(DType::f64).copy();
  const double *pa = fa.data<double>(), *pb = fb.data<double>();
  Dims shape = batch;
  shape.insert(shape.end(), {m, n});
  std::vector<double> want;
  each_index(batch, [&](const Dims& index, int64_t) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double s = 0;
        for (int64_t l = 0; l < k; ++l) s += pa[place(a, index, i, l)] * pb[place(b, index, l, j)];
        want.push_back(s);
      }
  });
  expect_values(got, shape, want, tolerance, what);
}

TEST(Matmul, ValuesAndBroadcasting) {
  const std::pair<Dims, Dims> shapes[] = {
      {{3, 4}, {4, 5}},
      {{1, 1}, {1, 1}},
      {{17, 33}, {33, 9}},
      {{2, 3, 4}, {4, 5}},
      {{3, 4}, {6, 4, 5}},
      {{2, 1, 3, 4}, {5, 4, 2}},
      {{2, 3, 7, 4}, {2, 3, 4, 6}},
      {{4, 1, 70}, {70, 65}},
      {{2, 1, 2, 3}, {1, 3, 3, 2}},
  };
  for (const auto& [sa, sb] : shapes)
    for (DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32}) {
      const double range = is_floating(dtype) ? 1 : 9;
      const Array a = random_array(sa, 1, dtype, -range, range),
                  b = random_array(sb, 2, dtype, -range, range);
      const double tolerance = dtype == DType::f64   ? 1e-13
                               : dtype == DType::f32 ? 3e-6
                               : dtype == DType::i32 ? 0
                                                     : 1e-2;
      const std::string what = to_string(sa) + " x " + to_string(sb) + " " + std::string(to_string(dtype));
      for (const char* backend : {"cpu", "reference"})
        expect_product(a, b, run_op_on(backend, "matmul", {a, b})[0], tolerance, what + " on " + backend);
    }
}

TEST(Matmul, StridedOperands) {
  const Array a = random_array({5, 3, 4, 6}, 3), b = random_array({5, 3, 6, 4}, 4);
  const std::pair<Array, Array> views[] = {
      {a.transpose(2, 3), b.transpose(2, 3)},                 // both transposed
      {a.permute({0, 2, 1, 3}), a.permute({0, 2, 3, 1})},     // heads split off
      {a.slice(3, 0, 6, 2), b.slice(2, 0, 6, 2)},             // gaps
      {a.slice(0, 4, -6, -1), b.broadcast_to({5, 3, 6, 4})},  // backwards
      {a.slice(2, 0, 1).broadcast_to({5, 3, 2, 6}), b},       // repeated rows
  };
  for (const auto& [x, y] : views)
    for (const char* backend : {"cpu", "reference"})
      expect_product(x, y, run_op_on(backend, "matmul", {x, y})[0], 3e-6,
                     to_string(x.strides()) + " on " + backend);
}

TEST(Matmul, Vectors) {
  const Array m = Array::of<float>({1, 2, 3, 4, 5, 6}, {2, 3}), v = Array::of<float>({1, 0, -1}, {3}),
              w = Array::of<float>({1, 2}, {2});
  expect_values(matmul(m, v).array(), {2}, {-2, -2}, 0, "matrix by vector");
  expect_values(matmul(w, m).array(), {3}, {9, 12, 15}, 0, "vector by matrix");
  expect_values(dot(v, v).array(), {}, {2}, 0, "dot");
  expect_values(outer(w, v).array(), {2, 3}, {1, 0, -1, 2, 0, -2}, 0, "outer");
  const Array batch = Array::of<float>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {2, 2, 3});
  expect_values(matmul(batch, v).array(), {2, 2}, {-2, -2, -2, -2}, 0, "batch by vector");
  expect_values(matmul(w, batch).array(), {2, 3}, {9, 12, 15, 27, 30, 33}, 0, "vector by batch");
  EXPECT_EQ(matmul(Array::of<int32_t>({2}, {1}), Array::of<double>({0.5}, {1})).dtype(), DType::f64);
  expect_error([&] { matmul(Array::scalar(1.0f), m); }, "operands have ranks 0 and 2, at least 1 is needed");
}

TEST(Matmul, EmptyOperands) {
  for (const char* backend : {"cpu", "reference"}) {
    expect_values(run_op_on(backend, "matmul", {Array(DType::f32, {2, 0}), Array(DType::f32, {0, 3})})[0],
                  {2, 3}, {0, 0, 0, 0, 0, 0}, 0, "nothing to sum");
    EXPECT_EQ(run_op_on(backend, "matmul", {Array(DType::f32, {0, 2}), Array(DType::f32, {2, 3})})[0].shape(),
              (Dims{0, 3}));
    EXPECT_EQ(
        run_op_on(backend, "matmul", {Array(DType::f32, {0, 4, 2}), Array(DType::f32, {2, 3})})[0].shape(),
        (Dims{0, 4, 3}));
  }
}

TEST(Matmul, EqualBitsForAnyNumberOfThreads) {
  const Array a = random_array({8, 100, 64}, 5), w = random_array({96, 64}, 6), bias = random_array({96}, 7);
  const int before = num_threads();
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    results.push_back(linear(a, w, bias).array().to_vector<float>());
  }
  set_num_threads(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Matmul, SymbolicShapes) {
  const Dim b = Dim::symbol("B"), l = Dim::symbol("L");
  const TensorType q{DType::f32, {b, 4, l, 8}}, k{DType::f32, {b, 4, 8, l}}, w{DType::f32, {8, 3}},
      x{DType::f32, {b, l, 3}};
  EXPECT_EQ(infer("matmul", {q, k})[0], "f32[B, 4, L, L]");
  EXPECT_EQ(infer("matmul", {q, w})[0], "f32[B, 4, L, 3]");
  EXPECT_EQ(infer("linear", {x, w})[0], "f32[B, L, 8]");
  EXPECT_EQ(infer("einsum", {q, q}, {{"equation", "bhqd,bhkd->bhqk"}})[0], "f32[B, 4, L, L]");
  expect_error(
      [&] {
        infer("matmul", {q, TensorType{DType::f32, {l, 8, 2}}});
      },
      "do not broadcast: axis 1 is 4 against L");
  // Sizes that may or may not be equal are checked when the program runs.
  auto program = test::program_of("matmul", {{DType::f32, {2, b}}, {DType::f32, {l, 2}}}, {}, "cpu");
  EXPECT_EQ(program.run({Array::zeros(DType::f32, {2, 3}), Array::zeros(DType::f32, {3, 2})})[0].shape(),
            (Dims{2, 2}));
  expect_error(
      [&] {
        program.run({Array::zeros(DType::f32, {2, 3}), Array::zeros(DType::f32, {4, 2})});
      },
      "inner dimensions differ");
}

TEST(Linear, ValuesWithAndWithoutBias) {
  for (const Dims& shape : {Dims{5}, Dims{4, 5}, Dims{2, 3, 5}, Dims{0, 5}})
    for (DType dtype : {DType::f32, DType::f64}) {
      const Array x = random_array(shape, 8, dtype), w = random_array({7, 5}, 9, dtype),
                  bias = random_array({7}, 10, dtype);
      Dims to = shape;
      to.back() = 7;
      std::vector<double> with, without;
      each_index(to, [&](const Dims& index, int64_t) {
        double s = 0;
        Dims from = index;
        for (from.back() = 0; from.back() < 5; ++from.back())
          s += x.get_flat(flat(shape, from)) * w.at({index.back(), from.back()});
        without.push_back(s);
        with.push_back(s + bias.at({index.back()}));
      });
      const double tolerance = dtype == DType::f64 ? 1e-13 : 2e-6;
      for (const char* backend : {"cpu", "reference"}) {
        expect_values(run_op_on(backend, "linear", {x, w, bias})[0], to, with, tolerance,
                      std::string("bias ") + backend);
        expect_values(run_op_on(backend, "linear", {x, w})[0], to, without, tolerance,
                      std::string("no bias ") + backend);
      }
      expect_values(linear(x, Tensor(w.transpose(0, 1).copy().transpose(0, 1)), bias).array(), to, with,
                    tolerance, "strided weight");
    }
}

TEST(Einsum, AgreesWithSums) {
  const Array a = random_array({2, 3}, 11, DType::f64), b = random_array({3, 4}, 12, DType::f64),
              c = random_array({2, 4}, 13, DType::f64);
  double all = 0;
  std::vector<double> product(8, 0), row(2, 0), outer_sum(3 * 4, 0);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) {
        product[i * 4 + k] += a.at({i, j}) * b.at({j, k});
        row[i] += a.at({i, j}) * b.at({j, k}) * c.at({i, k});
        outer_sum[j * 4 + k] += a.at({i, j}) * c.at({i, k});
        all += a.at({i, j}) * b.at({j, k}) * c.at({i, k});
      }
  expect_values(einsum("ij,jk->ik", {a, b}).array(), {2, 4}, product, 1e-13, "product");
  expect_values(einsum("ij,jk", {a, b}).array(), {2, 4}, product, 1e-13, "implicit result");
  expect_values(einsum("ij,jk,ik->i", {a, b, c}).array(), {2}, row, 1e-13, "three operands");
  expect_values(einsum("ij, jk, ik ->", {a, b, c}).array(), {}, {all}, 1e-13, "everything");
  expect_values(einsum("ij,ik->jk", {a, c}).array(), {3, 4}, outer_sum, 1e-13, "transposed");
  std::vector<double> flipped, sums(3, 0), cross;
  for (int j = 0; j < 3; ++j)
    for (int i = 0; i < 2; ++i) flipped.push_back(a.at({i, j})), sums[j] += a.at({i, j});
  for (int j = 0; j < 3; ++j)
    for (int k = 0; k < 4; ++k)
      for (int i = 0; i < 2; ++i) cross.push_back(a.at({i, j}) * c.at({i, k}));
  expect_values(einsum("ij->ji", {a}).array(), {3, 2}, flipped, 0, "transpose");
  expect_values(einsum("ij->j", {a}).array(), {3}, sums, 1e-13, "sum");
  expect_values(einsum("ij,ik->jki", {a, c}).array(), {3, 4, 2}, cross, 1e-13, "no sum");
}

TEST(Einsum, EllipsisBroadcasts) {
  const Array a = random_array({2, 1, 3, 4}, 14, DType::f64), b = random_array({5, 4, 2}, 15, DType::f64);
  expect_product(a, b, einsum("...ij,...jk->...ik", {a, b}).array(), 1e-13, "batch");
  expect_product(a, b, einsum("...ij,...jk", {a, b}).array(), 1e-13, "implicit");
  expect_error([&] { einsum("ij,jk", {a, b}); }, "\"ij\" names 2 axes, the operand has 4");
  expect_error([&] { einsum("...ij", {a, b}); }, "1 terms for 2 operands");
  expect_error([&] { einsum("...i%->i", {a}); }, "'%' is not a letter");
}

}  // namespace
}  // namespace fovea
