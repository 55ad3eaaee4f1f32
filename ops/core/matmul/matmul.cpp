#include "ops/core/matmul/matmul.h"

#include "graph/ir/op.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  c.same_dtype(0, 1);
  if (c.rank(0) < 2 || c.rank(1) < 2)
    c.fail("operands have ranks " + std::to_string(c.rank(0)) + " and " + std::to_string(c.rank(1)) +
           ", at least 2 is needed");
  const Shape &a = c.shape(0), &b = c.shape(1);
  const std::string ka = std::to_string(a.size() - 1), kb = std::to_string(b.size() - 2);
  c.same(a.back(), b[b.size() - 2], "inner dimensions differ: a[" + ka + "]={a}, b[" + kb + "]={b}");
  Shape shape = c.broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  c.output(c.dtype(0), shape);
}

// All leading axes in one.
Tensor rows_of(const Tensor& x) { return flatten(x, 0, x.rank() - 2); }

Tensors gradient(const GradArgs& g) {
  const Tensor &a = g.in[0], &b = g.in[1], &y = g.grad[0];
  Tensor da, db;
  // b's first: where b is a weight, that is the last to read a, whose memory the gradient of a can then have.
  if (g.needs[1]) {
    // A matrix that was shared by a whole batch: one product over all rows instead of one a batch and a sum.
    if (b.rank() == 2 && a.rank() > 2)
      db = matmul(transpose(rows_of(a), 0, 1), rows_of(y));
    else
      db = reduce_to(matmul(transpose(a, -1, -2), y), b);
  }
  if (g.needs[0]) da = reduce_to(matmul(y, transpose(b, -1, -2)), a);
  return {da, db};
}

}  // namespace

FOVEA_OP(matmul) {
  op.doc(
        "a [..., m, k] times b [..., k, n] gives [..., m, n]; leading axes broadcast. Half types accumulate "
        "in f32.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .infer(infer)
      .gradient(gradient)
      .sample({In{2, 3}, In{3, 4}})
      .sample({In{2, 3, 4}, In{4, 5}})
      .sample({In{2, 1, 3, 4}, In{3, 4, 2}})
      .sample({In{2, 0}, In{0, 3}})
      .sample_error({In{2, 3}, In{4, 5}}, {}, "inner dimensions differ: a[1]=3, b[0]=4")
      .sample_error({In{2, 3, 4}, In{3, 4, 5}}, {}, "do not broadcast: axis 0 is 2 against 3")
      .sample_error({In{3}, In{3, 4}}, {}, "operands have ranks 1 and 2, at least 2 is needed");
}

FOVEA_KERNEL(reference, matmul, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const OperandSpec &a = r.in[0], &b = r.in[1];
    const int64_t rank = r.out[0].rank();
    const int64_t m = r.out[0].shape[rank - 2], n = r.out[0].shape[rank - 1], k = a.shape.back();
    const Dims batch(r.out[0].shape.begin(), r.out[0].shape.end() - 2);
    const auto batch_strides = [&](const OperandSpec& x) {
      return broadcast_strides(
          {x.dtype, Dims(x.shape.begin(), x.shape.end() - 2), Dims(x.strides.begin(), x.strides.end() - 2)},
          batch);
    };
    const StridedLoop<2> loop(batch, {batch_strides(a), batch_strides(b)});
    const int64_t a_row = a.strides[a.rank() - 2], a_col = a.strides.back();
    const int64_t b_row = b.strides[b.rank() - 2], b_col = b.strides.back();
    return dispatch(a.dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=](const KernelArgs& args) {
        T* y = args.output<T>(0);
        loop.each([&](const auto& at) {
          for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
              const T* x = args.input<T>(0) + at[0] + i * a_row;
              const T* w = args.input<T>(1) + at[1] + j * b_col;
              Wide<T> sum = 0;
              for (int64_t l = 0; l < k; ++l)
                sum = wrapping_add(sum, wrapping_mul(widen(x[l * a_col]), widen(w[l * b_row])));
              *y++ = narrow<T>(sum);
            }
        });
      });
    });
  });
}

Tensor matmul(const Arg& a, const Arg& b) {
  auto [x, y] = promoted(a, b);
  if (x.rank() == 0 || y.rank() == 0)
    invalid("matmul: operands have ranks " + std::to_string(x.rank()) + " and " + std::to_string(y.rank()) +
            ", at least 1 is needed");
  const bool row = x.rank() == 1, column = y.rank() == 1;
  if (row) x = unsqueeze(Arg(x, a.source), 0);
  if (column) y = unsqueeze(Arg(y, a.source), 1);
  Tensor out = apply1("matmul", {x, y}, {}, a.source);
  if (column) out = squeeze(Arg(out, a.source), {-1});
  if (row) out = squeeze(Arg(out, a.source), {column ? -1 : -2});
  return out;
}

Tensor dot(const Arg& a, const Arg& b) { return matmul(a, b); }

Tensor outer(const Arg& a, const Arg& b) {
  auto [x, y] = promoted(a, b);
  if (x.rank() != 1 || y.rank() != 1)
    invalid("outer: operands have ranks " + std::to_string(x.rank()) + " and " + std::to_string(y.rank()) +
            ", 1 is needed");
  return matmul(Arg(unsqueeze(Arg(x, a.source), 1), a.source), Arg(unsqueeze(Arg(y, a.source), 0), a.source));
}

}  // namespace fovea
