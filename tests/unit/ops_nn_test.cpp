// Ops of neural networks: values against formulas in plain double loops, every sample against the reference
// backend and against numeric gradients of first and second order.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>

#include "frontends/cpp/fovea.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

using Values = std::vector<double>;

Values random_values(int64_t n, double low, double high, uint32_t seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<double> u(low, high);
  Values v(static_cast<size_t>(n));
  for (double& x : v) x = u(rng);
  return v;
}
Tensor random_tensor(Dims shape, uint32_t seed, DType dtype = DType::f64, double low = -1, double high = 1) {
  return Array::of(random_values(product(shape), low, high, seed), shape).cast(dtype);
}
Tensor labels_of(std::vector<int64_t> v) {
  const auto n = static_cast<int64_t>(v.size());
  return Array::of(v, {n});
}
Values values(const Tensor& t) { return t.array().to_vector<double>(); }

std::vector<Tensor> on(const std::string& backend, const Function& fn, const std::vector<Tensor>& in) {
  CompileOptions options;
  options.backend = backend;
  return compile(fn, options)(in);
}

void expect_near(const Tensor& got, const Values& want, double tolerance, const std::string& what = "") {
  const Values have = values(got);
  ASSERT_EQ(have.size(), want.size()) << what;
  for (size_t i = 0; i < have.size(); ++i) {
    if (std::isnan(want[i]))
      EXPECT_TRUE(std::isnan(have[i])) << what << " element " << i;
    else
      EXPECT_NEAR(have[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << " element " << i;
  }
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::InvalidArgument);
    return e.what();
  }
  return "no error";
}

// Rows of x [rows, n] through f, which maps one row to another.
Values by_rows(const Values& x, size_t n, const std::function<Values(const Values&)>& f) {
  Values out;
  for (size_t r = 0; r < x.size() / n; ++r) {
    const Values y =
        f(Values(x.begin() + static_cast<long>(r * n), x.begin() + static_cast<long>((r + 1) * n)));
    out.insert(out.end(), y.begin(), y.end());
  }
  return out;
}
double log_sum_exp(const Values& x) {
  double sum = 0;
  for (double v : x) sum += std::exp(v);
  return std::log(sum);
}
Values softmax_row(const Values& x) {
  Values y;
  for (double v : x) y.push_back(std::exp(v - log_sum_exp(x)));
  return y;
}
Values log_softmax_row(const Values& x) {
  Values y;
  for (double v : x) y.push_back(v - log_sum_exp(x));
  return y;
}
Values normal_row(const Values& x, double eps, bool centre) {
  double mean = 0, var = 0;
  if (centre)
    for (double v : x) mean += v / static_cast<double>(x.size());
  for (double v : x) var += (v - mean) * (v - mean) / static_cast<double>(x.size());
  Values y;
  for (double v : x) y.push_back((v - mean) / std::sqrt(var + eps));
  return y;
}

// ---- every sample of every op here

const char* const kOps[] = {"softmax",
                            "softmax_backward",
                            "log_softmax",
                            "log_softmax_backward",
                            "logsumexp",
                            "layer_norm",
                            "layer_norm_backward",
                            "rms_norm",
                            "rms_norm_backward",
                            "group_norm",
                            "batch_norm_train",
                            "batch_norm_train_backward",
                            "batch_norm_inference",
                            "dropout",
                            "embedding",
                            "embedding_backward",
                            "cross_entropy",
                            "cross_entropy_backward",
                            "binary_cross_entropy_with_logits",
                            "mse_loss",
                            "l1_loss",
                            "huber_loss",
                            "kl_div",
                            "nll_loss",
                            "sgd_update",
                            "adam_update",
                            "global_norm",
                            "ema_update",
                            "gru_cell",
                            "gru_gates",
                            "gru_gates_backward",
                            "lstm_cell",
                            "lstm_gates",
                            "lstm_gates_backward"};

// Floating operands in `dtype`, or in their own type where there is none.
std::vector<Tensor> sample_inputs(const Sample& sample, std::optional<DType> dtype, uint32_t seed) {
  std::vector<Tensor> in;
  for (const In& x : sample.in) {
    Values v = random_values(product(x.shape), x.low, x.high, seed++);
    if (!is_floating(x.type))
      for (double& e : v) e = std::floor(e);
    in.push_back(Array::of(v, x.shape).cast(is_floating(x.type) ? dtype.value_or(x.type) : x.type));
  }
  return in;
}

