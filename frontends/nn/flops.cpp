#include "frontends/nn/flops.h"

#include <algorithm>
#include <string_view>

#include "framework/base/checked.h"
#include "graph/build/builder.h"

namespace fovea::nn {
namespace {

class Counter {
 public:
  Counter(const fovea::Module& module, const Bindings& sizes, bool contractions = false)
      : module_(module), sizes_(sizes), contractions_(contractions) {}

  int64_t graph(const Graph& g) const {
    int64_t total = 0;
    for (const Node& n : g.nodes) total = checked_add(total, node(g, n));
    return total;
  }

  int64_t node(const Graph& g, const Node& n) const {
    const std::string& op = n.op->name();
    const auto in = [&](size_t i) { return evaluate(g.type(n.inputs[i]).shape, sizes_); };
    const auto out = [&] { return evaluate(n.outputs[0].shape, sizes_); };
    const auto products = [](const Dims& results, int64_t each) {
      return checked_mul(checked_mul(2, product(results)), each);
    };
    if (op == "matmul") return products(out(), in(0).back());
    if (op == "linear") return checked_add(products(out(), in(0).back()), bias(n) ? product(out()) : 0);
    if (op == "conv1d" || op == "conv2d" || op == "conv3d") return convolution(n, out(), in(1));
    if (op == "conv_transpose2d") return convolution(n, in(0), in(1));
    if (op == "scan")
      return checked_mul(evaluate(n.attrs.shape("length"), sizes_)[0], function(n, "function"));
    if (op == "cond") return std::max(function(n, "then"), function(n, "otherwise"));
    if (n.attrs.has("function")) return function(n, "function");
    if (n.op->decompose_fn()) return decomposition(g, n);
    if (contractions_) return 0;
    if (op == "where" || op == "cast" || op == "identity" || op == "stop_gradient") return 0;
    if (n.op->is_pointwise()) return product(out());
    if (op == "sum" || op == "prod" || op == "max" || op == "cumsum" || op == "scatter_add")
      return product(in(0));
    return 0;
  }

 private:
  // Each element of `places` (results, or operands of a transposed convolution) meets all weights of one
  // channel.
  int64_t convolution(const Node& n, const Dims& places, const Dims& weight) const {
    const int64_t each = product(Dims(weight.begin() + 1, weight.end()));
    return checked_add(checked_mul(checked_mul(2, product(places)), each), bias(n) ? product(places) : 0);
  }

  bool bias(const Node& n) const { return n.inputs.size() > 2 && !contractions_; }

  int64_t function(const Node& n, std::string_view attr) const {
    return graph(module_.function(n.attrs.function(attr)));
  }

  // The nodes of the decomposition, recorded in a module that only borrows the functions.
  int64_t decomposition(const Graph& g, const Node& n) const {
    auto scratch = std::make_shared<fovea::Module>();
    scratch->functions = module_.functions;
    auto builder = Builder::make(scratch, scratch->unique_name("decomposition"));
    std::vector<Tensor> in;
    for (const Value& v : n.inputs) in.push_back(builder->input("", g.type(v)));
    {
      const TraceScope trace(builder);
      n.op->decompose_fn()({in, n.attrs});
    }
    return graph(builder->graph());
  }

  const fovea::Module& module_;
  const Bindings& sizes_;
  const bool contractions_;
};

}  // namespace

int64_t flops(const fovea::Module& module, const Graph& graph, const Node& node, const Bindings& sizes) {
  return Counter(module, sizes).node(graph, node);
}
int64_t flops(const fovea::Module& module, const Graph& graph, const Bindings& sizes) {
  return Counter(module, sizes).graph(graph);
}

int64_t contraction_flops(const fovea::Module& module, const Graph& graph, const Bindings& sizes) {
  return Counter(module, sizes, true).graph(graph);
}

}  // namespace fovea::nn
