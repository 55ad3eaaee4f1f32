#include "ops/core/gather/gather.h"

#include "graph/ir/op.h"
#include "ops/core/full/full.h"
#include "ops/core/scatter_add/scatter_add.h"
#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"
#include "ops/shared/simd/gather.h"

namespace fovea {

FOVEA_OP(gather) {
  op.doc("Slices along one axis at the indices; the axes of the indices stand in its place.")
      .input("x")
      .input("indices", Types::index)
      .attr("axis", 0)
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        Shape shape(c.shape(0).begin(), c.shape(0).begin() + axis);
        shape.insert(shape.end(), c.shape(1).begin(), c.shape(1).end());
        shape.insert(shape.end(), c.shape(0).begin() + axis + 1, c.shape(0).end());
        if (shape.size() > kMaxRank)
          c.fail("the result would have rank " + std::to_string(shape.size()) + ", the most is 8");
        c.output(c.dtype(0), shape);
      })
      .gradient([](const GradArgs& a) {
        return Tensors{scatter_add(zeros_like(a.in[0]), a.in[1], a.grad[0], a.attrs.integer("axis")),
                       Tensor()};
      })
      .sample({In{5, 3}, ints({4}, 0, 5)})
      .sample({In{2, 4, 3}, ints({2, 2}, 0, 4, DType::i32)}, {{"axis", 1}})
      .sample({In{4}, ints({}, 0, 4)}, {{"axis", -1}})
      .sample_error({In{5, 3}, In{4}}, {}, "indices must be")
      .sample_error({In{5, 3}, ints({4}, 0, 5)}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(reference, gather, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const OperandSpec &x = r.in[0], &ids = r.in[1];
    const int64_t axis = r.attrs.integer("axis"), n = x.shape[axis], step = x.strides[axis];
    const StridedLoop<1> outer(Dims(x.shape.begin(), x.shape.begin() + axis),
                               {Dims(x.strides.begin(), x.strides.begin() + axis)});
    const StridedLoop<1> inner(Dims(x.shape.begin() + axis + 1, x.shape.end()),
                               {Dims(x.strides.begin() + axis + 1, x.strides.end())});
    const StridedLoop<1> index(ids.shape, {ids.strides});
    return dispatch_bytes(size_of(x.dtype), [&](auto unit) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(unit);
      return make_prepared([=, id_type = ids.dtype](const KernelArgs& args) {
        const T* from = args.input<T>(0);
        T* y = args.output<T>(0);
        outer.each([&](const auto& o) {
          int64_t position = 0;
          index.each([&](const auto& j) {
            const int64_t at = index_at(id_type, args.in[1], j[0]);
            check_index("gather", at, position++, n);
            inner.each([&](const auto& i) { *y++ = from[o[0] + at * step + i[0]]; });
          });
        });
      });
    });
  });
}

FOVEA_KERNEL(cpu, gather, rows) {
  kernel.prepare([](const KernelRequest& r) {
    const OperandSpec &x = r.in[0], &ids = r.in[1];
    const int64_t axis = r.attrs.integer("axis"), n = x.shape[axis], count = ids.size();
    int64_t outer = 1, inner = 1;
    for (int64_t d = 0; d < x.rank(); ++d)
      if (d != axis) (d < axis ? outer : inner) *= x.shape[d];
    const int64_t row_bytes = inner * size_of(x.dtype);
    const Blocks blocks(count, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, row_bytes)));
    const Blocks all(outer * blocks.count, outer * count * row_bytes <= 65536 ? outer * blocks.count : 1,
                     1 << 20);
    return make_prepared([=, id_type = ids.dtype](const KernelArgs& args) -> void {
      for_blocks(args.pool, all, [&](int64_t, int64_t first, int64_t last) {
        for (int64_t b = first; b < last; ++b) {
          const int64_t o = b / blocks.count, begin = blocks.begin(b % blocks.count),
                        end = blocks.end(b % blocks.count);
          const char* index = args.input<char>(1) + begin * size_of(id_type);
          const int64_t bad =
              simd::gather_rows(args.input<char>(0) + o * n * row_bytes, n, row_bytes, index, id_type,
                                end - begin, args.output<char>(0) + (o * count + begin) * row_bytes);
          if (bad >= 0) index_error("gather", index_at(id_type, index, bad), begin + bad, n);
        }
      });
    });
  });
}

Tensor gather(const Arg& x, const Arg& indices, int64_t axis) {
  return apply1("gather", {to_tensor(x, DType::f32), to_tensor(indices, DType::i64)}, {{"axis", axis}},
                x.source);
}

}  // namespace fovea