std::vector<int64_t> floating_inputs(const std::vector<Tensor>& in) {
  std::vector<int64_t> out;
  for (size_t i = 0; i < in.size(); ++i)
    if (is_floating(in[i].dtype())) out.push_back(static_cast<int64_t>(i));
  return out;
}

// sum of outputs times fixed weights: one number that depends on every element.
Tensor weighted_sum(const std::vector<Tensor>& out, double from) {
  Tensor total;
  for (const Tensor& y : out) {
    if (!is_floating(y.dtype())) continue;
    const Tensor n = cast(iota({product(y.shape())}), y.dtype()).reshape(y.shape());
    const Tensor part = cast(sum(y * sin(n * 1.7 + from)), DType::f64);
    total = total.defined() ? total + part : part;
    from += 0.9;
  }
  return total;
}

void check_gradient(const Function& fn, std::vector<Tensor> in, const std::vector<int64_t>& wrt,
                    const std::string& what) {
  const auto f = compile(fn);
  for (const char* backend : {"cpu", "reference"}) {
    const auto grads = on(backend, grad(fn, wrt), in);
    for (size_t k = 0; k < wrt.size(); ++k) {
      const Tensor x = in[static_cast<size_t>(wrt[k])];
      const Values g = values(grads[k]);
      for (int64_t i = 0; i < x.array().size(); ++i) {
        const double h = 1e-5, at = x.array().get_flat(i);
        double side[2];
        for (int s = 0; s < 2; ++s) {
          Array moved = x.array().copy();
          moved.set_flat(i, at + (s == 0 ? -h : h));
          auto args = in;
          args[static_cast<size_t>(wrt[k])] = moved;
          side[s] = f(args)[0].item();
        }
        const double numeric = (side[1] - side[0]) / (2 * h);
        EXPECT_NEAR(g[static_cast<size_t>(i)], numeric, 2e-6 * (1 + std::abs(numeric)))
            << what << " on " << backend << ", input " << wrt[k] << " element " << i;
      }
    }
  }
}

class SampleTest : public testing::TestWithParam<const char*> {};

TEST_P(SampleTest, AgreesWithReferenceBackend) {
  const OpDecl& op = find_op(GetParam());
  ASSERT_FALSE(op.samples().empty());
  for (DType dtype : {DType::f32, DType::f64})
    for (const Sample& sample : op.samples()) {
      const Function fn = [&](const std::vector<Tensor>& in) { return apply(op.name(), in, sample.attrs); };
      const auto in = sample_inputs(sample, dtype, 7);
      const auto fast = on("cpu", fn, in), plain = on("reference", fn, in);
      ASSERT_EQ(fast.size(), plain.size());
      for (size_t i = 0; i < fast.size(); ++i)
        expect_near(fast[i], values(plain[i]), dtype == DType::f32 ? 4e-6 : 1e-12, op.name());
    }
}

TEST_P(SampleTest, FirstAndSecondGradient) {
  const OpDecl& op = find_op(GetParam());
  for (const Sample& sample : op.samples()) {
    const auto in = sample_inputs(sample, DType::f64, 3);
    const auto wrt = floating_inputs(in);
    const Function first = [&](const std::vector<Tensor>& x) {
      return std::vector<Tensor>{weighted_sum(apply(op.name(), x, sample.attrs), 0.4)};
    };
    check_gradient(first, in, wrt, op.name());
    const Function second = [&](const std::vector<Tensor>& x) {
      return std::vector<Tensor>{weighted_sum(grad(first, wrt)(x), 1.1)};
    };
    check_gradient(second, in, wrt, "gradient of " + op.name());
  }
}

