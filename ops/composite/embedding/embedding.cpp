#include "ops/composite/embedding/embedding.h"

#include <cstring>

#include "ops/composite/not_equal/not_equal.h"
#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/gather/gather.h"
#include "ops/core/scatter_add/scatter_add.h"
#include "ops/core/where/where.h"
#include "ops/shared/blocks.h"
#include "ops/shared/indexing.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/gather.h"

namespace fovea {
namespace {

// Rows at the padding index as zeros.
Tensor without_padding(const Tensor& rows, const Tensor& ids, int64_t padding) {
  return padding < 0 ? rows : where(with_trailing_ones(not_equal(ids, padding), 1), rows, 0.0);
}

Shape with_row(const Shape& ids, const Dim& width) {
  Shape shape = ids;
  shape.push_back(width);
  return shape;
}

void check_padding(const InferContext& c, const Dim& rows) {
  const int64_t padding = c.attrs.integer("padding_idx");
  if (padding < -1 || (rows.is_const() && padding >= rows.value()))
    c.fail("padding_idx " + std::to_string(padding) + " is neither -1 nor a row of " + rows.str());
}

}  // namespace

FOVEA_OP(embedding) {
  op.doc(
        "Rows of weight [V, D] at ids of any shape: [..., D]. The row padding_idx (-1: none) gets no "
        "gradient.")
      .input("weight", Types::floating)
      .input("ids", Types::index)
      .attr("padding_idx", -1)
      .infer([](InferContext& c) {
        if (c.rank(0) != 2) c.fail("weight must have rank 2, got " + std::to_string(c.rank(0)));
        check_padding(c, c.shape(0)[0]);
        c.output(c.dtype(0), with_row(c.shape(1), c.shape(0)[1]));
      })
      .decompose([](const OpArgs& a) { return Tensors{gather(a.in[0], a.in[1], 0)}; })
      .gradient([](const GradArgs& a) {
        return Tensors{
            apply1("embedding_backward", {a.grad[0], a.in[1]},
                   {{"rows", Shape{a.in[0].dim(0)}}, {"padding_idx", a.attrs.integer("padding_idx")}})};
      })
      .sample({In{5, 3}, ints({4}, 0, 5)})
      .sample({In{5, 3}, ints({2, 2}, 0, 5, DType::i32)})
      .sample_error({In{5}, ints({4}, 0, 5)}, {}, "weight must have rank 2, got 1")
      .sample_error({In{5, 3}, ints({4}, 0, 5)}, {{"padding_idx", 5}},
                    "padding_idx 5 is neither -1 nor a row of 5");
}

FOVEA_OP(embedding_backward) {
  op.doc(
        "The gradient of embedding by its weight: a [rows, D] table of zeros with the rows of g added at "
        "ids.")
      .input("g", Types::floating)
      .input("ids", Types::index)
      .required_attr("rows", Shape{1}, "one size: the rows of the table")
      .attr("padding_idx", -1)
      .infer([](InferContext& c) {
        if (c.attrs.shape("rows").size() != 1) c.fail("rows must be one size");
        const Dim rows = c.attrs.shape("rows")[0];
        check_padding(c, rows);
        if (c.rank(0) != c.rank(1) + 1)
          c.fail("g has rank " + std::to_string(c.rank(0)) + ", the ids ask for " +
                 std::to_string(c.rank(1) + 1));
        for (int64_t d = 0; d < c.rank(1); ++d)
          c.same(c.shape(0)[d], c.shape(1)[d], "axis " + std::to_string(d) + " of g is {a}, of ids {b}");
        c.output(c.dtype(0), {rows, c.shape(0).back()});
      })
      .decompose([](const OpArgs& a) {
        const Tensor g = to_row_type(a.in[0]);
        const Tensor rows = without_padding(g, a.in[1], a.attrs.integer("padding_idx"));
        const Tensor table = zeros({a.attrs.shape("rows")[0], g.dim(-1)}, g.dtype());
        return Tensors{cast(scatter_add(table, a.in[1], rows, 0), a.in[0].dtype())};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{
            without_padding(embedding(a.grad[0], a.in[1]), a.in[1], a.attrs.integer("padding_idx"))};
      })
      .sample({In{4, 3}, ints({4}, 0, 5)}, {{"rows", Shape{5}}})
      .sample({In{2, 2, 3}, ints({2, 2}, 0, 4, DType::i32)}, {{"rows", Shape{4}}, {"padding_idx", 1}})
      .sample_error({In{3, 3}, ints({4}, 0, 5)}, {{"rows", Shape{5}}}, "axis 0 of g is 3, of ids 4");
}

FOVEA_KERNEL(cpu, embedding, rows) {
  kernel.prepare([](const KernelRequest& r) {
    const int64_t rows = r.in[0].shape[0], row_bytes = r.in[0].shape[1] * size_of(r.in[0].dtype);
    const DType id_type = r.in[1].dtype;
    const Blocks blocks(r.in[1].size(), std::max<int64_t>(1, 65536 / std::max<int64_t>(1, row_bytes)));
    return make_prepared([=](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const char* ids = args.input<char>(1) + begin * size_of(id_type);
        const int64_t bad = simd::gather_rows(
            args.in[0], static_cast<size_t>(rows), static_cast<size_t>(row_bytes), ids, id_type,
            static_cast<size_t>(end - begin), args.output<char>(0) + begin * row_bytes);
        if (bad >= 0) index_error("embedding", index_at(id_type, ids, bad), begin + bad, rows);
      });
    });
  });
}

// Blocks are ranges of columns, so that each sum has one order of additions.
FOVEA_KERNEL(cpu, embedding_backward, columns) {
  kernel.when([](const KernelRequest& r) { return !is_half(r.in[0].dtype); }, "g is of a half type")
      .prepare([](const KernelRequest& r) {
        const DType dtype = r.in[0].dtype, id_type = r.in[1].dtype;
        const int64_t rows = r.out[0].shape[0], width = r.out[0].shape[1], count = r.in[1].size();
        const int64_t padding = r.attrs.integer("padding_idx"), row_bytes = width * size_of(dtype);
        const Blocks clear(r.out[0].nbytes(), 1 << 18, 64);
        const Blocks columns(width, std::max<int64_t>(64, 16384 / std::max<int64_t>(1, count)), 16);
        return make_prepared([=](const KernelArgs& args) {
          char* table = args.output<char>(0);
          for_blocks(args.pool, clear, [&](int64_t, int64_t begin, int64_t end) {
            std::memset(table + begin, 0, static_cast<size_t>(end - begin));
          });
          for_blocks(args.pool, columns, [&](int64_t, int64_t first, int64_t last) {
            const int64_t bad =
                simd::scatter_add_rows(dtype, args.in[0], args.in[1], id_type, static_cast<size_t>(count),
                                       table, static_cast<size_t>(rows), static_cast<size_t>(width),
                                       static_cast<size_t>(first), static_cast<size_t>(last));
            if (bad >= 0) index_error("embedding_backward", index_at(id_type, args.in[1], bad), bad, rows);
          });
          if (padding >= 0) std::memset(table + padding * row_bytes, 0, static_cast<size_t>(row_bytes));
        });
      });
}

Tensor embedding(const Arg& weight, const Tensor& ids, int64_t padding_idx) {
  return apply1("embedding", {to_tensor(weight, DType::f32), ids}, {{"padding_idx", padding_idx}},
                weight.source);
}

}  // namespace fovea
