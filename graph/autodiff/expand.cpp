#include <algorithm>

#include "framework/base/error.h"
#include "graph/autodiff/vjp.h"
#include "graph/build/inline.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

constexpr int kMaxDepth = 64;  // of functions that call functions; a cycle ends here with an error

// The ops that stand for functions.
struct Calls {
  const OpDecl* call = &find_op("call");
  const OpDecl* checkpoint = &find_op("checkpoint");
  const OpDecl* custom_vjp = &find_op("custom_vjp");
  const OpDecl* vjp = &find_op("vjp");
  bool has(const OpDecl* op) const { return op == call || op == checkpoint || op == custom_vjp || op == vjp; }
};
const Calls& calls() {
  static const Calls all;
  return all;
}

class Expander {
 public:
  explicit Expander(std::shared_ptr<Module> module) : module_(std::move(module)) {}

  std::shared_ptr<Graph> expand(const Graph& graph) {
    if (++depth_ > kMaxDepth)
      invalid("function '" + graph.name + "' is nested more than " + std::to_string(kMaxDepth) +
              " deep, or calls itself");
    auto builder = Builder::make(module_, graph.name);
    std::vector<Tensor> args;
    for (NodeId id : graph.inputs) {
      const Node& n = graph.nodes[id];
      args.push_back(builder->input(n.attrs.text("name"), n.outputs[0], n.source));
    }
    const auto out = expand_into(*builder, graph, args);
    for (size_t i = 0; i < out.size(); ++i) builder->output(graph.output_names[i], out[i]);
    --depth_;
    return std::make_shared<Graph>(std::move(builder->graph()));
  }

 private:
  std::vector<Tensor> expand_into(Builder& builder, const Graph& graph, const std::vector<Tensor>& args) {
    return inline_graph(
        builder, graph, args,
        [&](const Node& node, const std::vector<Tensor>& in) -> std::vector<Tensor> {
          if (node.op == calls().vjp) return expand_vjp(builder, node, in);
          return expand_into_checked(builder, module_->function(node.attrs.function("function")), in);
        },
        [](const Node& node) { return calls().has(node.op); });
  }

  std::vector<Tensor> expand_into_checked(Builder& builder, const Graph& graph,
                                          const std::vector<Tensor>& in) {
    if (++depth_ > kMaxDepth)
      invalid("function '" + graph.name + "' is nested more than " + std::to_string(kMaxDepth) +
              " deep, or calls itself");
    auto out = expand_into(builder, graph, in);
    --depth_;
    return out;
  }

  // The forward nodes in a form that can be differentiated: calls and inner gradients expanded (checkpointed
  // and custom ones kept, since they have rules), composites without a rule decomposed where gradients flow.
  std::vector<Tensor> forward(Builder& builder, const Graph& graph, const std::vector<Tensor>& args,
                              const std::vector<bool>& active) {
    if (++depth_ > kMaxDepth)
      invalid("function '" + graph.name + "' is nested more than " + std::to_string(kMaxDepth) +
              " deep, or calls itself");
    const Node* base = graph.nodes.data();
    auto is_active = [&](const Node& node) {
      return active[static_cast<size_t>(&node - base)] && node.op->is_differentiable();
    };
    auto keeps_more = [](const Node& node) {
      return !node.op->keeps_flag().empty() && !node.attrs.flag(node.op->keeps_flag());
    };
    auto has_no_rule = [](const Node& node) { return !node.op->gradient_fn() && node.op->decompose_fn(); };
    auto out = inline_graph(
        builder, graph, args,
        [&](const Node& node, const std::vector<Tensor>& in) -> std::vector<Tensor> {
          if (node.op == calls().call) {
            const Graph& body = module_->function(node.attrs.function("function"));
            return forward(builder, body, in, std::vector<bool>(body.nodes.size(), is_active(node)));
          }
          if (node.op == calls().vjp) {
            const Graph whole = *expand_node(node);
            return forward(builder, whole, in, std::vector<bool>(whole.nodes.size(), is_active(node)));
          }
          if (has_no_rule(node)) return decompose(builder, node, in);
          Attrs attrs = node.attrs;
          attrs.set(node.op->keeps_flag(), true);
          std::vector<Tensor> out_all = builder.add(*node.op, in, attrs, node.source);
          out_all.resize(node.outputs.size());
          return out_all;
        },
        [&](const Node& node) {
          return node.op == calls().call || node.op == calls().vjp ||
                 (is_active(node) && (keeps_more(node) || has_no_rule(node)));
        });
    --depth_;
    return out;
  }

