#include "frontends/nn/generate.h"

#include <cmath>

#include "framework/base/error.h"
#include "frontends/nn/decoding/search.h"

namespace fovea::nn {
namespace {

void check(const GenerateOptions& o) {
  auto at_least_one = [](const char* what, int64_t value) {
    if (value < 1) invalid(std::string(what) + " is " + std::to_string(value) + ", less than 1");
  };
  at_least_one("beam", o.beam);
  at_least_one("n_best", o.n_best);
  if (o.sample && o.beam > 1)
    invalid("sampling and a beam of " + std::to_string(o.beam) + " exclude each other");
  if (!o.sample && o.n_best > o.beam)
    invalid("n_best is " + std::to_string(o.n_best) + ", more than the beam of " + std::to_string(o.beam) +
            ": widen the beam");
  if (!std::isfinite(o.length_penalty)) invalid("length_penalty is not finite");
  if (!(o.temperature > 0) || !std::isfinite(o.temperature))
    invalid("temperature is " + std::to_string(o.temperature) + ", it must be above 0");
  if (o.top_k < 0) invalid("top_k is " + std::to_string(o.top_k) + ", less than 0");
  if (!(o.top_p > 0 && o.top_p <= 1))
    invalid("top_p is " + std::to_string(o.top_p) + ", it must be above 0 and at most 1");
}

}  // namespace

double length_penalty(int64_t length, double alpha) {
  return std::pow((5.0 + static_cast<double>(length)) / 6.0, alpha);
}

std::vector<std::vector<Hypothesis>> generate(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                                              const GenerateOptions& options) {
  check(options);
  for (const GenerateRequest& r : requests)
    if (r.max_length < 1) invalid("max_length is " + std::to_string(r.max_length) + ", less than 1");
  if (requests.empty()) return {};
  return options.beam > 1 ? decoding::beam_search(decoder, requests, options)
                          : decoding::one_by_one(decoder, requests, options);
}

}  // namespace fovea::nn
