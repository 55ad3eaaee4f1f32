#include "ops/composite/max_pool2d/max_pool2d.h"

#include <limits>

#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/full/full.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/logical_not/logical_not.h"
#include "ops/core/logical_or/logical_or.h"
#include "ops/core/maximum/maximum.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

void infer_backward(InferContext& c) {
  c.same_dtype(0, 1);
  const TensorType y = infer_pooled(c, 0);
  if (c.rank(1) != 4) c.fail("g has rank " + std::to_string(c.rank(1)) + ", 4 is needed");
  for (int d = 0; d < 4; ++d)
    c.same(c.shape(1)[d], y.shape[d],
           "g has size {a} along axis " + std::to_string(d) + ", the pooled x has {b}");
  c.output(c.in[0]);
}

Tensor largest(const std::vector<Tensor>& taps) {
  Tensor y = taps[0];
  for (size_t t = 1; t < taps.size(); ++t) y = maximum(y, taps[t]);
  return y;
}

// Each window's gradient goes to its first element that is equal to the maximum (or the first NaN).
Tensors decompose_backward(const OpArgs& a) {
  const Tensor x = stop_gradient(a.in[0]), g = widen_half(a.in[1]);
  const Windows w = pooling_windows(a.attrs);
  const Tensors taps = window_taps(x, w, g.dim(2), g.dim(3), kLowest);
  const Tensor y = largest(taps);
  Tensors inside;
  if (w.padded() || w.ceil)
    inside = window_taps(full({1, 1, x.dim(2), x.dim(3)}, 1, DType::boolean), w, g.dim(2), g.dim(3), 0);
  const Tensor zero = full({}, 0, g.dtype());
  Tensor open;  // windows whose winner has not come yet
  Tensors pieces;
  for (size_t t = 0; t < taps.size(); ++t) {
    Tensor wins = logical_or(equal(taps[t], y), logical_not(equal(taps[t], taps[t])));
    if (!inside.empty()) wins = logical_and(wins, inside[t]);
    const Tensor first = open.defined() ? logical_and(wins, open) : wins;
    pieces.push_back(where(first, g, zero));
    open = open.defined() ? logical_and(open, logical_not(wins)) : logical_not(wins);
  }
  return {cast(scatter_taps(pieces, w, x.dim(2), x.dim(3)), a.in[0].dtype())};
}

OpDecl& declare(OpDecl& op) {
  return declare_pooling(op).attr("ceil_mode", false, "the number of windows is rounded up");
}

}  // namespace

FOVEA_OP(max_pool2d) {
  declare(op)
      .doc("The largest element of each window of x [N, C, H, W]; padding never wins, NaN wins over all.")
      .input("x", Types::floating)
      .infer([](InferContext& c) { c.output(infer_pooled(c, 0)); })
      .decompose([](const OpArgs& a) {
        const Windows w = pooling_windows(a.attrs);
        const Tensor& x = a.in[0];
        const Dim rows = w.count("max_pool2d", 0, x.dim(2)), columns = w.count("max_pool2d", 1, x.dim(3));
        return Tensors{largest(window_taps(x, w, rows, columns, kLowest))};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("max_pool2d_backward", {a.in[0], a.grad[0]}, a.attrs)};
      })
      .sample({In({2, 2, 4, 6}).separate()}, {{"kernel", Ints{2}}, {"stride", Ints{2}}})
      .sample({In({1, 2, 5, 4}).separate()},
              {{"kernel", Ints{3, 2}}, {"stride", Ints{2, 1}}, {"padding", Ints{1, 1, 0, 1}}})
      .sample({In({1, 1, 6, 6}).separate()},
              {{"kernel", Ints{2}}, {"dilation", Ints{2}}, {"stride", Ints{3}}, {"ceil_mode", true}})
      .sample_error({In{1, 2, 3, 9}}, {{"kernel", Ints{5}}},
                    "the window spans 5 elements of axis H, which has 3 and 0 + 0 of padding")
      .sample_error({In{1, 2, 3, 9}}, {{"kernel", Ints{0}}}, "kernel is 0, it must be at least 1")
      .sample_error({In{2, 3, 9}}, {{"kernel", Ints{2}}}, "x has rank 3, 4 is needed");
}

FOVEA_OP(max_pool2d_backward) {
  declare(op)
      .doc(
          "The gradient of max_pool2d from its input x and the gradient g of its result: each window's goes "
          "to the first of its largest elements.")
      .input("x", Types::floating)
      .input("g", Types::floating)
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In({2, 2, 4, 6}).separate(), In{2, 2, 2, 3}}, {{"kernel", Ints{2}}, {"stride", Ints{2}}})
      .sample({In({1, 2, 5, 4}).separate(), In{1, 2, 3, 4}},
              {{"kernel", Ints{3, 2}}, {"stride", Ints{2, 1}}, {"padding", Ints{1, 1, 0, 1}}})
      .sample_error({In{2, 2, 4, 6}, In{2, 2, 3, 3}}, {{"kernel", Ints{2}}, {"stride", Ints{2}}},
                    "g has size 3 along axis 2, the pooled x has 2");
}

Tensor max_pool2d(const Arg& x, std::vector<int64_t> kernel, const MaxPool2dOptions& o) {
  return apply1("max_pool2d", {to_tensor(x, DType::f32)},
                {{"kernel", kernel},
                 {"stride", o.stride.empty() ? kernel : o.stride},
                 {"padding", o.padding},
                 {"dilation", o.dilation},
                 {"ceil_mode", o.ceil_mode}},
                x.source);
}

}  // namespace fovea
