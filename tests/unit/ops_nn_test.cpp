// Norms, softmax, dropout, embedding and recurrent cells: values against formulas in plain double loops,
// equal bits for any number of threads, symbolic sizes.
#include "tests/unit/ops_nn_test_util.h"

namespace fovea {
namespace {

using namespace test;

TEST(Softmax, MatchesFormulaOnLastAxis) {
  for (DType t : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    const Tensor x = random_tensor({7, 37}, 1, t, -4, 4);
    const double tolerance = t == DType::f64 ? 1e-14 : t == DType::f32 ? 1e-6 : 8e-3;
    expect_near(softmax(x), by_rows(values(x), 37, softmax_row), tolerance);
    expect_near(log_softmax(x), by_rows(values(x), 37, log_softmax_row), tolerance);
    expect_near(logsumexp(x, {-1}),
                by_rows(values(x), 37, [](const Values& r) { return Values{log_sum_exp(r)}; }), tolerance);
  }
}

TEST(Softmax, OtherAxesAreTransposedRows) {
  const Tensor x = random_tensor({3, 5, 40}, 2);
  for (int64_t axis : {0, 1}) {
    const Tensor want = softmax(x.transpose(axis, 2), 2).transpose(axis, 2);
    expect_near(softmax(x, axis), values(want), 1e-14);
    expect_near(log_softmax(x, axis), values(log_softmax(x.transpose(axis, 2), 2).transpose(axis, 2)), 1e-14);
  }
}

TEST(Softmax, ManyLanesApartComeInTiles) {
  for (int64_t inner : {40, 64}) {
    const Tensor x = random_tensor({2, 3000, inner}, 3, DType::f32),
                 g = random_tensor({2, 3000, inner}, 4, DType::f32);
    const auto turned = [](const Tensor& t) { return t.transpose(1, 2); };
    EXPECT_EQ(values(softmax(x, 1)), values(turned(softmax(turned(x), 2))));
    EXPECT_EQ(values(apply1("softmax_backward", {x, g}, {{"axis", 1}})),
              values(turned(apply1("softmax_backward", {turned(x), turned(g)}, {{"axis", 2}}))));
  }
}

TEST(Softmax, LargeAndInfiniteInputs) {
  const double inf = INFINITY;
  expect_near(softmax(Array::of(Values{1000, 1000, -inf}, {3})), {0.5, 0.5, 0}, 1e-15);
  expect_near(softmax(Array::of(Values{-inf, -inf}, {2})), {NAN, NAN}, 0);
  expect_near(log_softmax(Array::of(Values{1e4, 0}, {2})), {0, -1e4}, 1e-15);
}

TEST(LayerNorm, MatchesFormula) {
  const Tensor gamma = random_tensor({50}, 5), beta = random_tensor({50}, 6);
  const Tensor x =
      random_tensor({4, 3, 50}, 4, DType::f64, 99, 101);  // far from 0: one-pass variance would fail
  Values want = by_rows(values(x), 50, [](const Values& r) { return normal_row(r, 1e-5, true); });
  expect_near(layer_norm(x), want, 1e-11);
  expect_near(layer_norm(x.cast(DType::f32)), want, 1e-4);
  for (size_t i = 0; i < want.size(); ++i) want[i] = want[i] * values(gamma)[i % 50] + values(beta)[i % 50];
  expect_near(layer_norm(x, gamma, beta), want, 1e-11);
  Values only_shift = by_rows(values(x), 50, [](const Values& r) { return normal_row(r, 1e-5, true); });
  for (size_t i = 0; i < want.size(); ++i) only_shift[i] += values(beta)[i % 50];
  expect_near(layer_norm(x, {}, beta), only_shift, 1e-11);
}

TEST(LayerNorm, HalfTypesKeepFloatStatistics) {
  const Tensor x = random_tensor({2, 64}, 4, DType::bf16, 2, 4);
  const auto out = apply("layer_norm", {x});
  EXPECT_EQ(out[0].dtype(), DType::bf16);
  EXPECT_EQ(out[1].dtype(), DType::f32);
  expect_near(out[0], by_rows(values(x), 64, [](const Values& r) { return normal_row(r, 1e-5, true); }),
              8e-3);
}

TEST(RmsNorm, MatchesFormula) {
  const Tensor x = random_tensor({5, 33}, 4), gamma = random_tensor({33}, 5);
  Values want = by_rows(values(x), 33, [](const Values& r) { return normal_row(r, 1e-6, false); });
  for (size_t i = 0; i < want.size(); ++i) want[i] *= values(gamma)[i % 33];
  expect_near(rms_norm(x, gamma), want, 1e-13);
}

TEST(GroupNorm, MatchesFormula) {
  const Tensor x = random_tensor({2, 6, 4}, 4), gamma = random_tensor({6}, 5), beta = random_tensor({6}, 6);
  Values want = by_rows(values(x), 12, [](const Values& r) { return normal_row(r, 1e-5, true); });
  for (size_t i = 0; i < want.size(); ++i)
    want[i] = want[i] * values(gamma)[i / 4 % 6] + values(beta)[i / 4 % 6];
  expect_near(group_norm(x, 2, gamma, beta), want, 1e-13);
  expect_near(instance_norm(x),
              by_rows(values(x), 4, [](const Values& r) { return normal_row(r, 1e-5, true); }), 1e-13);
}

TEST(BatchNorm, MatchesFormula) {
  for (const Dims& shape : {Dims{9, 5}, Dims{3, 5, 7}}) {
    const Tensor x = random_tensor(shape, 4), gamma = random_tensor({5}, 5), beta = random_tensor({5}, 6);
    const auto spatial = static_cast<size_t>(shape.size() == 3 ? 7 : 1),
               batch = static_cast<size_t>(shape[0]);
    const Values v = values(x);
    Values want(v.size()), means, vars;
    for (size_t c = 0; c < 5; ++c) {
      Values lane;
      for (size_t b = 0; b < batch; ++b)
        for (size_t s = 0; s < spatial; ++s) lane.push_back(v[(b * 5 + c) * spatial + s]);
      double mean = 0, var = 0;
      for (double e : lane) mean += e / static_cast<double>(lane.size());
      for (double e : lane) var += (e - mean) * (e - mean) / static_cast<double>(lane.size());
      means.push_back(mean);
      vars.push_back(var);
      const Values y = normal_row(lane, 1e-5, true);
      for (size_t b = 0; b < batch; ++b)
        for (size_t s = 0; s < spatial; ++s)
          want[(b * 5 + c) * spatial + s] = y[b * spatial + s] * values(gamma)[c] + values(beta)[c];
    }
    const BatchNorm out = batch_norm_train(x, gamma, beta);
    expect_near(out.y, want, 1e-12);
    expect_near(out.mean, means, 1e-13);
    expect_near(out.var, vars, 1e-13);
    expect_near(batch_norm_inference(x, out.mean, out.var, gamma, beta), want, 1e-12);
  }
}

TEST(Dropout, FusedAndUnfusedAgreeBitForBit) {
  const Tensor key = labels_of({11, 3});
  for (double p : {0.0, 0.1, 0.5, 0.9375}) {
    const Tensor x = random_tensor({1000}, 4, DType::f32);
    const Function fn = [&](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{dropout(in[0], in[1], p, 2)};
    };
    EXPECT_EQ(values(on("cpu", fn, {x, key})[0]), values(on("reference", fn, {x, key})[0])) << p;
  }
}

TEST(Dropout, KeepsTheRightShareAndScalesIt) {
  const Tensor y = dropout(ones({100000}), labels_of({5, 1}), 0.3, 0);
  int64_t kept = 0;
  for (double v : values(y)) {
    if (v == 0) continue;
    EXPECT_FLOAT_EQ(static_cast<float>(v), 1 / 0.7f);
    ++kept;
  }
  EXPECT_NEAR(static_cast<double>(kept), 70000, 800);  // 5.5 standard deviations
}

TEST(Dropout, GradientUsesTheSameMask) {
  const Tensor key = labels_of({5, 1}), x = random_tensor({500}, 4, DType::f32, 1, 2);
  const Function loss = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(dropout(in[0], key, 0.5))};
  };
  const auto out = compile(loss)({x});
  const Values g = values(compile(grad(loss))({x})[0]), v = values(x);
  double total = 0;
  for (size_t i = 0; i < g.size(); ++i) total += g[i] * v[i];
  EXPECT_NEAR(out[0].item(), total, 1e-2);
  EXPECT_NE(values(dropout(x, key, 0.5, 0)), values(dropout(x, key, 0.5, 1)));
}

