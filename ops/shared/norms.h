// What normalisation ops share: shapes of statistics and affine parameters.
#pragma once

#include "graph/build/tensor.h"
#include "graph/ir/op.h"
#include "ops/shared/gradients.h"

namespace fovea {

/// The last `count` axes of a tensor of `rank`: rank - count, ..., rank - 1.
Ints last_axes(int64_t rank, int64_t count);
/// Mean over `axes`, which stay with size 1.
Tensor mean_over(const Tensor& x, const Ints& axes);
/// x with `count` axes of size 1 behind: a value a row, made to broadcast over the row.
Tensor with_trailing_ones(const Tensor& x, int64_t count);
/// A [C] vector made to broadcast over axis 1 of a tensor of `rank`.
Tensor per_channel(const Tensor& v, int64_t rank);
/// All axes but 1.
Ints all_but_channels(int64_t rank);

/// Reads attribute "dims" (how many last axes form a row), checks it against operand 0 and checks eps.
int64_t infer_row_axes(InferContext& c);
/// Operand i must have the shape of the last `dims` axes of operand `like` and the same type. `name`: what
/// errors call it, where that is not the declared name.
void check_row_parameter(InferContext& c, size_t i, size_t like, int64_t dims, std::string name = {});
/// Operand i must hold one value of the row type for each row of operand `like`.
void check_row_values(InferContext& c, size_t i, size_t like, int64_t dims, std::string name = {});
/// Operand i must be [C] for operand 0 [N, C, ...].
void check_channel_parameter(InferContext& c, size_t i, DType dtype);
void check_eps(InferContext& c);

/// gamma, or ones where beta is given without it: operands go by their place.
Tensor gamma_or_ones(const Tensor& gamma, const Tensor& beta, Source source);
/// The gradients of a norm's operands (x, gamma, beta) for that of its first result: the node `op`, whose
/// operands are this gradient, x, `statistics` and gamma where there is one. Undefined ones where there is no
/// gradient.
Tensors norm_gradients(const GradArgs& a, const char* op, const Tensors& statistics, const Attrs& attrs);
/// The gradient of rows x (the last `dims` axes, in the row type) through their statistics, where these have
/// gradients: d mean / dx = 1 / n and d rstd / dx = -rstd^3 (x - mean) / n. `mean` is undefined where rows
/// are not centred. Undefined where neither has a gradient.
Tensor through_row_statistics(const Tensor& x, int64_t dims, const Tensor& mean, const Tensor& rstd,
                              const Tensor& dmean, const Tensor& drstd);

/// f32 for half types.
Tensor to_row_type(const Tensor& x);
/// a + b where either may be undefined.
Tensor add_defined(const Tensor& a, const Tensor& b);
/// Gradient, or zeros like `out` where there is none.
Tensor or_zeros(const Tensor& gradient, const Tensor& out);

}  // namespace fovea
