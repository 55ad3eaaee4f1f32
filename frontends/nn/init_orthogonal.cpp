#include <Eigen/QR>

#include "framework/base/error.h"
#include "frontends/nn/init.h"

namespace fovea::nn::init {

// Q of the QR decomposition of a normal matrix, with the signs of R's diagonal moved into Q, is evenly
// distributed over the orthogonal matrices (Mezzadri 2007).
Initialiser orthogonal(double gain) {
  return [gain](DType dtype, const Dims& shape, uint64_t seed) {
    if (shape.size() < 2)
      invalid("init::orthogonal needs a weight of rank 2 at least, got shape " + to_string(shape));
    const int64_t rows = shape[0], cols = product(Dims(shape.begin() + 1, shape.end()));
    const Array drawn = normal()(DType::f64, {std::max(rows, cols), std::min(rows, cols)}, seed);
    Array out(DType::f64, shape);
    if (out.size() == 0) return out.cast(dtype);
    using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Map<Matrix> tall(drawn.data<double>(), std::max(rows, cols), std::min(rows, cols));
    const Eigen::HouseholderQR<Matrix> qr(tall);
    Matrix q = qr.householderQ() * Matrix::Identity(tall.rows(), tall.cols());
    for (int64_t j = 0; j < q.cols(); ++j)
      if (qr.matrixQR()(j, j) < 0) q.col(j) = -q.col(j);
    Eigen::Map<Matrix> to(out.data<double>(), rows, cols);
    if (rows < cols)
      to = gain * q.transpose();
    else
      to = gain * q;
    return out.cast(dtype);
  };
}

}  // namespace fovea::nn::init
