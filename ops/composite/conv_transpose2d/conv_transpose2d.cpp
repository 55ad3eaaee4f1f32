#include "ops/composite/conv_transpose2d/conv_transpose2d.h"

#include "ops/core/pad/pad.h"
#include "ops/core/reshape/reshape.h"
#include "ops/shared/gradients.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

std::string str(int64_t v) { return std::to_string(v); }

// The size of axis d (0: H, 1: W) of the result.
Dim full_size(const Windows& w, int d, const Dim& n, int64_t extra) {
  return (n - Dim(1)) * Dim(w.stride[d]) + Dim(w.reach(d) - w.low[d] - w.high[d] + extra);
}

void infer(InferContext& c) {
  for (size_t i = 0; i < 2; ++i)
    if (c.rank(i) != 4) c.fail(c.op.inputs()[i].name + " has rank " + str(c.rank(i)) + ", 4 is needed");
  c.same_dtype(0, 1);
  infer_windows(c);
  const Shape &x = c.shape(0), &weight = c.shape(1);
  const int64_t groups = c.attrs.integer("groups");
  if (groups < 1) c.fail("groups is " + str(groups) + ", it must be at least 1");
  if (x[1].is_const() && x[1].value() % groups != 0)
    c.fail(str(groups) + " groups do not divide " + x[1].str() + " input channels");
  c.same(x[1], weight[0], "x has {a} channels, weight " + to_string(weight) + " takes {b}");
  Ints extra = c.attrs.ints("output_padding");
  if (extra.size() == 1) extra.push_back(extra[0]);
  if (extra.size() != 2)
    c.fail("output_padding has " + std::to_string(extra.size()) + " numbers, 1 or 2 are needed");
  for (int d = 0; d < 2; ++d) {
    const int64_t most = std::max(c.attrs.ints("stride")[d], c.attrs.ints("dilation")[d]);
    if (extra[d] < 0 || extra[d] >= most)
      c.fail("output_padding is " + str(extra[d]) +
             ", it must be at least 0 and less than the larger of stride and dilation, " + str(most));
    if (!weight[2 + d].is_const() || weight[2 + d].value() < 1 || weight[2 + d].value() > INT32_MAX)
      c.fail("the kernel has the size " + weight[2 + d].str() +
             ", which must be a known number from 1 to below 2^31");
  }
  c.attrs.set("output_padding", extra);
  const Dim channels = weight[1] * Dim(groups);
  if (c.in.size() > 2) {
    c.same_dtype(0, 2);
    if (c.rank(2) != 1) c.fail("bias has rank " + str(c.rank(2)) + ", 1 is needed");
    c.same(c.shape(2)[0], channels, "bias has {a} elements for {b} output channels");
  }
  const Windows w = windows_of(c.attrs, weight[2].value(), weight[3].value());
  Shape out{x[0], channels};
  for (int d = 0; d < 2; ++d) {
    out.push_back(full_size(w, d, x[2 + d], extra[d]));
    if (out.back().is_const() && out.back().value() < 1)
      c.fail("size " + x[2 + d].str() + " along axis " + str(2 + d) + " with padding " + str(w.low[d]) +
             " + " + str(w.high[d]) + " would give size " + out.back().str());
  }
  c.output(c.dtype(0), out);
}

Tensors decompose(const OpArgs& a) {
  const Tensor &x = a.in[0], &weight = a.in[1];
  const Windows w = windows_of(a.attrs, weight.dim(2).value(), weight.dim(3).value());
  const Ints& extra = a.attrs.ints("output_padding");
  // The result is larger where less is cut off behind; beyond the end of all windows it holds zeros.
  Shape sizes, beyond{0, 0};
  Ints padding;
  for (int d = 0; d < 2; ++d) {
    const int64_t uncut = std::min(extra[d], w.high[d]);
    sizes.push_back(full_size(w, d, x.dim(2 + d), uncut));
    padding.insert(padding.end(), {w.low[d], w.high[d] - uncut});
    beyond.push_back(extra[d] - uncut);
  }
  Tensor y = apply1("conv2d_backward_input", {x, weight},
                    {{"stride", a.attrs.ints("stride")},
                     {"padding", padding},
                     {"dilation", a.attrs.ints("dilation")},
                     {"groups", a.attrs.integer("groups")},
                     {"sizes", sizes}});
  if (beyond[2] != Dim(0) || beyond[3] != Dim(0)) y = pad(y, Shape(4, Dim(0)), beyond);
  if (a.in.size() > 2) y = y + reshape(a.in[2], {a.in[2].dim(0), 1, 1});
  return {y};
}

}  // namespace

FOVEA_OP(conv_transpose2d) {
  declare_windows(op)
      .doc(
          "The adjoint of conv2d in its input, plus a bias: x [N, O, H, W], weight [O, C / groups, kh, kw], "
          "bias [C] (optional) give [N, C, H', W'] with H' = (H - 1) stride - low - high + dilation (kh - 1) "
          "+ 1 + output_padding.")
      .input("x", Types::floating)
      .input("weight", Types::floating)
      .optional_input("bias", Types::floating)
      .attr("groups", 1, "channels are cut into so many groups that do not mix")
      .attr("output_padding", Ints{0, 0}, "how much larger the result is: {h, w}, or one number for both")
      .infer(infer)
      .decompose(decompose)
      .sample({In{2, 3, 3, 4}, In{3, 2, 3, 3}, In{2}},
              {{"stride", Ints{2}}, {"padding", Ints{1}}, {"output_padding", Ints{1}}})
      .sample({In{1, 4, 3, 2}, In{4, 1, 2, 3}}, {{"groups", 2},
                                                 {"padding", Ints{0, 1, 1, 0}},
                                                 {"dilation", Ints{2, 1}},
                                                 {"output_padding", Ints{1, 0}}})
      .sample_error({In{1, 3, 4, 4}, In{4, 2, 3, 3}}, {}, "x has 3 channels, weight [4, 2, 3, 3] takes 4")
      .sample_error({In{1, 3, 4, 4}, In{3, 2, 3, 3}}, {{"groups", 2}},
                    "2 groups do not divide 3 input channels")
      .sample_error(
          {In{1, 3, 4, 4}, In{3, 2, 3, 3}}, {{"stride", Ints{2}}, {"output_padding", Ints{2}}},
          "output_padding is 2, it must be at least 0 and less than the larger of stride and dilation, 2")
      .sample_error({In{1, 3, 1, 4}, In{3, 2, 1, 3}}, {{"padding", Ints{1}}},
                    "size 1 along axis 2 with padding 1 + 1 would give size -1");
}

Tensor conv_transpose2d(const Arg& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o,
                        std::vector<int64_t> output_padding) {
  return apply1("conv_transpose2d", {to_tensor(x, DType::f32), weight, bias},
                {{"stride", o.stride},
                 {"padding", o.padding},
                 {"dilation", o.dilation},
                 {"groups", o.groups},
                 {"output_padding", std::move(output_padding)}},
                x.source);
}

}  // namespace fovea
