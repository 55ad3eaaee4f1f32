// Attention against plain loops in double precision, masks, and decoding step by step.
#include "frontends/nn/attention.h"

#include "nn_test_util.h"
#include "ops/core/full/full.h"

namespace fovea {
namespace {

using namespace nn;    // NOLINT
using namespace test;  // NOLINT

// y = x W^T + b of one row.
std::vector<double> project(const Linear& l, const Array& x, int64_t b, int64_t t) {
  std::vector<double> y(l.weight.shape()[0]);
  for (size_t o = 0; o < y.size(); ++o) {
    y[o] = l.bias.value().get_flat(static_cast<int64_t>(o));
    for (int64_t i = 0; i < x.dim(2); ++i)
      y[o] += l.weight.value().at({static_cast<int64_t>(o), i}) * x.at({b, t, i});
  }
  return y;
}

// Attention of every query of x to the keys of m that `allowed(b, i, j)`; weights[b][h][i][j] behind the
// output.
template <class Allowed>
std::pair<Array, Array> reference(const MultiHeadAttention& a, const Array& x, const Array& m,
                                  Allowed allowed) {
  const int64_t batch = x.dim(0), lq = x.dim(1), lk = m.dim(1), dim = x.dim(2), d = dim / a.heads();
  Array merged(DType::f64, {batch, lq, dim}), weights(DType::f64, {batch, a.heads(), lq, lk}),
      out(DType::f64, {batch, lq, dim});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < lq; ++i) {
      const auto q = project(a.q, x, b, i);
      for (int64_t h = 0; h < a.heads(); ++h) {
        std::vector<double> p(lk, 0);
        double total = 0;
        for (int64_t j = 0; j < lk; ++j) {
          if (!allowed(b, i, j)) continue;
          const auto k = project(a.k, m, b, j);
          double s = 0;
          for (int64_t e = 0; e < d; ++e) s += q[h * d + e] * k[h * d + e];
          total += p[j] = std::exp(s / std::sqrt(static_cast<double>(d)));
        }
        for (int64_t j = 0; j < lk; ++j) {
          weights.set_flat(((b * a.heads() + h) * lq + i) * lk + j, p[j] / total);
          const auto v = project(a.v, m, b, j);
          for (int64_t e = 0; e < d; ++e) {
            const int64_t at = (b * lq + i) * dim + h * d + e;
            merged.set_flat(at, (j == 0 ? 0 : merged.get_flat(at)) + p[j] / total * v[h * d + e]);
          }
        }
      }
      const auto y = project(a.out, merged, b, i);
      for (int64_t e = 0; e < dim; ++e) out.set_flat((b * lq + i) * dim + e, y[e]);
    }
  return {out, weights};
}

MultiHeadAttention make(int64_t dim = 6, int64_t heads = 2) {
  MultiHeadAttention a(dim, heads);
  a.initialise(3);
  return a;
}

TEST(Attention, SelfAttention) {
  const auto a = make();
  const Array x = normal({2, 4, 6}, 1);
  const auto [want, weights] = reference(a, x, x, [](int64_t, int64_t, int64_t) { return true; });
  expect_near(a(x).array(), want, 1e-5);
  expect_near(a.with_weights(x).weights.array(), weights, 1e-5);
}

TEST(Attention, CausalAndMaskTogether) {
  const auto a = make();
  const Array x = normal({2, 4, 6}, 1);
  const bool keep[2][4] = {{true, true, true, false}, {true, true, false, true}};
  Array mask(DType::boolean, {2, 1, 1, 4});
  for (int64_t i = 0; i < 8; ++i) mask.data<bool>()[i] = keep[i / 4][i % 4];
  const auto [want, weights] =
      reference(a, x, x, [&](int64_t b, int64_t i, int64_t j) { return j <= i && keep[b][j]; });
  const AttentionResult got = a.with_weights(x, {}, {.mask = mask, .causal = true, .offset = {}});
  expect_near(got.output.array(), want, 1e-5);
  expect_near(got.weights.array(), weights, 1e-5);
}

TEST(Attention, CrossAttentionWithSymbolicSizes) {
  const auto a = make();
  const Array x = normal({2, 3, 6}, 1), m = normal({2, 5, 6}, 2);
  const auto [want, weights] = reference(a, x, m, [](int64_t, int64_t, int64_t) { return true; });
  const auto got =
      run_traced([&](const std::vector<Tensor>& in) { return std::vector{a(in[0], in[1])}; },
                 {{DType::f32, {sym("B"), sym("T"), 6}}, {DType::f32, {sym("B"), sym("S"), 6}}}, {x, m});
  expect_near(got[0], want, 1e-5);
}

TEST(Attention, StepsOverACacheGiveTheCausalResult) {
  const auto a = make();
  const int64_t length = 5;
  const Array x = normal({2, length, 6}, 1);
  const Tensor full = a(x, {}, {.mask = {}, .causal = true, .offset = {}});
  KeyValue cache{zeros({2, 2, 7, 3}), zeros({2, 2, 7, 3})};
  // A prompt of two tokens first, then one at a time.
  expect_near(a.step(x.slice(1, 0, 2).contiguous(), cache, Array::scalar<int64_t>(0)).array(),
              full.array().slice(1, 0, 2), 1e-5);
  for (int64_t t = 2; t < length; ++t)
    expect_near(a.step(x.slice(1, t, t + 1).contiguous(), cache, Array::scalar<int64_t>(t)).array(),
                full.array().slice(1, t, t + 1), 1e-5);
  EXPECT_NE(error_of([&] {
              a.step(x.slice(1, 0, 1).contiguous(), cache, Array::scalar<int64_t>(7));
            }).find("position 7"),
            std::string::npos);
}

TEST(Attention, AdditiveByHand) {
  AdditiveAttention a(2, 3, 4);
  a.initialise(6);
  const Array query = normal({1, 2}, 1), memory = normal({1, 3, 3}, 2);
  const Tensor keys = a.wk(memory);
  Array mask(DType::boolean, {1, 3});
  for (int64_t i = 0; i < 3; ++i) mask.data<bool>()[i] = i != 1;
  const AttentionResult got = a(query, keys, memory, mask);
  double p[3] = {}, total = 0;
  const auto q = project(a.wq, query.reshape({1, 1, 2}), 0, 0);
  for (int64_t j : {0, 2}) {
    const auto k = project(a.wk, memory, 0, j);
    double s = 0;
    for (int64_t e = 0; e < 4; ++e) s += a.score.weight.value().get_flat(e) * std::tanh(q[e] + k[e]);
    total += p[j] = std::exp(s);
  }
  for (int64_t j = 0; j < 3; ++j) EXPECT_NEAR(got.weights.array().get_flat(j), p[j] / total, 1e-6);
  for (int64_t e = 0; e < 3; ++e)
    EXPECT_NEAR(got.output.array().get_flat(e),
                (p[0] * memory.at({0, 0, e}) + p[2] * memory.at({0, 2, e})) / total, 1e-6);
}

TEST(Attention, HeadsMustDivideTheWidth) {
  EXPECT_NE(error_of([] { MultiHeadAttention(6, 4); }).find("6 is not a multiple of the 4 heads"),
            std::string::npos);
  EXPECT_NE(error_of([] { make()(Array::zeros(DType::f32, {4, 6})); }).find("[4, 6]"), std::string::npos);
}

}  // namespace
}  // namespace fovea
