#include "ops/composite/residual_norm/residual_norm.h"

#include "framework/base/error.h"
#include "ops/composite/dropout/dropout.h"
#include "ops/composite/residual_norm/residual_norm_internal.h"
#include "ops/core/cast/cast.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/norms.h"
#include "ops/shared/random_scope.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

using residual::BackwardOperands;
using residual::Form;
using residual::Operands;

enum Result { kNormed, kSum, kRstd, kMean };

Form checked_form(InferContext& c) {
  const std::string& norm = c.attrs.text("norm");
  if (norm != "layer" && norm != "rms") c.fail("norm is \"" + norm + "\", not layer or rms");
  const Form form(c.attrs);
  if (!(form.p >= 0 && form.p <= 1)) c.fail("p " + std::to_string(form.p) + " is not between 0 and 1");
  if (c.attrs.integer("ordinal") < 0)
    c.fail("ordinal " + std::to_string(c.attrs.integer("ordinal")) + " is negative");
  return form;
}

void check_key(InferContext& c, int key) {
  if (key < 0) return;
  if (c.dtype(key) != DType::i64 || c.rank(key) != 1)
    c.fail("key must be i64[2], got " + to_string(c.in[key]));
  c.same(c.shape(key)[0], 2, "key must have 2 elements (key, step), got {a}");
}

Shape rows_of(const InferContext& c, int64_t dims) {
  return Shape(c.shape(0).begin(), c.shape(0).end() - dims);
}

void infer(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  check_eps(c);
  const Form form = checked_form(c);
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  const Operands at(form, c.in.size());
  if (!at.valid)
    c.fail("has " + std::to_string(c.in.size()) +
           " operands; it takes x, branch, gamma, beta with layer norm, and a key where p is above 0");
  if (at.gamma >= 0) check_row_parameter(c, at.gamma, 0, dims, "gamma");
  if (at.beta >= 0) check_row_parameter(c, at.beta, 0, dims, "beta");
  check_key(c, at.key);
  c.output(c.in[0]);
  if (!c.attrs.flag("sum")) return;
  c.output(c.in[0]);
  c.output(row_dtype(c.dtype(0)), rows_of(c, dims));
  if (form.centred) c.output(row_dtype(c.dtype(0)), rows_of(c, dims));
}

Tensor dropped(const Tensor& x, std::span<const Tensor> in, int key, const Attrs& attrs) {
  return key < 0 ? x : dropout(x, in[static_cast<size_t>(key)], attrs.number("p"), attrs.integer("ordinal"));
}

Tensors decompose(const OpArgs& a) {
  const Form form(a.attrs);
  const Operands at(form, a.in.size());
  const Tensor sum = a.in[0] + dropped(a.in[1], a.in, at.key, a.attrs);
  Tensors in{sum};
  if (at.gamma >= 0) in.push_back(a.in[at.gamma]);
  if (at.beta >= 0) in.push_back(a.in[at.beta]);
  const Attrs attrs{{"dims", a.attrs.integer("dims")}, {"eps", a.attrs.number("eps")}};
  const Tensors normed = apply(form.centred ? "layer_norm" : "rms_norm", in, attrs);
  if (!a.attrs.flag("sum")) return {normed[0]};
  if (form.centred) return {normed[0], sum, normed[2], normed[1]};
  return {normed[0], sum, normed[1]};
}

// The statistics have gradients where the backward pass itself is differentiated.
Tensor through_statistics(const GradArgs& a, bool centred) {
  const Tensor dx = through_row_statistics(to_row_type(a.out[kSum]), a.attrs.integer("dims"),
                                           centred ? a.out[kMean] : Tensor(), a.out[kRstd],
                                           centred ? a.grad[kMean] : Tensor(), a.grad[kRstd]);
  return dx.defined() ? cast(dx, a.in[0].dtype()) : dx;
}

Tensors gradient(const GradArgs& a) {
  const Form form(a.attrs);
  const Operands at(form, a.in.size());
  Tensors grads(a.in.size());
  const Tensor residual = add_defined(a.grad[kSum], through_statistics(a, form.centred));
  if (!a.grad[kNormed].defined()) {
    if (!residual.defined()) return grads;
    grads[0] = residual;
    if (a.needs[1]) grads[1] = dropped(residual, a.in, at.key, a.attrs);
    return grads;
  }
  Tensors in{a.grad[kNormed], a.out[kSum], a.out[kRstd]};
  if (residual.defined()) in.push_back(residual);
  if (form.centred) in.push_back(a.out[kMean]);
  if (at.gamma >= 0) in.push_back(a.in[at.gamma]);
  if (at.key >= 0) in.push_back(a.in[at.key]);
  Attrs attrs{{"norm", a.attrs.text("norm")},          {"dims", a.attrs.integer("dims")}, {"p", form.p},
              {"ordinal", a.attrs.integer("ordinal")}, {"residual", residual.defined()},  {"bias", false}};
  const BackwardOperands back(form, attrs, in.size());
  const Tensors out = apply("residual_norm_backward", in, attrs);
  grads[0] = out[0];
  grads[1] = back.dbranch >= 0 ? out[back.dbranch] : out[0];
  if (at.gamma >= 0) grads[at.gamma] = out[back.dgamma];
  if (at.beta >= 0) grads[at.beta] = out[back.dbeta];
  return grads;
}

