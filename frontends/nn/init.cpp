#include "frontends/nn/init.h"

#include <algorithm>
#include <cmath>

#include "framework/base/error.h"
#include "ops/shared/simd/random.h"

namespace fovea::nn::init {
namespace {

using Draw = void (*)(const simd::RandomStream&, uint64_t, uint64_t, float*);

// scale * draw + shift for each element, of stream `ordinal` of the seed.
Array drawn(Draw draw, DType dtype, const Dims& shape, uint64_t seed, double scale, double shift) {
  if (!is_floating(dtype))
    invalid("random initialisers fill floating types, not " + std::string(to_string(dtype)));
  Array out(DType::f32, shape);
  float* p = out.data<float>();
  draw({seed, 0, 0}, 0, static_cast<uint64_t>(out.size()), p);
  for (int64_t i = 0; i < out.size(); ++i) p[i] = static_cast<float>(scale * p[i] + shift);
  return out.cast(dtype);
}

void check_finite(const char* what, double x) {
  if (!std::isfinite(x)) invalid(std::string("init: ") + what + " is " + std::to_string(x));
}

double fan_of(const Dims& shape, Fan fan) {
  const Fans f = fans_of(shape);
  const double n = fan == Fan::in    ? static_cast<double>(f.in)
                   : fan == Fan::out ? static_cast<double>(f.out)
                                     : 0.5 * static_cast<double>(f.in + f.out);
  return std::max(n, 1.0);  // an empty weight has nothing to fill
}

// Normal or even distribution with variance gain^2 / fan.
Initialiser scaled(bool is_normal, double gain, Fan fan) {
  check_finite("the gain", gain);
  return [=](DType dtype, const Dims& shape, uint64_t seed) {
    const double std = gain / std::sqrt(fan_of(shape, fan));
    return is_normal ? normal(std)(dtype, shape, seed) : uniform(std::sqrt(3.0) * std)(dtype, shape, seed);
  };
}

}  // namespace

Fans fans_of(const Dims& shape) {
  if (shape.size() < 2) invalid("fans need a weight of rank 2 at least, got shape " + to_string(shape));
  const int64_t kernel = product(Dims(shape.begin() + 2, shape.end()));
  return {product(Dims{shape[1], kernel}), product(Dims{shape[0], kernel})};
}

Initialiser zeros() { return constant(0); }
Initialiser ones() { return constant(1); }
Initialiser constant(double value) {
  return [value](DType dtype, const Dims& shape, uint64_t) { return Array::full(dtype, shape, value); };
}

Initialiser values(Array array) {
  return [array = std::move(array)](DType dtype, const Dims& shape, uint64_t) {
    if (array.shape() != shape)
      invalid("init::values: an array of shape " + to_string(array.shape()) + " for a parameter of shape " +
              to_string(shape));
    return array.dtype() == dtype ? array.copy() : array.cast(dtype);
  };
}

Initialiser normal(double std, double mean) {
  check_finite("the standard deviation", std);
  check_finite("the mean", mean);
  return [=](DType dtype, const Dims& shape, uint64_t seed) {
    return drawn(simd::random_normal, dtype, shape, seed, std, mean);
  };
}

Initialiser truncated_normal(double std, double mean, double low, double high) {
  check_finite("the standard deviation", std);
  check_finite("the mean", mean);
  // Where little of the distribution is left, drawing again would take long.
  const double kept = 0.5 * (std::erf(high / std::sqrt(2.0)) - std::erf(low / std::sqrt(2.0)));
  if (!(kept >= 0.01))
    invalid("init::truncated_normal: between " + std::to_string(low) + " and " + std::to_string(high) +
            " standard deviations lies less than 1% of the distribution");
  return [=](DType dtype, const Dims& shape, uint64_t seed) {
    Array out = drawn(simd::random_normal, DType::f32, shape, seed, 1, 0);
    float* p = out.data<float>();
    for (int64_t i = 0; i < out.size(); ++i) {
      for (uint64_t again = 1; !(p[i] > low && p[i] < high); ++again)
        simd::random_normal({seed, 0, again}, static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1, p + i);
      p[i] = static_cast<float>(std * p[i] + mean);
    }
    return out.cast(dtype);
  };
}

Initialiser uniform(double bound) { return uniform(-bound, bound); }
Initialiser uniform(double low, double high) {
  check_finite("the lower bound", low);
  check_finite("the upper bound", high);
  return [=](DType dtype, const Dims& shape, uint64_t seed) {
    return drawn(simd::random_uniform, dtype, shape, seed, high - low, low);
  };
}

Initialiser xavier_uniform(double gain) { return scaled(false, gain, Fan::average); }
Initialiser xavier_normal(double gain) { return scaled(true, gain, Fan::average); }
Initialiser kaiming_uniform(double gain, Fan fan) { return scaled(false, gain, fan); }
Initialiser kaiming_normal(double gain, Fan fan) { return scaled(true, gain, fan); }

Initialiser fan_in_uniform(int64_t fan_in) {
  return uniform(1 / std::sqrt(static_cast<double>(std::max<int64_t>(fan_in, 1))));
}

}  // namespace fovea::nn::init
