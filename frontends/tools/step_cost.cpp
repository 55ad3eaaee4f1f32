#include "frontends/tools/step_cost.h"

#include <algorithm>

#include "framework/base/error.h"
#include "frontends/nn/flops.h"
#include "graph/ir/op.h"

namespace fovea::tools {
namespace {

// Elements that lie in memory: an axis of stride 0 is read once.
int64_t stored_bytes(const OperandSpec& operand) {
  int64_t n = 1;
  for (size_t i = 0; i < operand.shape.size(); ++i)
    if (operand.strides[i] != 0 || operand.shape[i] == 0) n *= operand.shape[i];
  return n * size_of(operand.dtype);
}

// Shapes in attributes are lists of integers for kernels, and shapes again for the op's declaration.
Attrs declared(const OpDecl& op, const Attrs& attrs) {
  Attrs out = attrs;
  for (const AttrDecl& decl : op.attrs()) {
    const AttrValue* value = attrs.find(decl.name);
    if (!value || !std::holds_alternative<Shape>(decl.fallback)) continue;
    if (const Ints* ints = std::get_if<Ints>(value)) out.set(decl.name, to_shape(*ints));
  }
  return out;
}

int64_t flops_of(const KernelRequest& request) {
  const OpDecl* op = lookup_op(request.op);
  if (!op) return 0;
  const OpDecl& input = find_op("input");
  Module module;
  Graph graph;
  Node node;
  node.op = op;
  node.attrs = declared(*op, request.attrs);
  for (const OperandSpec& in : request.in) {
    Node from;
    from.op = &input;
    from.outputs = {{in.dtype, to_shape(in.shape)}};
    node.inputs.push_back({static_cast<NodeId>(graph.nodes.size()), 0});
    graph.nodes.push_back(std::move(from));
  }
  for (const OperandSpec& out : request.out) node.outputs.push_back({out.dtype, to_shape(out.shape)});
  graph.nodes.push_back(std::move(node));
  try {
    return nn::flops(module, graph, graph.nodes.back(), {});
  } catch (const Error&) {
    return 0;  // an op whose decomposition cannot be had from its kernel's request
  }
}

// Of a table of rows only those that are asked for.
bool picks_rows(const std::string& op) { return op == "gather" || op == "embedding" || op == "slice"; }

}  // namespace

StepCost cost_of(const KernelRequest& request) {
  StepCost cost;
  int64_t written = 0;
  for (const OperandSpec& out : request.out) written += stored_bytes(out);
  for (size_t i = 0; i < request.in.size(); ++i) {
    const int64_t bytes = stored_bytes(request.in[i]);
    cost.bytes += i == 0 && picks_rows(request.op) ? std::min(bytes, written) : bytes;
  }
  cost.bytes += written;
  cost.flops = flops_of(request);
  return cost;
}

double least_seconds(const StepCost& cost, double peak_gflops, double read_gbs) {
  return std::max(static_cast<double>(cost.flops) / (peak_gflops * 1e9),
                  static_cast<double>(cost.bytes) / (read_gbs * 1e9));
}

}  // namespace fovea::tools