TEST(Embedding, RowsAndErrors) {
  const Tensor w = random_tensor({6, 3}, 4);
  const Values v = values(embedding(w, labels_of({5, 0, 5})));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(v[i], values(w)[15 + i]);
    EXPECT_EQ(v[3 + i], values(w)[i]);
  }
  const std::string message = message_of([&] { embedding(w, labels_of({1, 2, 6})); });
  EXPECT_NE(message.find("index 6 at position 2 is out of range for axis of size 6"), std::string::npos)
      << message;
}

TEST(Embedding, GradientSumsRepeatedIds) {
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(embedding(in[0], labels_of({1, 1, 3, 0}), 3) * 2.0)};
  };
  expect_near(grad(f)({random_tensor({5, 2}, 1)})[0], {2, 2, 4, 4, 0, 0, 0, 0, 0, 0}, 0);
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// w [rows, cols] x + b
Values affine(const Tensor& w, const Values& x, const Tensor& b) {
  Values y = values(b);
  const Values m = values(w);
  for (size_t r = 0; r < y.size(); ++r)
    for (size_t c = 0; c < x.size(); ++c) y[r] += m[r * x.size() + c] * x[c];
  return y;
}

TEST(RecurrentCells, MatchFormulas) {
  const size_t d = 5, n = 19;
  const Tensor x = random_tensor({1, 5}, 1), h = random_tensor({1, 19}, 2), c = random_tensor({1, 19}, 3);
  for (int64_t parts : {3, 4}) {
    const Tensor wi = random_tensor({parts * 19, 5}, 4), wh = random_tensor({parts * 19, 19}, 5);
    const Tensor bi = random_tensor({parts * 19}, 6), bh = random_tensor({parts * 19}, 7);
    const Values a = affine(wi, values(x), bi), b = affine(wh, values(h), bh);
    ASSERT_EQ(values(x).size(), d);
    Values next_h, next_c;
    for (size_t i = 0; i < n; ++i) {
      if (parts == 3) {
        const double r = logistic(a[i] + b[i]), z = logistic(a[n + i] + b[n + i]);
        next_h.push_back((1 - z) * std::tanh(a[2 * n + i] + r * b[2 * n + i]) + z * values(h)[i]);
      } else {
        const double keep = logistic(a[n + i] + b[n + i]), in = logistic(a[i] + b[i]);
        next_c.push_back(keep * values(c)[i] + in * std::tanh(a[2 * n + i] + b[2 * n + i]));
        next_h.push_back(logistic(a[3 * n + i] + b[3 * n + i]) * std::tanh(next_c.back()));
      }
    }
    if (parts == 3) {
      expect_near(gru_cell(x, h, wi, wh, bi, bh), next_h, 1e-12);
      continue;
    }
    const LstmState out = lstm_cell(x, {h, c}, wi, wh, bi, bh);
    expect_near(out.h, next_h, 1e-12);
    expect_near(out.c, next_c, 1e-12);
  }
}

