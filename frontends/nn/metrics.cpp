#include "frontends/nn/metrics.h"

#include <algorithm>
#include <cmath>

#include "framework/base/error.h"
#include "generated/ops.h"

namespace fovea::nn {
namespace {

// f32 scalar: how many of `flags` hold.
Tensor count_true(const Tensor& flags) { return sum(cast(flags, DType::f32)); }

Tensor counted(const Tensor& labels, int64_t ignore) { return not_equal(labels, ignore); }

Tensor elements(const Tensor& x) { return extent(x.shape(), DType::f32); }

Tensor cross_entropy_sum(const Tensor& logits, const Tensor& labels, int64_t ignore) {
  return cast(cross_entropy(logits, labels, {.ignore_index = ignore, .reduction = "sum"}), DType::f32);
}

// A floating label tensor beside a prediction that is computed in another type.
Tensor like(const Tensor& labels, const Tensor& prediction) {
  return labels.dtype() == prediction.dtype() ? labels : cast(labels, prediction.dtype());
}

}  // namespace

Measure::Measure(Measure (*make)()) : Measure(make()) {}

Loss::Loss(Tensor (*op)(const Arg&, const Tensor&, const CrossEntropyOptions&))
    : mean([op](const Tensor& p, const Tensor& t) { return op(p, t, {}); }),
      count(losses::cross_entropy().count) {}

namespace losses {

Loss cross_entropy() { return cross_entropy(CrossEntropyOptions{}); }

Loss cross_entropy(CrossEntropyOptions options) {
  options.reduction = "mean";
  const int64_t ignore = options.ignore_index;
  Loss loss([options](const Tensor& p, const Tensor& t) { return fovea::cross_entropy(p, t, options); });
  loss.count = [ignore](const Tensor&, const Tensor& t) { return count_true(counted(t, ignore)); };
  return loss;
}

Loss mse() {
  return Loss([](const Tensor& p, const Tensor& t) { return mse_loss(p, like(t, p)); });
}
Loss l1() {
  return Loss([](const Tensor& p, const Tensor& t) { return l1_loss(p, like(t, p)); });
}
Loss huber() {
  return Loss([](const Tensor& p, const Tensor& t) { return huber_loss(p, like(t, p)); });
}
Loss binary_cross_entropy() {
  return Loss(
      [](const Tensor& p, const Tensor& t) { return binary_cross_entropy_with_logits(p, like(t, p)); });
}

}  // namespace losses

namespace metrics {

Measure accuracy() { return accuracy(kIgnore); }

Measure accuracy(int64_t ignore) {
  return {"accuracy", [ignore](const Tensor& logits, const Tensor& labels) -> Sum {
            const Tensor counts = counted(labels, ignore);
            return {count_true(logical_and(equal(argmax(logits, -1), cast(labels, DType::i64)), counts)),
                    count_true(counts)};
          }};
}

Measure top_k(int64_t k, int64_t ignore) {
  if (k < 1) invalid("metrics::top_k: k is " + std::to_string(k) + ", less than 1");
  return {"top_" + std::to_string(k), [k, ignore](const Tensor& logits, const Tensor& labels) -> Sum {
            const Tensor counts = counted(labels, ignore);
            Shape column = labels.shape();
            column.emplace_back(1);
            const Tensor best = fovea::top_k(logits, k, -1).indices;
            const Tensor hit = any(equal(best, cast(labels, DType::i64).reshape(column)), {-1});
            return {count_true(logical_and(hit, counts)), count_true(counts)};
          }};
}

Measure perplexity() { return perplexity(kIgnore); }

Measure perplexity(int64_t ignore) {
  return {"perplexity",
          [ignore](const Tensor& logits, const Tensor& labels) -> Sum {
            return {cross_entropy_sum(logits, labels, ignore), count_true(counted(labels, ignore))};
          },
          /*exponential=*/true};
}

Measure mean_absolute_error() {
  return {"mean_absolute_error", [](const Tensor& p, const Tensor& t) -> Sum {
            return {l1_loss(p, like(t, p), "sum"), elements(p)};
          }};
}
Measure mean_squared_error() {
  return {"mean_squared_error", [](const Tensor& p, const Tensor& t) -> Sum {
            return {mse_loss(p, like(t, p), "sum"), elements(p)};
          }};
}

}  // namespace metrics

std::vector<Column> plain_columns(const std::vector<std::string>& metrics) {
  std::vector<Column> out{{.name = "loss"}};
  for (const std::string& name : metrics)
    out.push_back({.name = name, .value = static_cast<int>(out.size())});
  return out;
}

void Means::add(std::span<const double> results, double items) {
  auto at = [&](const Column& c, int i) {
    if (i < 0 || static_cast<size_t>(i) >= results.size())
      invalid("'" + c.name + "' is result " + std::to_string(i) + " of a step that returns " +
              std::to_string(results.size()));
    return results[static_cast<size_t>(i)];
  };
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& c = columns_[i];
    const double value = at(c, c.value), weight = c.weight < 0 ? items : at(c, c.weight);
    // A mean over nothing is NaN and says nothing.
    if (weight != 0) sums_[2 * i] += c.is_sum ? value : value * weight;
    sums_[2 * i + 1] += weight;
  }
}

std::vector<Metric> Means::values() const {
  std::vector<Metric> out;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const double mean = sums_[2 * i] / sums_[2 * i + 1];
    out.push_back({columns_[i].name, columns_[i].exponential ? std::exp(mean) : mean});
  }
  return out;
}

bool Means::empty() const {
  return std::all_of(sums_.begin(), sums_.end(), [](double x) { return x == 0; });
}

void Means::set_sums(std::vector<double> sums) {
  if (sums.size() != sums_.size())
    invalid("there are " + std::to_string(sums.size()) + " sums for " + std::to_string(columns_.size()) +
            " metrics");
  sums_ = std::move(sums);
}

}  // namespace fovea::nn
