#include "framework/backend/cpu/onednn/gemm.h"

#include <dnnl.h>

#include <Eigen/Core>
#include <string>

#include "framework/backend/cpu/onednn/one_thread.h"
#include "framework/backend/cpu/onednn/signals_held.h"
#include "framework/base/error.h"

namespace fovea::onednn {
namespace {

template <class T>
void scale(int64_t m, int64_t n, T beta, T* c, int64_t c_row) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * c_row + j] = beta == 0 ? T(0) : beta * c[i * c_row + j];
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, float alpha, GemmOperand<float> a, GemmOperand<float> b,
          float beta, float* c, int64_t c_row) {
  if (m == 0 || n == 0) return;
  if (k == 0 || alpha == 0) return scale(m, n, beta, c, c_row);
  const bool ta = a.col != 1, tb = b.col != 1;
  const OneThread one_thread;
  const SignalsHeld held;
  const dnnl_status_t status = dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a.data,
                                          ta ? a.col : a.row, b.data, tb ? b.col : b.row, beta, c, c_row);
  if (status == dnnl_success) return;
  fail(status == dnnl_out_of_memory ? ErrorKind::ResourceExhausted : ErrorKind::BackendFault,
       "oneDNN's matrix product of " + std::to_string(m) + " x " + std::to_string(k) + " by " +
           std::to_string(k) + " x " + std::to_string(n) + " failed with status " +
           std::to_string(static_cast<int>(status)));
}

void gemm(int64_t m, int64_t n, int64_t k, double alpha, GemmOperand<double> a, GemmOperand<double> b,
          double beta, double* c, int64_t c_row) {
  if (m == 0 || n == 0) return;
  scale(m, n, beta, c, c_row);
  if (k == 0 || alpha == 0) return;
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  const Eigen::Map<const Matrix, 0, Stride> am(a.data, m, k, Stride(a.row)), bm(b.data, k, n, Stride(b.row));
  Eigen::Map<Matrix, 0, Stride> cm(c, m, n, Stride(c_row));
  cm.noalias() += alpha * (am * bm);
}

}  // namespace fovea::onednn
