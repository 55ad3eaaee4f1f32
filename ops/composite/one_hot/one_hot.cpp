#include "ops/composite/one_hot/one_hot.h"

#include "graph/ir/op.h"
#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/iota/iota.h"
#include "ops/core/reshape/reshape.h"

namespace fovea {

FOVEA_OP(one_hot) {
  op.doc(
        "y[..., j] = 1 where j equals the index, 0 elsewhere, along a new last axis. Indices outside give "
        "zeros.")
      .input("indices", Types::integer)
      .required_attr("depth", Shape{}, "one size")
      .attr("dtype", DType::f32)
      .infer([](InferContext& c) {
        const Shape& depth = c.attrs.shape("depth");
        if (depth.size() != 1) c.fail("depth must be one size, got " + to_string(depth));
        Shape shape = c.shape(0);
        shape.push_back(depth[0]);
        c.output(c.attrs.dtype("dtype"), shape);
      })
      .decompose([](const OpArgs& a) {
        const Tensor place = iota(a.attrs.shape("depth"), 0, a.in[0].dtype());
        return Tensors{cast(equal(unsqueeze(a.in[0], -1), place), a.attrs.dtype("dtype"))};
      })
      .not_differentiable()
      .sample({ints({3}, 0, 4)}, {{"depth", Shape{4}}})
      .sample({ints({2, 3}, -1, 6, DType::i32)}, {{"depth", Shape{5}}, {"dtype", DType::boolean}})
      .sample_error({In{3}}, {{"depth", Shape{4}}}, "indices must be")
      .sample_error({ints({3}, 0, 4)}, {{"depth", Shape{}}}, "depth must be one size, got []");
}

Tensor one_hot(const Arg& indices, Dim depth, DType dtype) {
  return apply1("one_hot", {to_tensor(indices, DType::i64)},
                {{"depth", Shape{std::move(depth)}}, {"dtype", dtype}}, indices.source);
}

}  // namespace fovea
