#include "ops/composite/packed_linear/packed_linear.h"

#include <algorithm>

#include "framework/base/error.h"
#include "graph/ir/op.h"
#include "ops/composite/gelu/gelu.h"
#include "ops/composite/relu/relu.h"
#include "ops/core/add/add.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"
#include "ops/shared/simd/panel_product.h"

namespace fovea {
namespace {

using simd::kPanelColumns;

Tensor activated(const Tensor& x, const std::string& activation) {
  if (activation == "relu") return relu(x);
  if (activation == "gelu") return gelu(x);
  return activation == "gelu_tanh" ? gelu(x, "tanh") : x;
}

// Operands behind the panels: bias, then residual, where the attributes say that they are there.
struct Extras {
  explicit Extras(const Attrs& attrs)
      : bias(attrs.flag("bias") ? 2 : 0), residual(attrs.flag("residual") ? 2 + attrs.flag("bias") : 0) {}
  size_t bias, residual;  // 0: not there
  size_t inputs() const { return 2 + (bias > 0) + (residual > 0); }
};

void infer(InferContext& c) {
  const int64_t columns = c.attrs.integer("columns");
  const std::string& activation = c.attrs.text("activation");
  const Extras extras(c.attrs);
  if (activation != "none" && activation != "relu" && activation != "gelu" && activation != "gelu_tanh")
    c.fail("activation is '" + activation + "', not none, relu, gelu or gelu_tanh");
  if (c.in.size() != extras.inputs())
    c.fail(std::to_string(c.in.size()) + " operands, bias and residual make it " +
           std::to_string(extras.inputs()));
  if (c.rank(0) < 1) c.fail("x has rank 0, at least 1 is needed");
  if (columns < 1) c.fail("columns is " + std::to_string(columns) + ", less than 1");
  const Shape& panels = c.shape(1);
  if (panels.size() != 3 || panels[2] != Dim(kPanelColumns) ||
      panels[0] != Dim((columns - 1) / kPanelColumns + 1))
    c.fail("panels are " + to_string(panels) + ", not [" + std::to_string((columns - 1) / kPanelColumns + 1) +
           ", k, 48] for " + std::to_string(columns) + " columns");
  c.same(c.shape(0).back(), panels[1], "x has {a} features, the panels take {b}");
  for (size_t i = 1; i < c.in.size(); ++i) c.same_dtype(0, i);
  Shape shape = c.shape(0);
  shape.back() = columns;
  if (extras.bias > 0 && c.shape(extras.bias) != Shape{columns})
    c.fail("bias is " + to_string(c.shape(extras.bias)) + ", not [" + std::to_string(columns) + "]");
  if (extras.residual > 0 && c.shape(extras.residual) != shape)
    c.fail("residual is " + to_string(c.shape(extras.residual)) + ", not " + to_string(shape));
  c.output(c.dtype(0), shape);
}

Tensors decompose(const OpArgs& a) {
  const Extras extras(a.attrs);
  const Tensor side_by_side = permute(a.in[1], {1, 0, 2});
  const Tensor matrix =
      reshape(side_by_side, {side_by_side.dim(0), side_by_side.dim(1) * side_by_side.dim(2)});
  Tensor y = matmul(a.in[0], slice(matrix, 1, 0, a.attrs.integer("columns")));
  if (extras.bias > 0) y = y + a.in[extras.bias];
  y = activated(y, a.attrs.text("activation"));
  return {extras.residual > 0 ? y + a.in[extras.residual] : y};
}

}  // namespace

FOVEA_OP(packed_linear) {
  op.doc(
        "y = activation(x W + bias) + residual with W [k, columns] in panels [ceil(columns / 48), k, 48]: "
        "column j of W is column j % 48 of panel j / 48. What products with constant weights become.")
      .input("x", Types::floating)
      .input("panels", Types::floating)
      .variadic_input("extras", Types::floating)
      .required_attr("columns", int64_t{1}, "columns of W")
      .attr("bias", false, "the first of extras is a bias [columns]")
      .attr("residual", false, "the last of extras is added at the end")
      .attr("activation", "none", "none, relu, gelu or gelu_tanh")
      .infer(infer)
      .decompose(decompose)
      .sample({In{3, 5}, In{1, 5, 48}}, {{"columns", 48}})
      .sample({In{2, 3, 4}, In{2, 4, 48}, In{50}}, {{"columns", 50}, {"bias", true}, {"activation", "gelu"}})
      .sample({In{2, 4}, In{1, 4, 48}, In{7}, In{2, 7}},
              {{"columns", 7}, {"bias", true}, {"residual", true}, {"activation", "gelu_tanh"}})
      .sample({In{4}, In{1, 4, 48}, In{3}}, {{"columns", 3}, {"residual", true}})
      .sample_error({In{3, 5}, In{1, 4, 48}}, {{"columns", 48}}, "x has 5 features, the panels take 4")
      .sample_error({In{3, 5}, In{1, 5, 48}}, {{"columns", 49}}, "not [2, k, 48] for 49 columns")
      .sample_error({In{3, 5}, In{1, 5, 48}, In{8}}, {{"columns", 9}, {"bias", true}},
                    "bias is [8], not [9]");
}

Tensor packed_linear(const Arg& x, const Tensor& panels, int64_t columns, const Tensor& bias,
                     const Tensor& residual, const std::string& activation) {
  std::vector<Tensor> in{x.tensor, panels};
  if (bias.defined()) in.push_back(bias);
  if (residual.defined()) in.push_back(residual);
  return apply1("packed_linear", std::move(in),
                {{"columns", columns},
                 {"bias", bias.defined()},
                 {"residual", residual.defined()},
                 {"activation", activation}},
                x.source);
}

Array pack_panels(const Array& matrix) {
  if (matrix.rank() != 2 || matrix.dtype() != DType::f32)
    invalid("pack_panels: the matrix is " + std::string(to_string(matrix.dtype())) +
            to_string(matrix.shape()) + ", not f32 of rank 2");
  const int64_t k = matrix.dim(0), n = matrix.dim(1), panels = (n + kPanelColumns - 1) / kPanelColumns;
  Array out = Array::zeros(DType::f32, {panels, k, kPanelColumns});
  const float* from = static_cast<const float*>(matrix.raw());
  const int64_t row = matrix.strides()[0], column = matrix.strides()[1];
  float* to = out.data<float>();
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t first = p * kPanelColumns, columns = std::min(kPanelColumns, n - first);
    for (int64_t i = 0; i < k; ++i, to += kPanelColumns)
      for (int64_t j = 0; j < columns; ++j) to[j] = from[i * row + (first + j) * column];
  }
  return out;
}

}  // namespace fovea
