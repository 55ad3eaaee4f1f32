// Matrix products.
#include "frontends/import/onnx/convert.h"
#include "generated/ops.h"

namespace fovea::onnx {

FOVEA_ONNX(MatMul) { return {matmul(c.in(0), c.in(1))}; }

FOVEA_ONNX(Gemm) {
  const Tensor a = c.in(0), b = c.in(1), bias = c.optional(2);
  if (a.rank() != 2 || b.rank() != 2)
    c.invalid("A has rank " + std::to_string(a.rank()) + " and B rank " + std::to_string(b.rank()) +
              ", not 2");
  const double alpha = c.number("alpha", 1), beta = c.number("beta", 1);
  const bool trans_a = c.integer("transA", 0) != 0, trans_b = c.integer("transB", 0) != 0;
  if (!trans_a && trans_b && alpha == 1 && is_floating(a.dtype()) &&
      (!bias.defined() || (beta == 1 && bias.rank() == 1 && bias.dim(0) == b.dim(0))))
    return {linear(a, b, bias)};
  Tensor y = matmul(trans_a ? transpose(a, 0, 1) : a, trans_b ? transpose(b, 0, 1) : b);
  if (alpha != 1) y = y * alpha;
  if (!bias.defined() || beta == 0) return {y};
  return {y + (beta == 1 ? bias : bias * beta)};
}

FOVEA_ONNX(Einsum) {
  std::vector<Tensor> operands;
  for (size_t i = 0; i < c.inputs(); ++i) operands.push_back(c.in(i));
  std::string equation;
  for (char x : c.text("equation"))
    if (x != ' ') equation += x;
  return {einsum(equation, operands)};
}

}  // namespace fovea::onnx
