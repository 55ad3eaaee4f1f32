#include "frontends/tools/fuzz/mutate.h"

#include <algorithm>
#include <memory>

#include "framework/base/error.h"
#include "frontends/cpp/fovea.h"
#include "graph/build/builder.h"
#include "graph/ir/op.h"

namespace fovea::tools {
namespace {

class Mutator {
 public:
  Mutator(Module& module, Random& random, bool preserve) : module_(module), r_(random), preserve_(preserve) {}

  void run(const std::string& function) {
    const std::shared_ptr<Graph> old = module_.functions.at(function);
    // The module is the caller's; the builder only needs it while nodes are added.
    const std::shared_ptr<Module> borrowed(&module_, [](Module*) {});
    builder_ = Builder::make(borrowed, function);
    choose_victim(*old);
    std::vector<std::vector<std::vector<Tensor>>> map(old->nodes.size());  // node, output, spellings of it
    TraceScope trace(builder_);
    for (size_t i = 0; i < old->inputs.size(); ++i) {
      const Node& n = old->nodes[old->inputs[i]];
      map[old->inputs[i]] = {{builder_->input("", n.outputs[0])}};
    }
    for (size_t id = 0; id < old->nodes.size(); ++id) {
      if (!map[id].empty()) continue;
      const Node& node = old->nodes[id];
      std::vector<Tensor> in;
      for (const Value& v : node.inputs) in.push_back(r_.of(map[v.node][static_cast<size_t>(v.index)]));
      for (std::vector<Tensor> out = emit(node, in); Tensor & y : out) {
        if (static_cast<NodeId>(id) == victim_) y = disturbed(y);
        map[id].push_back({y});
        if (r_.one_in(8)) map[id].back().push_back(respelled(y));
        if (r_.one_in(20) && !node.op->is_random())
          map[id].back().push_back(apply(node.op->name(), in, node.attrs)[map[id].size() - 1]);
      }
    }
    for (size_t i = 0; i < old->outputs.size(); ++i) {
      const Value v = old->outputs[i];
      builder_->output(old->output_names[i], r_.of(map[v.node][static_cast<size_t>(v.index)]));
    }
    module_.functions.erase(function);
    builder_->finish();
  }

 private:
  // One floating value of rank 2 and more, which is to become another.
  void choose_victim(const Graph& graph) {
    if (preserve_) return;
    std::vector<NodeId> able;
    for (size_t id = 0; id < graph.nodes.size(); ++id) {
      const TensorType& t = graph.nodes[id].outputs[0];
      if (is_floating(t.dtype) && t.shape.size() >= 2) able.push_back(static_cast<NodeId>(id));
    }
    if (!able.empty()) victim_ = r_.of(able);
  }

  // A node as it is, or in another spelling.
  std::vector<Tensor> emit(const Node& node, const std::vector<Tensor>& in) {
    const std::string& op = node.op->name();
    if (r_.one_in(3)) {
      if (node.op->is_commutative()) return apply(op, {in[1], in[0]}, node.attrs);
      if (op == "sub") return {in[0] + neg(in[1])};
      if (op == "where") return {where(logical_not(in[0]), in[2], in[1])};
      if (op == "less") return {greater(in[1], in[0])};
      if (op == "greater_equal")
        return {r_.one_in(2) ? less_equal(in[1], in[0]) : logical_not(less(in[0], in[1]))};
      if (op == "logical_not" && r_.one_in(2)) return {equal(cast(in[0], DType::i32), 0)};
      if (op == "div" && in[1].rank() == 0) return {in[0] * reciprocal(in[1])};
      if (op == "matmul" && in[0].rank() >= 2 && in[1].rank() >= 2)
        return {matmul(in[1].transpose(-1, -2), in[0].transpose(-1, -2)).transpose(-1, -2)};
      if (op == "reshape" || op == "permute") return apply(op, {respelled(in[0])}, node.attrs);
    }
    return apply(op, in, node.attrs);
  }

  // The same value through other operations.
  Tensor respelled(const Tensor& x) {
    const bool real = is_floating(x.dtype());
    switch (r_.below(real ? 10 : 5)) {
      case 0:
        return reshape(reshape(x, {product(x.shape())}), x.shape());
      case 1: {
        if (x.rank() < 2) return identity(x);
        return x.transpose(0, -1).transpose(0, -1);
      }
      case 2:
        return unsqueeze(x, 0).reshape(x.shape());
      case 3:
        return identity(x);
      case 4:
        return broadcast_to(x, x.shape());
      case 5:
        return x * 1.0;
      case 6:
        return x / 1.0;
      case 7:
        return neg(neg(x));
      case 8:
        return cast(cast(x, DType::f64), x.dtype());
      default:
        return x - 0.0;
    }
  }

  // Another value of the same type.
  Tensor disturbed(const Tensor& x) {
    const int64_t axis = r_.below(x.rank());
    switch (r_.below(14)) {
      case 0:
        return tanh(x);
      case 1:
        return relu(x);
      case 2:
        return x * 2.0 + 1.0;
      case 3:
        return flip(x, {axis});
      case 4:
        return roll(x, 1, axis);
      case 5:
        return cumsum(x, axis);
      case 6:
        return softmax(x, axis);
      case 7:
        return x - mean(x, {axis}, true);
      case 8:
        return broadcast_to(max(x, {axis}, true), x.shape());
      case 9:  // of small numbers: the square of a mask's fill overflows in the softmax
        return square(tanh(x));
      case 10: {  // two axes of equal sizes exchanged
        for (int64_t other = 0; other < x.rank(); ++other)
          if (other != axis && x.dim(other) == x.dim(axis)) return x.transpose(axis, other);
        return abs(tanh(x));
      }
      case 11:
        return x * cast(iota(x.shape(), axis), x.dtype());
      case 12:
        return sigmoid(x);
      default:
        return where(iota(x.shape(), axis) >= 1, x, 0.0);
    }
  }

  Module& module_;
  Random& r_;
  bool preserve_;
  std::shared_ptr<Builder> builder_;
  NodeId victim_ = -1;
};

}  // namespace

void mutate(Module& module, const std::string& function, Random& random, bool preserve) {
  Mutator(module, random, preserve).run(function);
}

std::shared_ptr<Module> widened(const Module& module) {
  auto out = std::make_shared<Module>(module);
  const auto wide = [](DType t) { return is_floating(t) ? DType::f64 : t; };
  for (Array& c : out->constants) c = c.cast(wide(c.dtype()));
  for (auto& [name, graph] : out->functions) {
    graph = std::make_shared<Graph>(*graph);
    for (Node& n : graph->nodes) {
      for (TensorType& t : n.outputs) t.dtype = wide(t.dtype);
      if (const AttrValue* d = n.attrs.find("dtype"); d && std::holds_alternative<DType>(*d))
        n.attrs.set("dtype", wide(std::get<DType>(*d)));
    }
  }
  verify(*out);
  return out;
}

}  // namespace fovea::tools