TEST_P(SampleTest, ErrorsSayWhatIsWrong) {
  const OpDecl& op = find_op(GetParam());
  EXPECT_FALSE(op.error_samples().empty());
  for (const Sample& sample : op.error_samples()) {
    const std::string message =
        message_of([&] { apply(op.name(), sample_inputs(sample, std::nullopt, 1), sample.attrs); });
    EXPECT_NE(message.find(sample.error), std::string::npos) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, SampleTest, testing::ValuesIn(kOps),
                         [](const auto& p) { return std::string(p.param); });

// ---- rows

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

// ---- random and index ops

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

// ---- losses

TEST(CrossEntropy, MatchesFormula) {
  for (DType t : {DType::f32, DType::f64, DType::bf16}) {
    const Tensor x = random_tensor({4, 9}, 4, t, -3, 3);
    const std::vector<int64_t> labels{2, 8, -100, 0};
    for (double smoothing : {0.0, 0.1}) {
      Values rows;
      for (size_t r = 0; r < 4; ++r) {
        const Values all = values(x),
                     row(all.begin() + static_cast<long>(r * 9), all.begin() + static_cast<long>(r * 9 + 9));
        const double lse = log_sum_exp(row);
        double even = 0;
        for (double e : row) even += (lse - e) / 9;
        const double hit = labels[r] < 0 ? 0 : lse - row[static_cast<size_t>(labels[r])];
        rows.push_back(labels[r] < 0 ? 0 : (1 - smoothing) * hit + smoothing * even);
      }
      const double total = rows[0] + rows[1] + rows[3];
      const auto loss = [&](const char* reduction) {
        return cross_entropy(x, labels_of(labels), {.smoothing = smoothing, .reduction = reduction});
      };
      const double tolerance = t == DType::f64 ? 1e-13 : 1e-6;
      expect_near(loss("none"), rows, tolerance);
      expect_near(loss("sum"), {total}, tolerance);
      expect_near(loss("mean"), {total / 3}, tolerance);
    }
  }
}

TEST(CrossEntropy, BadLabelNamesPositionLabelAndClasses) {
  const Tensor x = random_tensor({3, 5}, 1, DType::f32);
  const std::string message = message_of([&] { cross_entropy(x, labels_of({1, 0, 5})); });
  EXPECT_NE(message.find("label 5 at position 2 is out of range for 5 classes"), std::string::npos)
      << message;
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{cross_entropy(in[0], in[1])};
  };
  const std::string plain = message_of([&] { on("reference", f, {x, labels_of({1, 0, 5})}); });
  EXPECT_NE(plain.find("index 5 at position 2"), std::string::npos) << plain;
}

TEST(CrossEntropy, NothingToCountIsNaN) {
  expect_near(cross_entropy(random_tensor({2, 3}, 1), labels_of({-100, -100})), {NAN}, 0);
}

TEST(Losses, MatchFormulas) {
  const Tensor x = random_tensor({40}, 1, DType::f64, -3, 3), t = random_tensor({40}, 2, DType::f64, 0, 1);
  const Values a = values(x), b = values(t);
  Values bce, mse, l1, huber, kl;
  for (size_t i = 0; i < a.size(); ++i) {
    const double s = 1 / (1 + std::exp(-a[i])), d = a[i] - b[i];
    bce.push_back(-b[i] * std::log(s) - (1 - b[i]) * std::log(1 - s));
    mse.push_back(d * d);
    l1.push_back(std::abs(d));
    huber.push_back(std::abs(d) <= 0.7 ? d * d / 2 : 0.7 * (std::abs(d) - 0.35));
    kl.push_back(b[i] * (std::log(b[i]) - a[i]));
  }
  expect_near(binary_cross_entropy_with_logits(x, t, "none"), bce, 1e-12);
  expect_near(mse_loss(x, t, "none"), mse, 1e-14);
  expect_near(l1_loss(x, t, "none"), l1, 1e-14);
  expect_near(huber_loss(x, t, 0.7, "none"), huber, 1e-14);
  expect_near(kl_div(x, t, "none"), kl, 1e-13);
  double total = 0;
  for (double v : mse) total += v;
  expect_near(mse_loss(x, t), {total / 40}, 1e-14);
  expect_near(kl_div(Array::of(Values{-1, -2}, {2}), Array::of(Values{0, 1}, {2}), "sum"), {2}, 1e-15);
}

// ---- updates

