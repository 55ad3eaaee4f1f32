#include "ops/composite/take_along_axis/take_along_axis.h"

#include "ops/composite/scatter_along_axis/scatter_along_axis.h"
#include "ops/core/full/full.h"
#include "ops/core/gather/gather.h"
#include "ops/core/reshape/reshape.h"
#include "ops/shared/blocks.h"
#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"
#include "ops/shared/lanes.h"

namespace fovea {

FOVEA_OP(take_along_axis) {
  op.doc("One element of x along an axis for each index; x and indices agree in all other axes.")
      .input("x")
      .input("indices", Types::index)
      .attr("axis", -1)
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        infer_along_axis(c, 0, 1, axis);
        c.output(c.dtype(0), c.shape(1));
      })
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &indices = a.in[1];
        const Tensor at = flat_positions(x.shape(), indices, a.attrs.integer("axis"));
        return Tensors{reshape(gather(reshape(x, {product(x.shape())}), at), indices.shape())};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{scatter_along_axis(zeros_like(a.in[0]), a.in[1], a.grad[0], a.attrs.integer("axis")),
                       Tensor()};
      })
      .sample({In{3, 5}, ints({3, 2}, 0, 5)})
      .sample({In{2, 4, 3}, ints({2, 6, 3}, 0, 4, DType::i32)}, {{"axis", 1}})
      .sample({In{4}, ints({3}, 0, 4)}, {{"axis", 0}})
      .sample_error({In{3, 5}, ints({2, 2}, 0, 5)}, {}, "axis 0 of the indices is 2, of x 3")
      .sample_error({In{3, 5}, ints({3}, 0, 5)}, {}, "indices have rank 1, x has 2");
}

FOVEA_KERNEL(cpu, take_along_axis, lanes) {
  kernel.strided().prepare([](const KernelRequest& r) {
    const int64_t axis = r.attrs.integer("axis"), n = r.in[0].shape[axis];
    const Lanes<3> lanes(axis, r.in[1].shape,
                         {r.in[0].strides, r.in[1].strides, contiguous_strides(r.out[0].shape)});
    const Blocks blocks(lanes.count(), 16384 / std::max<int64_t>(1, lanes.length));
    return dispatch_bytes(size_of(r.in[0].dtype), [&](auto unit) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(unit);
      return make_prepared([=, id_type = r.in[1].dtype](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          lanes.loop.each(begin, end, [&](const auto& at) {
            for (int64_t i = 0; i < lanes.length; ++i) {
              const int64_t position = at[1] + i * lanes.step[1],
                            index = index_at(id_type, args.in[1], position);
              check_index("take_along_axis", index, position, n);
              args.output<T>(0)[at[2] + i * lanes.step[2]] = args.input<T>(0)[at[0] + index * lanes.step[0]];
            }
          });
        });
      });
    });
  });
}

Tensor take_along_axis(const Arg& x, const Arg& indices, int64_t axis) {
  return apply1("take_along_axis", {to_tensor(x, DType::f32), to_tensor(indices, DType::i64)},
                {{"axis", axis}}, x.source);
}

}  // namespace fovea
