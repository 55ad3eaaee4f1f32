// What happens to a tile of a matrix product or convolution while it is still in the cache.
#pragma once

#include <cstdint>

namespace fovea::onednn {

/// Elementwise functions that ride on a matrix product or convolution.
enum class Activation : uint8_t {
  None,
  Relu,      ///< max(x, 0); NaN stays NaN
  GeluErf,   ///< x/2 (1 + erf(x / sqrt 2)); erf to 1.5e-7 absolute (Abramowitz and Stegun, formula 7.1.26)
  GeluTanh,  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
};

/// c[r][j] = activation(c[r][j] + bias[j]) + residual[r][j], for a tile of rows x cols; null operands are
/// left out.
template <class T>
struct Epilogue {
  const T* bias = nullptr;
  const T* residual = nullptr;
  int64_t residual_row = 0;
  Activation activation = Activation::None;

  bool empty() const { return bias == nullptr && residual == nullptr && activation == Activation::None; }
};

void apply_epilogue(const Epilogue<float>& e, float* c, int64_t c_row, int64_t rows, int64_t cols);
void apply_epilogue(const Epilogue<double>& e, double* c, int64_t c_row, int64_t rows, int64_t cols);

/// y[i] = activation(y[i] + bias + residual[i]) for i in [0, n), residual may be null: one channel of a
/// convolution.
void apply_channel(Activation activation, float bias, const float* residual, float* y, int64_t n);

}  // namespace fovea::onednn
