#include "ops/composite/scatter_along_axis/scatter_along_axis.h"

#include <cstring>

#include "ops/composite/take_along_axis/take_along_axis.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/scatter_add/scatter_add.h"
#include "ops/shared/blocks.h"
#include "ops/shared/indexing.h"
#include "ops/shared/lanes.h"

namespace fovea {

FOVEA_OP(scatter_along_axis) {
  op.doc("x with one update added along an axis for each index: the adjoint of take_along_axis.")
      .input("x", Types::numeric)
      .input("indices", Types::index)
      .input("updates", Types::numeric)
      .attr("axis", -1)
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        infer_along_axis(c, 0, 1, axis);
        c.same_shape(1, 2);
        c.same_dtype(0, 2);
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &indices = a.in[1];
        const Tensor at = flat_positions(x.shape(), indices, a.attrs.integer("axis"));
        const Tensor sum = scatter_add(reshape(x, {product(x.shape())}), at, reshape(a.in[2], at.shape()));
        return Tensors{reshape(sum, x.shape())};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{a.grad[0], Tensor(),
                       a.needs[2] ? take_along_axis(a.grad[0], a.in[1], a.attrs.integer("axis")) : Tensor()};
      })
      .sample({In{3, 5}, ints({3, 2}, 0, 5), In{3, 2}})
      .sample({In{2, 4, 3}, ints({2, 6, 3}, 0, 4, DType::i32), In{2, 6, 3}}, {{"axis", 1}})
      .sample_error({In{3, 5}, ints({3, 2}, 0, 5), In{3, 3}}, {},
                    "indices and updates differ in shape: axis 1 is 2 against 3")
      .sample_error({In{3, 5}, ints({2, 2}, 0, 5), In{2, 2}}, {}, "axis 0 of the indices is 2, of x 3");
}

FOVEA_KERNEL(cpu, scatter_along_axis, lanes) {
  kernel.when(
      [](const KernelRequest& r) { return r.in[0].dtype == DType::f32 || r.in[0].dtype == DType::f64; },
      "takes f32 and f64 only");
  // Lanes are independent, and each goes through its updates in order.
  kernel.strided(0b110).in_place(0).prepare([](const KernelRequest& r) {
    const int64_t axis = r.attrs.integer("axis"), n = r.in[0].shape[axis];
    const Lanes<3> lanes(axis, r.in[1].shape,
                         {contiguous_strides(r.out[0].shape), r.in[1].strides, r.in[2].strides});
    const Blocks blocks(lanes.count(), 16384 / std::max<int64_t>(1, lanes.length));
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=, bytes = r.out[0].nbytes(), id_type = r.in[1].dtype](const KernelArgs& args) {
        if constexpr (std::is_floating_point_v<T>) {
          T* y = args.output<T>(0);
          if (args.in[0] != args.out[0] && bytes > 0) std::memcpy(y, args.in[0], bytes);
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            lanes.loop.each(begin, end, [&](const auto& at) {
              for (int64_t i = 0; i < lanes.length; ++i) {
                const int64_t position = at[1] + i * lanes.step[1],
                              index = index_at(id_type, args.in[1], position);
                check_index("scatter_along_axis", index, position, n);
                y[at[0] + index * lanes.step[0]] += args.input<T>(2)[at[2] + i * lanes.step[2]];
              }
            });
          });
        }
      });
    });
  });
}

Tensor scatter_along_axis(const Arg& x, const Arg& indices, const Arg& updates, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  return apply1("scatter_along_axis", {t, to_tensor(indices, DType::i64), to_tensor(updates, t.dtype())},
                {{"axis", axis}}, x.source);
}

}  // namespace fovea
