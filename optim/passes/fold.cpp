#include "optim/passes/fold.h"

#include <cmath>
#include <cstring>

#include "framework/base/error.h"
#include "graph/ir/op.h"
#include "optim/lower/eager.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

constexpr int64_t kGrowth = 1024;  // bytes that a folded constant may have more than what it is made from

// Of one number everywhere, the op makes one number everywhere.
bool keeps_uniform(const OpDecl& op) {
  const std::string& name = op.name();
  return op.is_pointwise() || name == "reshape" || name == "permute" || name == "broadcast_to" ||
         name == "slice" || name == "identity" || name == "copy";
}

class Folder {
 public:
  Folder(Rewriter& rewriter) : rewriter_(rewriter) {}

  std::vector<Value> visit(NodeId id) {
    const Node& node = rewriter_.node(id);
    if (node.inputs.empty() || node.op->is_random() || node.op->has_side_effect()) return {};
    bool uniform = true, any_data = false;
    int64_t bytes = 0;
    for (const Value& v : node.inputs) {
      const Node& from = rewriter_.node(v);
      if (from.op == &full_) continue;
      if (from.op != &constant_) return {};
      any_data = true;
      const Array& array = data_of(from);
      uniform = uniform && array.size() == 1;
      bytes += array.nbytes();
    }
    for (const auto& [name, value] : node.attrs)
      if (std::holds_alternative<FunctionRef>(value) || (name == "barrier" && value == AttrValue(true)))
        return {};
    try {
      if (uniform && node.outputs.size() == 1 && keeps_uniform(*node.op)) return fold_uniform(id);
      return any_data ? fold_data(id, bytes) : std::vector<Value>{};
    } catch (const Error&) {  // what fails now fails again, with its place, when the graph runs
      return {};
    }
  }

  int64_t uniform = 0, data = 0;

 private:
  const Array& data_of(const Node& constant) const {
    return rewriter_.context().module->constants[constant.attrs.integer("index")];
  }

  // The operand; of a tensor of one number, as few elements as `shape` says.
  Array operand(Value v, const Dims& shape) const {
    const Node& from = rewriter_.node(v);
    if (from.op == &constant_) return data_of(from);
    return Array::full(DType::f64, shape, from.attrs.number("value")).cast(from.outputs[0].dtype);
  }

  // Shapes may hold symbols: the op runs on one element.
  std::vector<Value> fold_uniform(NodeId id) {
    const Node& node = rewriter_.node(id);
    const TensorType type = node.outputs[0];
    Array result;
    if (node.op->is_pointwise()) {
      std::vector<Array> in;
      for (const Value& v : node.inputs) in.push_back(operand(v, {}).reshape({}));
      result = run_op_on(rewriter_.context().backend, *node.op, in, node.attrs)[0];
    } else {
      result = operand(node.inputs[0], {}).reshape({});
    }
    if (result.dtype() != type.dtype || result.size() != 1) return {};
    const double number = result.item();
    // Not every 64-bit integer is a double, and NaNs have bits of their own.
    const Array back = Array::full(DType::f64, {}, number).cast(type.dtype);
    if (std::memcmp(back.raw(), result.raw(), result.nbytes()) != 0) return {};
    ++uniform;
    return {rewriter_.add(full_, {}, {{"shape", type.shape}, {"value", number}, {"dtype", type.dtype}}, id)};
  }

  std::vector<Value> fold_data(NodeId id, int64_t bytes) {
    const Node& node = rewriter_.node(id);
    int64_t result_bytes = 0;
    for (const TensorType& t : node.outputs) {
      if (!is_concrete(t.shape)) return {};
      result_bytes += product(evaluate(t.shape, {})) * size_of(t.dtype);
    }
    if (result_bytes > bytes + kGrowth) return {};
    std::vector<Array> in;
    for (const Value& v : node.inputs) {
      const Shape& shape = rewriter_.type(v).shape;
      if (!is_concrete(shape)) return {};
      const Dims dims = evaluate(shape, {});
      if (product(dims) * size_of(rewriter_.type(v).dtype) > bytes + kGrowth) return {};
      in.push_back(operand(v, dims));
    }
    const std::vector<Array> results = run_op_on(rewriter_.context().backend, *node.op, in, node.attrs);
    std::vector<Value> out;
    auto& constants = rewriter_.context().module->constants;
    for (const Array& array : results) {
      constants.push_back(array);
      out.push_back(rewriter_.add(constant_, {},
                                  {{"index", static_cast<int64_t>(constants.size()) - 1},
                                   {"dtype", array.dtype()},
                                   {"shape", to_shape(array.shape())}},
                                  id));
    }
    ++data;
    return out;
  }

  Rewriter& rewriter_;
  const OpDecl &full_ = find_op("full"), &constant_ = find_op("constant");
};

}  // namespace

std::shared_ptr<Graph> fold_constants(const Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  Folder folder(rewriter);
  auto out = rewriter.run([&](NodeId id) { return folder.visit(id); });
  context.fired("fold_uniform", folder.uniform);
  context.fired("fold_constant", folder.data);
  return out;
}

}  // namespace fovea
