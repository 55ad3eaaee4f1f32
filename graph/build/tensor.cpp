#include "graph/build/tensor.h"

#include <cmath>
#include <limits>

#include "framework/base/error.h"
#include "graph/build/builder.h"

namespace fovea {
namespace {

thread_local Source current_source;
thread_local int source_depth = 0;

Source effective(Source source) { return source_depth > 0 ? current_source : source; }

}  // namespace

SourceScope::SourceScope(Source source) : owner_(source_depth++ == 0) {
  if (owner_) current_source = source;
}
SourceScope::~SourceScope() { --source_depth; }

TensorType Tensor::type() const {
  if (builder_) return builder_->graph().type(value_);
  if (!array_.defined()) invalid("the tensor is undefined");
  return {array_.dtype(), to_shape(array_.shape())};
}

int64_t Tensor::rank() const {
  if (builder_) return static_cast<int64_t>(builder_->graph().type(value_).shape.size());
  return static_cast<int64_t>(type().shape.size());
}

Dim Tensor::dim(int64_t axis) const {
  const int64_t r = rank();
  if (axis < -r || axis >= r)
    invalid("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(r));
  const size_t i = static_cast<size_t>(axis < 0 ? axis + r : axis);
  return builder_ ? builder_->graph().type(value_).shape[i] : Dim(array_.shape()[i]);
}

const Array& Tensor::array() const {
  if (builder_) {
    const Node& node = builder_->graph().nodes[value_.node];
    std::string where = *node.source.file ? std::string(", made at ") + node.source.file + ":" +
                                                std::to_string(node.source.line)
                                          : "";
    invalid("this tensor (" + to_string(type()) + where +
            ") is traced: it has no value until the compiled function runs"
            "\n  hint: return it from the function, or use debug_print(x) to see it while running");
  }
  if (!array_.defined()) invalid("the tensor is undefined: it holds no value");
  return array_;
}

std::string Tensor::str() const {
  if (builder_) return "traced " + to_string(type());
  return defined() ? array_.str() : "undefined";
}

std::vector<Tensor> apply(std::string_view name, std::vector<Tensor> inputs, Attrs attrs, Source source) {
  const OpDecl& op = find_op(name);
  source = effective(source);
  while (!inputs.empty() && !inputs.back().defined()) inputs.pop_back();
  // The innermost open trace records; without one, the builder of a traced operand does.
  Builder* builder = Builder::current();
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined())
      invalid(std::string(name) + ": operand " + std::to_string(i) + " is an undefined tensor");
    if (!builder && inputs[i].traced()) builder = inputs[i].builder().get();
  }
  if (builder) return builder->add(op, inputs, std::move(attrs), source);
  std::vector<Array> arrays;
  arrays.reserve(inputs.size());
  for (const Tensor& x : inputs) arrays.push_back(x.array());
  std::vector<Tensor> out;
  try {
    for (Array& a : run_op(op, arrays, attrs)) out.emplace_back(std::move(a));
  } catch (const Error& e) {
    if (!*source.file) throw;
    throw e.with_context(std::string("at ") + source.file + ":" + std::to_string(source.line));
  }
  return out;
}

Tensor apply1(std::string_view op, std::vector<Tensor> inputs, Attrs attrs, Source source) {
  return std::move(apply(op, std::move(inputs), std::move(attrs), source)[0]);
}

Tensor to_tensor(const Arg& x, DType dtype) {
  if (!x.is_scalar) return x.tensor;
  return apply1("full", {}, {{"shape", Shape{}}, {"value", x.scalar}, {"dtype", dtype}}, x.source);
}

Tensor apply_binary(std::string_view op, const Arg& a, const Arg& b) {
  const Source source = a.is_scalar ? b.source : a.source;
  DType common = DType::f32;
  if (a.is_scalar && b.is_scalar) {
    common = a.is_integral && b.is_integral ? DType::i64 : DType::f32;
  } else if (a.is_scalar || b.is_scalar) {
    const Arg &tensor = a.is_scalar ? b : a, &number = a.is_scalar ? a : b;
    common = tensor.tensor.dtype();
    if (!is_floating(common) && !number.is_integral) common = DType::f32;
    if (common == DType::boolean) common = DType::i64;
  } else {
    common = promote(a.tensor.dtype(), b.tensor.dtype());
  }
  auto prepared = [&](const Arg& x) {
    Tensor t = to_tensor(x, common);
    return t.dtype() == common ? t : apply1("cast", {t}, {{"dtype", common}}, source);
  };
  return apply1(op, {prepared(a), prepared(b)}, {}, source);
}

}  // namespace fovea