void infer_backward(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  const Form form = checked_form(c);
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  check_row_values(c, 2, 1, dims);
  const BackwardOperands at(form, c.attrs, c.in.size());
  if (!at.valid)
    c.fail("has " + std::to_string(c.in.size()) +
           " operands; it takes g, y, rstd, the residual's gradient where there is one, mean with layer "
           "norm, gamma, and a key where p is above 0");
  if (at.residual >= 0) {
    if (c.in[at.residual].dtype != c.dtype(1) || c.rank(at.residual) != c.rank(1))
      c.fail("the residual's gradient is " + to_string(c.in[at.residual]) + ", y is " + to_string(c.in[1]));
    for (int64_t d = 0; d < c.rank(1); ++d)
      c.same(c.shape(at.residual)[d], c.shape(1)[d], "the residual's gradient has {a} where y has {b}");
  }
  if (at.mean >= 0) check_row_values(c, at.mean, 1, dims, "mean");
  if (at.gamma >= 0) check_row_parameter(c, at.gamma, 1, dims, "gamma");
  check_key(c, at.key);
  c.output(c.in[1]);
  if (at.dbranch >= 0) c.output(c.in[1]);
  if (at.dgamma >= 0) c.output(c.in[at.gamma]);
  if (at.dbeta >= 0) c.output(c.in[at.gamma]);
  if (at.dbias >= 0 && dims != 1) c.fail("with bias dims must be 1, got " + std::to_string(dims));
  if (at.dbias >= 0) c.output(c.dtype(1), {c.shape(1).back()});
}

Tensors decompose_backward(const OpArgs& a) {
  const Form form(a.attrs);
  const BackwardOperands at(form, a.attrs, a.in.size());
  Tensors in{a.in[0], a.in[1]};
  if (at.mean >= 0) in.push_back(a.in[at.mean]);
  in.push_back(a.in[2]);
  if (at.gamma >= 0) in.push_back(a.in[at.gamma]);
  const Tensors back = apply(form.centred ? "layer_norm_backward" : "rms_norm_backward", in,
                             {{"dims", a.attrs.integer("dims")}});
  Tensors out{at.residual >= 0 ? back[0] + a.in[at.residual] : back[0]};
  if (at.dbranch >= 0) out.push_back(dropped(out[0], a.in, at.key, a.attrs));
  out.insert(out.end(), back.begin() + 1, back.end());
  if (at.dbias >= 0) {
    Ints rows = last_axes(out[0].rank(), out[0].rank());
    rows.pop_back();
    out.push_back(sum(out[at.dbranch >= 0 ? 1 : 0], rows));
  }
  return out;
}

}  // namespace

FOVEA_OP(residual_norm) {
  op.doc(
        "y = x + dropout(branch), z = layer_norm(y) gamma + beta or rms_norm(y) gamma over the last dims "
        "axes: what stands between the layers of a transformer, in one pass over memory. Operands behind the "
        "branch: gamma and, with layer norm, beta, both optional, then a key i64[2] where p is above 0. With "
        "`sum` also y, rstd and, with layer norm, mean. The mask of the dropout is made anew in the backward "
        "pass.")
      .input("x", Types::floating)
      .input("branch", Types::floating)
      .variadic_input("rest")
      .output("z")
      .output("y")
      .output("rstd")
      .output("mean")
      .attr("norm", "layer", "layer or rms")
      .attr("dims", 1, "how many last axes are normalised together")
      .attr("eps", 1e-5)
      .attr("p", 0.0, "probability that an element of the branch becomes 0")
      .attr("ordinal", 0, "the stream of the dropout")
      .attr("sum", false, "also give y and the statistics")
      .keeps("sum")
      .random()
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{3, 5}, In{3, 5}, In{5}, In{5}}, {{"sum", true}})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In{4}, In{4}, ints({2}, 0, 100)}, {{"p", 0.3}, {"sum", true}})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In{3, 4}}, {{"norm", "rms"}, {"dims", 2}})
      .sample({In{3, 5}, In{3, 5}, In{5}, ints({2}, 0, 100)},
              {{"norm", "rms"}, {"p", 0.5}, {"ordinal", 3}, {"sum", true}})
      .sample({In{3, 5}, In{3, 5}})
      .sample_error({In{3, 5}, In{3, 4}}, {}, "x and branch differ in shape: axis 1 is 5 against 4")
      .sample_error({In{3, 5}, In{3, 5}, In{4}}, {}, "axis 0 of gamma is 4, the normalised axis is 5")
      .sample_error({In{3, 5}, In{3, 5}, In{5}, In{5}}, {{"norm", "rms"}}, "has 4 operands")
      .sample_error({In{3, 5}, In{3, 5}, In{5}}, {{"p", 0.5}}, "key must be i64[2], got f32[5]")
      .sample_error({In{3, 5}, In{3, 5}}, {{"norm", "batch"}}, "norm is \"batch\", not layer or rms");
}

