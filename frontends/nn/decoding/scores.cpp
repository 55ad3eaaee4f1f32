#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "framework/base/error.h"
#include "frontends/nn/decoding/search.h"

namespace fovea::nn::decoding {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

[[noreturn]] void not_a_number() {
  invalid("the model's log-probabilities are NaN: its weights or inputs hold NaN or infinities");
}

}  // namespace

Scores::Scores(Array given, int64_t rows, std::span<const int32_t> suppress) : log_probs_(std::move(given)) {
  const Array& log_probs = log_probs_;
  if (log_probs.dtype() != DType::f32 || log_probs.rank() != 2 || log_probs.dim(0) != rows ||
      !log_probs.is_contiguous())
    invalid("a step of " + std::to_string(rows) + " rows must give f32 [" + std::to_string(rows) +
            ", vocab], it gave " + std::string(to_string(log_probs.dtype())) + to_string(log_probs.shape()));
  vocab_ = log_probs.dim(1);
  auto* data = log_probs.data<float>();
  data_ = data;
  for (const int32_t token : suppress) {
    if (token < 0 || token >= vocab_)
      invalid("suppressed token " + std::to_string(token) + " is not in [0, " + std::to_string(vocab_) + ")");
    for (int64_t r = 0; r < rows; ++r) data[r * vocab_ + token] = kMinusInfinity;
  }
}

Choice best(std::span<const float> x) {
  size_t at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) not_a_number();
    if (x[i] > x[at]) at = i;
  }
  return {x[at], static_cast<int32_t>(at)};
}

void best(std::span<const float> x, int64_t count, std::vector<Choice>& out) {
  const auto better = [](const Choice& a, const Choice& b) {
    return a.log_prob != b.log_prob ? a.log_prob > b.log_prob : a.token < b.token;
  };
  const size_t first = out.size(), most = static_cast<size_t>(count);
  float bound = kMinusInfinity;  // what a further one must exceed
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > bound)) {
      if (std::isnan(x[i])) not_a_number();
      continue;
    }
    // A heap with the worst on top.
    if (out.size() - first == most) {
      std::pop_heap(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), better);
      out.pop_back();
    }
    out.push_back({x[i], static_cast<int32_t>(i)});
    std::push_heap(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), better);
    if (out.size() - first == most) bound = static_cast<float>(out[first].log_prob);
  }
  std::sort_heap(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), better);
}

Choice draw(std::span<const float> x, const GenerateOptions& o, double uniform) {
  std::vector<Choice> kept;
  best(x, o.top_k > 0 ? o.top_k : static_cast<int64_t>(x.size()), kept);
  if (kept.empty()) invalid("every token is suppressed or has probability 0");
  std::vector<double> weight(kept.size());
  double total = 0;
  for (size_t i = 0; i < kept.size(); ++i)
    total += weight[i] = std::exp((kept[i].log_prob - kept[0].log_prob) / o.temperature);
  // The smallest set of likeliest tokens whose share reaches top_p.
  double share = 0;
  size_t n = 0;
  while (n < kept.size() && (n == 0 || share < o.top_p * total)) share += weight[n++];
  double left = uniform * share;
  for (size_t i = 0; i + 1 < n; ++i) {
    if (left < weight[i]) return kept[i];
    left -= weight[i];
  }
  return kept[n - 1];
}

}  // namespace fovea::nn::decoding
