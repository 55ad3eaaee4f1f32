#include "ops/core/prod/prod.h"

#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/equal/equal.h"
#include "ops/core/full/full.h"
#include "ops/core/iota/iota.h"
#include "ops/core/mul/mul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/where/where.h"
#include "ops/shared/reductions.h"

namespace fovea {
namespace {

// The product of all the others: prod_j (i == j ? 1 : x_j), which needs no division and so no care at zeros.
Tensor product_of_others(const Tensor& x, const Ints& axes) {
  const Ints kept = other_axes(x.rank(), axes);
  Ints order = kept;
  order.insert(order.end(), axes.begin(), axes.end());
  const Tensor moved = permute(x, order);
  Shape rows;
  for (int64_t a : kept) rows.push_back(x.dim(a));
  Dim n = 1;
  for (int64_t a : axes) n = n * x.dim(a);
  Shape flat = rows, square = rows;
  flat.insert(flat.end(), {Dim(1), n});
  square.insert(square.end(), {n, n});
  const Tensor self = equal(iota({n, n}, 0, DType::i64), iota({n, n}, 1, DType::i64));
  const Tensor one = scalar(1, x.dtype());
  const Tensor factors = where(self, one, broadcast_to(reshape(moved, flat), square));
  const Tensor others = reshape(prod(factors, {-1}), moved.shape());
  Ints back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[order[i]] = static_cast<int64_t>(i);
  return permute(others, back);
}

}  // namespace

FOVEA_OP(prod) {
  op.doc("Product over axes (all where the list is empty). Integers wrap around.")
      .input("x", Types::numeric)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer(infer_reduction)
      .gradient([](const GradArgs& a) {
        return Tensors{expand_reduced(a.grad[0], a.in[0], a.attrs) *
                       product_of_others(a.in[0], a.attrs.ints("axes"))};
      })
      .sample({In{2, 3}}, {{"axes", Ints{1}}})
      .sample({In{2, 3, 2}}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In{4}})
      .sample_error({In{2, 3}}, {{"axes", Ints{-3}}}, "axis -3 is out of range for rank 2");
}

FOVEA_KERNEL(reference, prod, loops) {
  reference_reduction(kernel, 1.0, [](auto acc, auto x) { return wrapping_mul(acc, x); });
}
FOVEA_KERNEL(cpu, prod, simd) { simd_reduction(kernel); }

Tensor prod(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("prod", {to_tensor(x, DType::f32)}, {{"axes", axes}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