FOVEA_OP(residual_norm_backward) {
  op.doc(
        "The gradients of residual_norm: dx is that of the norm at y (see layer_norm_backward) plus the "
        "residual's, which reached y on other ways; dbranch = dropout(dx) where p is above 0, else it is dx. "
        "Operands behind rstd: the residual's gradient where `residual` says so, mean with layer norm, gamma "
        "where there is one, a key where p is above 0. With `bias` also dbias, the sum of dbranch (or dx) "
        "over the rows. Results: dx, dbranch, dgamma, dbeta, dbias, as far as they exist.")
      .input("g", Types::floating)
      .input("y", Types::floating)
      .input("rstd", Types::floating)
      .variadic_input("rest")
      .output("dx")
      .output("dbranch")
      .output("dgamma")
      .output("dbeta")
      .output("dbias")
      .attr("norm", "layer", "layer or rms")
      .attr("dims", 1)
      .attr("p", 0.0, "probability that an element of the branch became 0")
      .attr("ordinal", 0, "the stream of the dropout")
      .attr("residual", false, "y has readers besides the norm: their gradient comes in, too")
      .attr("bias", false, "also give dbias")
      .random()
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In{3, 5}, In{3, 5}, In({3}).range(0.5, 2), In{3, 5}, In{3}, In{5}}, {{"residual", true}})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In({2, 3}).range(0.5, 2), In{2, 3, 4}, In{2, 3}, In{4},
               ints({2}, 0, 100)},
              {{"residual", true}, {"p", 0.3}, {"bias", true}})
      .sample({In{3, 5}, In{3, 5}, In({3}).range(0.5, 2), In{3, 5}, In{5}},
              {{"norm", "rms"}, {"residual", true}, {"bias", true}})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In({2}).range(0.5, 2), In{3, 4}}, {{"norm", "rms"}, {"dims", 2}})
      .sample({In{3, 5}, In{3, 5}, In({3}).range(0.5, 2), ints({2}, 0, 100)},
              {{"norm", "rms"}, {"p", 0.5}, {"ordinal", 3}})
      .sample_error({In{3, 5}, In{3, 5}, In{2}, In{3}}, {}, "axis 0 of rstd is 2, the rows' is 3")
      .sample_error({In{3, 5}, In{3, 5}, In{3}, In{3, 4}, In{3}}, {{"residual", true}},
                    "the residual's gradient has 4 where y has 5")
      .sample_error({In{3, 5}, In{3, 5}, In{3}}, {}, "has 3 operands");
}

ResidualNorm residual_norm(const Arg& x, const Tensor& branch, const Tensor& gamma, const Tensor& beta,
                           const ResidualNormOptions& o) {
  const Tensor t = to_tensor(x, DType::f32);
  const bool centred = o.norm == "layer";
  if (beta.defined() && !centred) invalid("residual_norm: norm \"" + o.norm + "\" takes no beta");
  const Tensor scale = gamma_or_ones(gamma, beta, x.source);
  Tensors in{t, branch};
  if (scale.defined()) in.push_back(scale);
  if (beta.defined()) in.push_back(beta);
  Attrs attrs{{"norm", o.norm}, {"eps", o.eps}, {"dims", o.dims}, {"p", o.p}, {"sum", true}};
  if (o.p > 0) {
    if (!o.key.defined()) invalid("residual_norm: p is " + std::to_string(o.p) + ", but there is no key");
    in.push_back(o.key);
    attrs.set("ordinal", next_ordinal(o.key));
  }
  const Tensors out = apply("residual_norm", in, attrs, x.source);
  return {out[0], out[1]};
}

}  // namespace fovea
