// Losses: values against formulas in plain double loops, and errors of labels.
#include "tests/unit/ops_nn_test_util.h"

namespace fovea {
namespace {

using namespace test;

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

}  // namespace
}  // namespace fovea
