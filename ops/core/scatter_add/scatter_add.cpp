#include "ops/core/scatter_add/scatter_add.h"

#include <cstring>

#include "graph/ir/op.h"
#include "ops/core/gather/gather.h"
#include "ops/shared/blocks.h"
#include "ops/shared/indexing.h"
#include "ops/shared/simd/gather.h"
#include "ops/shared/widen.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  const int64_t axis = c.axis("axis", c.rank(0));
  c.same_dtype(0, 2);
  Shape shape(c.shape(0).begin(), c.shape(0).begin() + axis);
  shape.insert(shape.end(), c.shape(1).begin(), c.shape(1).end());
  shape.insert(shape.end(), c.shape(0).begin() + axis + 1, c.shape(0).end());
  if (shape.size() != c.shape(2).size())
    c.fail("updates have shape " + to_string(c.shape(2)) + ", the indices ask for " + to_string(shape));
  for (size_t d = 0; d < shape.size(); ++d)
    c.same(c.shape(2)[d], shape[d],
           "axis " + std::to_string(d) + " of updates is {a}, the indices ask for {b}");
  c.output(c.in[0]);
}

// x as [outer, n, inner], updates as [outer, count, inner].
struct Sizes {
  explicit Sizes(const KernelRequest& r) : n(r.in[0].shape[r.attrs.integer("axis")]), count(r.in[1].size()) {
    const int64_t axis = r.attrs.integer("axis");
    for (int64_t d = 0; d < r.in[0].rank(); ++d)
      if (d != axis) (d < axis ? outer : inner) *= r.in[0].shape[d];
  }
  int64_t outer = 1, n, inner = 1, count;
};

}  // namespace

FOVEA_OP(scatter_add) {
  op.doc("The operand with updates added to its slices along one axis at the indices: the adjoint of gather.")
      .input("x", Types::numeric)
      .input("indices", Types::index)
      .input("updates", Types::numeric)
      .attr("axis", 0)
      .infer(infer)
      .gradient([](const GradArgs& a) {
        return Tensors{a.grad[0], Tensor(),
                       a.needs[2] ? gather(a.grad[0], a.in[1], a.attrs.integer("axis")) : Tensor()};
      })
      .sample({In{5, 3}, ints({4}, 0, 5), In{4, 3}})
      .sample({In{2, 4, 3}, ints({2, 2}, 0, 4, DType::i32), In{2, 2, 2, 3}}, {{"axis", 1}})
      .sample({In{4}, ints({}, 0, 4), In{}})
      .sample_error({In{5, 3}, ints({4}, 0, 5), In{4, 2}}, {},
                    "axis 1 of updates is 2, the indices ask for 3")
      .sample_error({In{5, 3}, ints({4}, 0, 5), In{3}}, {},
                    "updates have shape [3], the indices ask for [4, 3]");
}

FOVEA_KERNEL(reference, scatter_add, loops) {
  kernel.priority(0).prepare([](const KernelRequest& r) {
    const Sizes s(r);
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      const int64_t size = r.out[0].size();
      return make_prepared(
          [s, size, id_type = r.in[1].dtype](const KernelArgs& args) {
            // Sums are kept wide until the end.
            auto* sum = static_cast<Wide<T>*>(args.workspace);
            const T* x = args.input<T>(0);
            const T* updates = args.input<T>(2);
            for (int64_t i = 0; i < size; ++i) sum[i] = widen(x[i]);
            for (int64_t o = 0; o < s.outer; ++o)
              for (int64_t j = 0; j < s.count; ++j) {
                const int64_t at = index_at(id_type, args.in[1], j);
                check_index("scatter_add", at, j, s.n);
                for (int64_t i = 0; i < s.inner; ++i) {
                  Wide<T>& to = sum[(o * s.n + at) * s.inner + i];
                  to = wrapping_add(to, widen(*updates++));
                }
              }
            for (int64_t i = 0; i < size; ++i) args.output<T>(0)[i] = narrow<T>(sum[i]);
          },
          size * static_cast<int64_t>(sizeof(Wide<T>)));
    });
  });
}

FOVEA_KERNEL(cpu, scatter_add, columns) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const Sizes s(r);
    // One block owns a range of columns of one outer index and goes through all indices in order.
    const Blocks columns(s.inner, 64);
    const int64_t parts = s.outer * columns.count;
    const Blocks blocks(parts, s.outer * s.count * s.inner <= 16384 ? parts : 1);
    return make_prepared([=, dtype = r.in[0].dtype, bytes = r.out[0].nbytes(),
                          id_type = r.in[1].dtype](const KernelArgs& args) {
      if (args.in[0] != args.out[0] && bytes > 0) std::memcpy(args.out[0], args.in[0], bytes);
      const int64_t row = s.inner * size_of(dtype);
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          const int64_t o = b / columns.count, c = b % columns.count;
          const int64_t bad = simd::scatter_add_rows(
              dtype, args.input<char>(2) + o * s.count * row, args.in[1], id_type, s.count,
              args.output<char>(0) + o * s.n * row, s.n, s.inner, columns.begin(c), columns.end(c));
          if (bad >= 0) index_error("scatter_add", index_at(id_type, args.in[1], bad), bad, s.n);
        }
      });
    });
  });
}

Tensor scatter_add(const Arg& x, const Arg& indices, const Arg& updates, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  return apply1("scatter_add", {t, to_tensor(indices, DType::i64), to_tensor(updates, t.dtype())},
                {{"axis", axis}}, x.source);
}

}  // namespace fovea
