// Values that the file or the graph itself determine: constants, shapes, branches, and what does nothing when
// a model is only run.
#include "frontends/cpp/control.h"
#include "frontends/import/onnx/convert.h"
#include "generated/ops.h"

namespace fovea::onnx {

FOVEA_ONNX(Constant) {
  if (c.has_attr("value")) return {c.tensor("value")};
  if (c.has_attr("value_float")) return {Array::scalar(static_cast<float>(c.number("value_float")))};
  if (c.has_attr("value_int")) return {Array::scalar(c.integer("value_int"))};
  if (c.has_attr("value_ints")) {
    const Ints values = c.ints("value_ints");
    return {Array::of(values, {static_cast<int64_t>(values.size())})};
  }
  if (c.has_attr("value_floats")) {
    const Floats values = c.floats("value_floats");
    return {Array::of(values, {static_cast<int64_t>(values.size())}).cast(DType::f32)};
  }
  c.unsupported("only dense numbers can be constants");
}

FOVEA_ONNX(ConstantOfShape) {
  double value = 0;
  DType dtype = DType::f32;
  if (c.has_attr("value")) {
    const Array array = c.tensor("value");
    if (array.size() != 1) c.invalid("its value has " + std::to_string(array.size()) + " elements, not 1");
    value = array.get_flat(0);
    dtype = array.dtype();
  }
  return {full(c.dims(0), value, dtype)};
}

FOVEA_ONNX(Identity) { return {c.in(0)}; }

FOVEA_ONNX(Shape) {
  Known out;  // parts of shapes are known before, so this is all of it
  for (const Dim& d : c.in(0).shape()) out.values.push_back(d);
  out.shape = {static_cast<int64_t>(out.values.size())};
  return {to_tensor(out)};
}

FOVEA_ONNX(Size) { return {extent(c.in(0).shape())}; }

FOVEA_ONNX(Dropout) {
  const Tensor x = c.in(0);
  const bool training =
      c.opset() >= 12 ? c.has(2) && c.const_int(2) != 0 : false;  // before, only training tools wrote it
  if (training && (!c.has(1) || c.const_number(1) != 0))
    c.unsupported("it is in training mode; export the model for inference");
  if (!c.wants(1)) return {x};
  return {x, full(x.shape(), 1, c.opset() >= 10 ? DType::boolean : x.dtype())};
}

// A condition that is known takes its branch without a node; see Importer.
FOVEA_ONNX(If) {
  const Tensor condition = c.in(0);
  const auto branch = [&c](const char* name) {
    return [&c, name](const std::vector<Tensor>&) { return c.subgraph(name); };
  };
  return cond(condition.rank() == 0 ? condition : reshape(condition, {}), branch("then_branch"),
              branch("else_branch"), {});
}

}  // namespace fovea::onnx
