// Losses and metrics: traceable functions of predictions and labels, and their means over batches.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "frontends/nn/report/progress.h"
#include "graph/build/tensor.h"
#include "ops/composite/cross_entropy/cross_entropy.h"

namespace fovea::nn {

/// What a batch adds to a mean: f32 scalars.
struct Sum {
  Tensor total, count;
};

/// A metric: the sum over the examples of a batch and their number, so that batches of any size average
/// rightly.
struct Measure {
  std::string name;
  std::function<Sum(const Tensor& prediction, const Tensor& labels)> sum;
  bool exponential = false;  ///< report exp(mean)

  Measure(std::string name, std::function<Sum(const Tensor&, const Tensor&)> sum, bool exponential = false)
      : name(std::move(name)), sum(std::move(sum)), exponential(exponential) {}
  Measure(Measure (*make)());  // NOLINT: {.metrics = {metrics::accuracy}}
};

/// What training makes small: the mean over a batch, a scalar.
struct Loss {
  std::function<Tensor(const Tensor& prediction, const Tensor& labels)> mean;
  /// How many items the mean is over, an f32 scalar: the weight of a batch in the mean over many. Without it,
  /// rows count.
  std::function<Tensor(const Tensor& prediction, const Tensor& labels)> count;

  Loss() = default;
  template <class F>
  requires std::is_invocable_r_v<Tensor, F, const Tensor&, const Tensor&> Loss(F mean)
      : mean(std::move(mean)) {}          // NOLINT: {.loss = [](auto& y, auto& t) { return ...; }}
  Loss(Loss (*make)()) : Loss(make()) {}  // NOLINT: {.loss = losses::cross_entropy}
  /// {.loss = cross_entropy}: the op itself.
  Loss(Tensor (*op)(const Arg&, const Tensor&, const CrossEntropyOptions&));  // NOLINT
};

namespace losses {
/// fovea::cross_entropy, mean over the labels that count. Weighted by their number.
Loss cross_entropy();
Loss cross_entropy(CrossEntropyOptions options);
/// Mean of (prediction - label)^2 over all elements.
Loss mse();
/// Mean of |prediction - label|.
Loss l1();
/// fovea::huber_loss with delta = 1.
Loss huber();
/// fovea::binary_cross_entropy_with_logits of logits against 0 or 1.
Loss binary_cross_entropy();
}  // namespace losses

namespace metrics {
inline constexpr int64_t kIgnore = -100;  ///< the label that does not count; as in cross_entropy

/// Share of labels [...] that are the argmax of logits [..., classes].
Measure accuracy();
Measure accuracy(int64_t ignore);
/// Share of labels that are among the k largest logits.
Measure top_k(int64_t k, int64_t ignore = kIgnore);
/// exp of the mean cross-entropy, without smoothing.
Measure perplexity();
Measure perplexity(int64_t ignore);
/// Mean of |prediction - label|, of (prediction - label)^2.
Measure mean_absolute_error();
Measure mean_squared_error();
}  // namespace metrics

/// Which of a step's results make one reported number.
struct Column {
  std::string name;
  int value = 0;    ///< index of the mean, or of the sum
  int weight = -1;  ///< index of what a mean is over, or a sum is divided by; -1: the batch's number of items
  bool is_sum = false;
  bool exponential = false;  ///< report exp of the mean
};
/// "loss" and these, each a mean over the batch's items: results 0, 1, 2, ...
std::vector<Column> plain_columns(const std::vector<std::string>& metrics);

/// Weighted means of a step's results over many batches.
class Means {
 public:
  explicit Means(std::vector<Column> columns) : columns_(std::move(columns)), sums_(2 * columns_.size()) {}

  /// InvalidArgument if there are fewer results than the columns speak of.
  void add(std::span<const double> results, double items);
  /// The means so far; NaN for one of no weight.
  std::vector<Metric> values() const;
  void reset() { sums_.assign(sums_.size(), 0.0); }
  bool empty() const;

  /// Total and weight of each column, to go on later.
  const std::vector<double>& sums() const { return sums_; }
  void set_sums(std::vector<double> sums);

 private:
  std::vector<Column> columns_;
  std::vector<double> sums_;
};

}  // namespace fovea::nn
