// The way back through y = activation(x + bias): the gradient of x, and its sums over the rows, which are the
// bias's, while the rows are in the cache.
#include <algorithm>

#include "graph/ir/op.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/norms.h"
#include "ops/shared/row_sums.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {
namespace {

const char* const kActivations[] = {"gelu", "gelu_tanh", "relu", "silu", "sigmoid", "tanh"};

void infer(InferContext& c) {
  const std::string& activation = c.attrs.text("activation");
  if (std::none_of(std::begin(kActivations), std::end(kActivations),
                   [&](const char* a) { return activation == a; }))
    c.fail("activation is \"" + activation + "\", not gelu, gelu_tanh, relu, silu, sigmoid or tanh");
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  if (c.rank(0) < 2) c.fail("x has rank " + std::to_string(c.rank(0)) + ", at least 2 is needed");
  c.output(c.in[0]);
  c.output(c.dtype(0), {c.shape(0).back()});
}

Tensors decompose(const OpArgs& a) {
  const std::string& activation = a.attrs.text("activation");
  const bool by_tanh = activation == "gelu_tanh";
  Attrs attrs;
  if (by_tanh) attrs.set("approximate", std::string("tanh"));
  const Tensor dx = apply1((by_tanh ? "gelu" : activation) + "_backward", {a.in[0], a.in[1]}, attrs);
  Ints rows = last_axes(dx.rank(), dx.rank());
  rows.pop_back();
  return {dx, sum(dx, rows)};
}

}  // namespace

FOVEA_OP(bias_activation_backward) {
  op.doc(
        "dx = activation'(x) g and dbias, the sum of dx over all axes but the last, in one pass: the "
        "gradients of activation(x + bias). As in the op activation_backward, relu, sigmoid and tanh take "
        "their result for x. The compiler makes this op where a bias is added before an activation.")
      .input("x", Types::floating)
      .input("g", Types::floating)
      .output("dx")
      .output("dbias")
      .required_attr("activation", "gelu", "gelu, gelu_tanh, relu, silu, sigmoid or tanh")
      .infer(infer)
      .decompose(decompose)
      .sample({In({4, 5}).range(-3, 3), In{4, 5}}, {{"activation", "gelu"}})
      .sample({In({2, 3, 4}).range(-3, 3), In{2, 3, 4}}, {{"activation", "gelu_tanh"}})
      .sample({In({3, 4}).separate(), In{3, 4}}, {{"activation", "relu"}})
      .sample({In{3, 4}, In{3, 4}}, {{"activation", "silu"}})
      .sample({In({3, 4}).range(0.1, 0.9), In{3, 4}}, {{"activation", "sigmoid"}})
      .sample({In({3, 4}).range(-0.9, 0.9), In{3, 4}}, {{"activation", "tanh"}})
      .sample_error({In{4}, In{4}}, {{"activation", "relu"}}, "x has rank 1, at least 2 is needed")
      .sample_error({In{3, 4}, In{3, 5}}, {{"activation", "relu"}}, "axis 1 is 4 against 5")
      .sample_error({In{3, 4}, In{3, 4}}, {{"activation", "sine"}}, "activation is \"sine\"");
}

FOVEA_KERNEL(cpu, bias_activation_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).in_place(1).prepare([](const KernelRequest& r) {
    const DType dtype = r.in[0].dtype;
    const RowSizes size(r.in[0].shape, 1);
    const Blocks blocks = size.blocks(16384, 64);
    const RowSums sums(blocks, size.n, 1, dtype);
    const auto slope = simd::find_binary(r.attrs.text("activation") + "_backward", dtype);
    const auto add_up = simd::find_reduce_columns("sum", dtype);
    const int64_t bytes = size_of(dtype);
    return make_prepared(
        [=](const KernelArgs& args) {
          const auto n = static_cast<size_t>(size.n);
          for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
            const int64_t at = begin * size.n * bytes;
            char* dx = args.output<char>(0) + at;
            const auto rows = static_cast<size_t>(end - begin);
            slope(args.input<char>(0) + at, args.input<char>(1) + at, dx, rows * n, 0);
            add_up(dx, n, sums.of_block(args, block), rows, n);
          });
          sums.add_up(args, 0, args.out[1]);
        },
        sums.workspace_bytes());
  });
}

}  // namespace fovea
