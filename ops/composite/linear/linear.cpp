#include "ops/composite/linear/linear.h"

#include "graph/ir/op.h"
#include "ops/core/add/add.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sum/sum.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  if (c.rank(0) < 1) c.fail("x has rank 0, at least 1 is needed");
  if (c.rank(1) != 2) c.fail("weight has rank " + std::to_string(c.rank(1)) + ", 2 is needed: [out, in]");
  c.same_dtype(0, 1);
  c.same(c.shape(0).back(), c.shape(1)[1], "x has {a} features, weight [out, in] takes {b}");
  if (c.in.size() > 2) {
    c.same_dtype(0, 2);
    if (c.rank(2) != 1) c.fail("bias has rank " + std::to_string(c.rank(2)) + ", 1 is needed");
    c.same(c.shape(2)[0], c.shape(1)[0], "bias has {a} elements, weight [out, in] gives {b}");
  }
  Shape shape = c.shape(0);
  shape.back() = c.shape(1)[0];
  c.output(c.dtype(0), shape);
}

// All leading axes in one.
Tensor rows_of(const Tensor& x) {
  return x.rank() == 1 ? unsqueeze(x, 0) : x.rank() == 2 ? x : flatten(x, 0, x.rank() - 2);
}

Tensors gradient(const GradArgs& a) {
  const Tensor g = rows_of(a.grad[0]);
  Tensors out(a.in.size());
  // The weight's first: it is the last to read x, whose memory the gradient of x can then have.
  if (a.needs[1]) out[1] = matmul(transpose(g, 0, 1), rows_of(a.in[0]));
  if (a.needs[0]) out[0] = reshape(matmul(g, a.in[1]), a.in[0].shape());
  if (a.in.size() > 2 && a.needs[2]) out[2] = sum(g, {0});
  return out;
}

}  // namespace

FOVEA_OP(linear) {
  op.doc("y = x weight^T + bias: x [..., in], weight [out, in], bias [out] (optional) gives [..., out].")
      .input("x", Types::floating)
      .input("weight", Types::floating)
      .optional_input("bias", Types::floating)
      .infer(infer)
      .decompose([](const OpArgs& a) {
        const Tensor y = matmul(a.in[0], transpose(a.in[1], 0, 1));
        return Tensors{a.in.size() > 2 ? y + a.in[2] : y};
      })
      .gradient(gradient)
      .sample({In{2, 3}, In{4, 3}, In{4}})
      .sample({In{2, 3, 5}, In{4, 5}})
      .sample({In{3}, In{2, 3}, In{2}})
      .sample_error({In{2, 3}, In{4, 5}}, {}, "x has 3 features, weight [out, in] takes 5")
      .sample_error({In{2, 3}, In{4, 3}, In{3}}, {}, "bias has 3 elements, weight [out, in] gives 4")
      .sample_error({In{2, 3}, In{3}}, {}, "weight has rank 1, 2 is needed");
}

Tensor linear(const Arg& x, const Tensor& weight, const Tensor& bias) {
  return apply1("linear", {to_tensor(x, DType::f32), weight, bias}, {}, x.source);
}

}  // namespace fovea