TEST(Adam, ThreeStepsOfTheFormula) {
  for (bool decoupled : {false, true}) {
    Values p = random_values(70, -1, 1, 1), m(70, 0.0), v(70, 0.0);
    Tensor tp = Array::of(p, {70}).cast(DType::f32), tm = zeros({70}), tv = zeros({70});
    for (int step = 1; step <= 3; ++step) {
      const Values g = random_values(70, -1, 1, static_cast<uint32_t>(step + 10));
      for (size_t i = 0; i < 70; ++i) {
        double grad = 0.5 * g[i];
        if (decoupled)
          p[i] -= 0.1 * 0.01 * p[i];
        else
          grad += 0.01 * p[i];
        m[i] = 0.9 * m[i] + 0.1 * grad;
        v[i] = 0.99 * v[i] + 0.01 * grad * grad;
        p[i] -= 0.1 / (1 - std::pow(0.9, step)) * m[i] /
                (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.99, step)) + 1e-6);
      }
      const AdamResult out = adam_update(
          tp, Array::of(g, {70}).cast(DType::f32), tm, tv, scalar(0.1), Array::scalar<int64_t>(step),
          {.beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.01, .decoupled = decoupled}, scalar(0.5));
      tp = out.param, tm = out.m, tv = out.v;
      expect_near(tp, p, 3e-6);
      expect_near(tm, m, 1e-6);
      expect_near(tv, v, 1e-6);
    }
  }
}

TEST(Sgd, ThreeStepsOfTheFormula) {
  for (bool nesterov : {false, true}) {
    const double dampening = nesterov ? 0 : 0.5;
    Values p = random_values(20, -1, 1, 1), u(20, 0.0);
    Tensor tp = Array::of(p, {20}).cast(DType::f32), tu = zeros({20});
    for (int step = 1; step <= 3; ++step) {
      const Values g = random_values(20, -1, 1, static_cast<uint32_t>(step + 10));
      for (size_t i = 0; i < 20; ++i) {
        const double grad = g[i] + 0.01 * p[i];
        u[i] = step == 1 ? grad : 0.9 * u[i] + (1 - dampening) * grad;
        p[i] -= 0.1 * (nesterov ? grad + 0.9 * u[i] : u[i]);
      }
      const SgdResult out =
          sgd_update(tp, Array::of(g, {20}).cast(DType::f32), scalar(0.1),
                     {.momentum = 0.9, .dampening = dampening, .weight_decay = 0.01, .nesterov = nesterov},
                     tu, scalar(step));
      tp = out.param, tu = out.velocity;
      expect_near(tp, p, 1e-6);
      expect_near(tu, u, 1e-6);
    }
  }
}

TEST(Adam, DonatedStateGivesEqualBits) {
  const int64_t n = 50000;
  const auto fn = [](const std::vector<Tensor>& in) {
    const AdamResult r = adam_update(in[0], in[1], in[2], in[3], in[4], in[5]);
    return std::vector<Tensor>{r.param, r.m, r.v};
  };
  const auto inputs = [&] {
    return std::vector<Tensor>{random_tensor({n}, 1, DType::f32),
                               random_tensor({n}, 2, DType::f32),
                               random_tensor({n}, 3, DType::f32),
                               random_tensor({n}, 4, DType::f32, 0, 1),
                               scalar(0.01),
                               scalar(2)};
  };
  const auto plain = compile(fn)(inputs());
  CompileOptions options;
  options.donate = {{0, 0}, {2, 1}, {3, 2}};
  const auto donated = compile(fn, options)(inputs());
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(values(plain[static_cast<size_t>(i)]), values(donated[static_cast<size_t>(i)]));
}

TEST(GlobalNorm, OverTensorsOfDifferentShapes) {
  const Tensor a = random_tensor({300, 500}, 1, DType::f32), b = random_tensor({7}, 2, DType::bf16);
  double total = 0;
  for (double v : values(a)) total += v * v;
  for (double v : values(b)) total += v * v;
  expect_near(global_norm({a, b}), {std::sqrt(total)}, 1e-7);
  expect_near(ema_update(ones({2}), zeros({2}), 0.75), {0.75, 0.75}, 0);
}

// ---- recurrent cells

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

// ---- equal bits for any number of threads

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

// ---- symbolic sizes: one graph for every shape

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
