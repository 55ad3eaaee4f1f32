// Initialisers: how new parameters are filled. Values follow from the parameter's 64-bit seed and the
// position of the element alone (Philox4x32-10), so they are the same for any number of threads.
#pragma once

#include <cstdint>

#include "frontends/nn/module.h"

namespace fovea::nn::init {

/// What divides the variance: inputs of one output, outputs of one input, or the mean of both.
enum class Fan { in, out, average };

/// Inputs and outputs of one unit of a weight, as the initialisers count them.
struct Fans {
  int64_t in, out;
};
/// Fans of a weight [out, in, kernel...]: in * kernel and out * kernel elements. Rank 2 at least.
Fans fans_of(const Dims& shape);

/// All 0.
Initialiser zeros();
/// All 1.
Initialiser ones();
/// All `value`.
Initialiser constant(double value);
/// Always this array; its shape must be that of the parameter.
Initialiser values(Array array);
/// Normal distribution with mean and standard deviation.
Initialiser normal(double std = 1, double mean = 0);
/// Normal distribution, of which only values in (low, high) standard deviations around the mean are taken.
Initialiser truncated_normal(double std = 1, double mean = 0, double low = -2, double high = 2);
/// Even distribution over [-bound, bound), or over [low, high).
Initialiser uniform(double bound);
Initialiser uniform(double low, double high);

/// Glorot and Bengio 2010: variance 2 / (fan_in + fan_out), times gain^2.
Initialiser xavier_uniform(double gain = 1);
Initialiser xavier_normal(double gain = 1);
/// He et al. 2015: variance gain^2 / fan. gain sqrt 2 suits relu.
Initialiser kaiming_uniform(double gain = 1.4142135623730951, Fan fan = Fan::in);
Initialiser kaiming_normal(double gain = 1.4142135623730951, Fan fan = Fan::in);
/// Rows (or columns, whichever are fewer) of the weight seen as [out, rest] are orthonormal, times gain (Saxe
/// et al. 2014). Rank 2 at least.
Initialiser orthogonal(double gain = 1);

/// What PyTorch gives linear layers and convolutions: even over +-1 / sqrt(fan_in), for weights and biases
/// alike.
Initialiser fan_in_uniform(int64_t fan_in);

}  // namespace fovea::nn::init