TEST(Threads, ResultsHaveEqualBits) {
  const Function fn = [](const std::vector<Tensor>& in) {
    const auto loss = [](const std::vector<Tensor>& p) {
      const Tensor y = layer_norm(p[0], p[1], p[2]);
      return std::vector<Tensor>{cross_entropy(y, p[3]) + sum(softmax(y) * y)};
    };
    return grad(loss, {0, 1, 2})(in);
  };
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 300; ++i) labels.push_back(i * 7 % 200);
  const std::vector<Tensor> in{random_tensor({300, 200}, 1, DType::f32), random_tensor({200}, 2, DType::f32),
                               random_tensor({200}, 3, DType::f32), labels_of(labels)};
  const int before = num_threads();
  std::vector<std::vector<Values>> results;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.emplace_back();
    for (const Tensor& t : compile(fn)(in)) results.back().push_back(values(t));
  }
  set_num_threads(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  const auto plain = on("reference", fn, in);
  for (size_t i = 0; i < plain.size(); ++i) expect_near(plain[i], results[0][i], 2e-5);
}

TEST(Symbols, NormsAndLossesTakeSymbolicShapes) {
  const auto module = trace(
      [](const std::vector<Tensor>& in) {
        const auto loss = [](const std::vector<Tensor>& p) {
          return std::vector<Tensor>{cross_entropy(layer_norm(p[0]), p[1], {.smoothing = 0.1})};
        };
        return value_and_grad(loss)(in);
      },
      {Spec(DType::f64, {sym("B"), sym("V")}), Spec(DType::i64, {sym("B")})});
  CompileOptions reference;
  reference.backend = "reference";
  Program fast(module, "main"), plain(module, "main", reference);
  for (int64_t batch : {2, 5}) {
    std::vector<int64_t> labels(static_cast<size_t>(batch), 1);
    const Array x = random_tensor({batch, 6}, 1).array(), y = labels_of(labels).array();
    const auto a = fast.run({x, y}), b = plain.run({x, y});
    for (size_t i = 0; i < a.size(); ++i) expect_near(a[i], values(b[i]), 1e-12);
  }
}

}  // namespace
}  // namespace fovea