  std::vector<Tensor> decompose(Builder& builder, const Node& node, const std::vector<Tensor>& in) {
    // The parts may again be composites without a rule: trace them apart, then treat them as a forward
    // function.
    auto inner = Builder::make(module_, node.op->name());
    std::vector<Tensor> args;
    for (const Tensor& x : in) args.push_back(inner->input("", x.type()));
    {
      TraceScope trace(inner);
      OpArgs a{args, node.attrs};
      for (const Tensor& t : node.op->decompose_fn()(a)) inner->output("", t);
    }
    const Graph body = std::move(inner->graph());
    return forward(builder, body, in, std::vector<bool>(body.nodes.size(), true));
  }

  // One vjp node as a graph of its own.
  std::shared_ptr<Graph> expand_node(const Node& node) {
    auto builder = Builder::make(module_, "vjp");
    const Graph& body = module_->function(node.attrs.function("function"));
    std::vector<Tensor> args;
    for (NodeId id : body.inputs) args.push_back(builder->input("", body.nodes[id].outputs[0]));
    for (int64_t s : node.attrs.ints("seeds")) args.push_back(builder->input("", body.type(body.outputs[s])));
    for (const Tensor& t : expand_vjp(*builder, node, args)) builder->output("", t);
    return std::make_shared<Graph>(std::move(builder->graph()));
  }

  std::vector<Tensor> expand_vjp(Builder& builder, const Node& node, const std::vector<Tensor>& in) {
    const Graph& body = module_->function(node.attrs.function("function"));
    const Ints& wrt = node.attrs.ints("wrt");
    const Ints& seeds = node.attrs.ints("seeds");
    // Arguments pass through an identity each, so that the gradient of an argument used twice is that of its
    // uses here only, and equal tensors given for two arguments stay apart.
    TraceScope trace(builder.shared_from_this());
    std::vector<Tensor> args(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(body.inputs.size())),
        inputs;
    for (int64_t w : wrt) args[w] = apply1("identity", {args[w]});
    std::vector<Tensor> out = forward(builder, body, args, reachable_from_inputs(body, wrt));
    std::vector<Tensor> cotangents(out.size()), targets;
    for (size_t i = 0; i < seeds.size(); ++i) cotangents[seeds[i]] = in[body.inputs.size() + i];
    for (int64_t w : wrt) targets.push_back(args[w]);
    std::vector<Tensor> grads = append_vjp(builder, out, cotangents, targets);
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!grads[i].defined()) {
        const TensorType t = targets[i].type();
        grads[i] = apply1("full", {}, {{"shape", t.shape}, {"value", 0.0}, {"dtype", t.dtype}});
      }
      out.push_back(grads[i]);
    }
    // Checkpointed and custom functions have served the rules: what is left of them is plain calls.
    return out;
  }

  std::shared_ptr<Module> module_;
  int depth_ = 0;
};

bool has_calls(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& n) { return calls().has(n.op); });
}

}  // namespace

std::shared_ptr<Graph> expand_functions(const std::shared_ptr<Module>& module, const Graph& function) {
  auto out = std::make_shared<Graph>(function);
  // The first round leaves calls where gradients went through them; the next ones inline these.
  for (int round = 0; has_calls(*out); ++round) {
    if (round > kMaxDepth) invalid("function '" + function.name + "' does not stop expanding");
    out = Expander(module).expand(*out);
  }
  return out;
}

}  // namespace fovea
