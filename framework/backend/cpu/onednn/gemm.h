// One small matrix product on the calling thread.
#pragma once

#include <cstdint>

namespace fovea::onednn {

/// A matrix in memory: element (i, j) is at data[i * row + j * col], and row or col is 1.
template <class T>
struct GemmOperand {
  const T* data;
  int64_t row, col;
};

/// C = alpha A B + beta C, C [m, n] with row stride c_row; C is not read where beta is 0. All sizes may be 0.
/// For double, col must be 1 in A and B.
void gemm(int64_t m, int64_t n, int64_t k, float alpha, GemmOperand<float> a, GemmOperand<float> b,
          float beta, float* c, int64_t c_row);
void gemm(int64_t m, int64_t n, int64_t k, double alpha, GemmOperand<double> a, GemmOperand<double> b,
          double beta, double* c, int64_t c_row);

}  // namespace fovea::onednn
