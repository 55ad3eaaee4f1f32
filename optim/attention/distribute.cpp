#include "optim/attention/distribute.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/build/inline.h"
#include "ops/composite/einsum/einsum.h"
#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/concat/concat.h"
#include "ops/core/full/full.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"
#include "ops/core/reshape/reshape.h"
#include "optim/attention/blocks.h"
#include "optim/attention/spell_out.h"

namespace fovea::match {
namespace {

bool is_wide_einsum(const View& view, NodeId id) {
  return view.role(id) == Role::einsum && view.graph.nodes[static_cast<size_t>(id)].inputs.size() > 2;
}

constexpr size_t kMostTerms = 8, kMostSteps = 24;

// An operand on the way from a product down to a sum of probabilities, in the old graph and in the new one.
struct Step {
  NodeId old_node = -1, new_node = -1;
  size_t operand = 0;
};
// A summand: what it is, and the operations through which the product reads it, outermost first.
struct Term {
  Value old_value, new_value;
  std::vector<Step> way;
  bool negative = false;
  Shape broadcast;  // the sum's, where the summand has another one
};

bool is_zero(const View& view, Value v) {
  const auto n = view.number(v);
  return n && *n == 0;
}

// The operand through which the operation is linear, or -1.
int linear_operand(const View& view, Value v) {
  const Node& n = view.node(v);
  const auto tainted = [&](size_t k) { return view.tainted(n.inputs[k]); };
  switch (view.role(v)) {
    case Role::same:
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
    case Role::neg:
    case Role::dropout:
      return 0;
    case Role::cast:
      return is_floating(view.dtype(v)) && is_floating(view.dtype(n.inputs[0])) ? 0 : -1;
    case Role::mul: {
      // Of two exponentials the one that is as large as the product: the other is a factor of it.
      const bool first = view.shape(n.inputs[0]) == view.shape(v),
                 second = view.shape(n.inputs[1]) == view.shape(v);
      if (tainted(0) && tainted(1)) return first == second ? -1 : first ? 0 : 1;
      return tainted(0) == tainted(1) ? -1 : tainted(0) ? 0 : 1;
    }
    case Role::div:
      return tainted(0) && !tainted(1) ? 0 : -1;
    case Role::where:
      if (tainted(0) || is_zero(view, n.inputs[1]) == is_zero(view, n.inputs[2])) return -1;
      return is_zero(view, n.inputs[1]) ? 2 : 1;
    default:
      return -1;
  }
}

// What a value is a multiple of, perhaps reduced or moved since.
struct Multiple {
  Value of;
  double by = 1;
  bool reduced = false;
};
Multiple multiple_of(const View& view, Value v) {
  Multiple m{v};
  for (size_t steps = 0; steps < kMostSteps; ++steps) {
    const Node& n = view.node(m.of);
    switch (view.role(m.of)) {
      case Role::sum:
      case Role::max:
      case Role::shift:
        m.reduced = true;
        break;
      case Role::neg:
        m.by = -m.by;
        break;
      case Role::mul:
      case Role::div: {
        const auto by = view.number(n.inputs[1]);
        if (by)
          m.by = view.role(m.of) == Role::mul ? m.by * *by : m.by / *by;
        else if (view.node(n.inputs[1]).op->name() == "extent")  // of a mean over a symbol's tokens
          m.reduced = true;
        else
          return m;
        break;
      }
      case Role::same:
      case Role::cast:
      case Role::reshape:
      case Role::broadcast:
        break;
      default:
        return m;
    }
    m.of = n.inputs[0];
  }
  return m;
}
// Weights less themselves, or less their mean: nothing may be left of them, but for rounding in each part.
bool cancels(const View& view, Value sum) {
  const Node& n = view.node(sum);
  const Multiple a = multiple_of(view, n.inputs[0]), b = multiple_of(view, n.inputs[1]);
  const double sign = view.role(sum) == Role::sub ? -1 : 1;
  return view.canonical(a.of) == view.canonical(b.of) && a.by * b.by * sign < 0 &&
         (a.reduced || b.reduced || std::fabs(a.by) == std::fabs(b.by));
}

// A sum with a tainted side of its shape.
bool is_sum(const View& view, Value v) {
  const Role r = view.role(v);
  if ((r != Role::add && r != Role::sub) || !view.tainted(v) || cancels(view, v)) return false;
  const Node& sum = view.node(v);
  return std::any_of(sum.inputs.begin(), sum.inputs.end(),
                     [&](Value part) { return view.tainted(part) && view.shape(part) == view.shape(v); });
}

// Walks down to a sum; false where there is none, or no weights on the way of a sum over tokens.
bool walk(const View& view, Term& t, bool needs_product, const Graph* rebuilt) {
  for (size_t steps = 0; steps < kMostSteps; ++steps) {
    if (is_sum(view, t.old_value)) return !needs_product;
    const int k = view.tainted(t.old_value) || needs_product ? linear_operand(view, t.old_value) : -1;
    if (k < 0) return false;
    needs_product = needs_product && view.role(t.old_value) != Role::mul;
    const auto at = static_cast<size_t>(k);
    t.way.push_back({t.old_value.node, t.new_value.node, at});
    if (rebuilt) t.new_value = rebuilt->nodes[static_cast<size_t>(t.new_value.node)].inputs[at];
    t.old_value = view.node(t.old_value).inputs[at];
  }
  return false;
}

// The operand of a product behind which stands a sum, or -1.
int sum_operand(const View& view, NodeId id) {
  const Node& n = view.graph.nodes[static_cast<size_t>(id)];
  const Role r = view.role(id);
  const bool product = (r == Role::matmul || r == Role::einsum) && n.inputs.size() == 2;
  if (!product && r != Role::sum) return -1;
  for (size_t k = 0; k < n.inputs.size(); ++k) {
    Term t{n.inputs[k], {}, {}, false, {}};
    if (view.tainted(t.old_value) || view.weighted(t.old_value))
      if (walk(view, t, !product, nullptr)) return static_cast<int>(k);
  }
  return -1;
}

// An operand whose axes another one has multiplies that one first; what is left is decomposed in its order.
std::vector<Tensor> narrowed(const Node& node, const std::vector<Tensor>& in) {
  std::string text;
  for (char c : node.attrs.text("equation"))
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos || text.find("...") != std::string::npos)
    return node.op->decompose_fn()({in, node.attrs});
  std::vector<Tensor> operands = in;
  std::vector<std::string> terms(1);
  for (char c : text.substr(0, arrow)) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  const auto within = [](const std::string& a, const std::string& b) {
    return a.find_first_not_of(b) == std::string::npos;
  };
  for (size_t i = terms.size(); i-- > 0 && terms.size() > 2;)
    for (size_t k = 0; k < terms.size(); ++k) {
      if (k == i || !within(terms[i], terms[k])) continue;
      operands[k] =
          einsum(terms[k] + "," + terms[i] + "->" + terms[k], {operands[k], operands[i]}, node.source);
      operands.erase(operands.begin() + static_cast<std::ptrdiff_t>(i));
      terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  std::string equation;
  for (const std::string& t : terms) equation += (equation.empty() ? "" : ",") + t;
  equation += text.substr(arrow);
  if (terms.size() == 2) return {einsum(equation, operands, node.source)};
  return node.op->decompose_fn()({operands, {{"equation", equation}}});
}

// The product of each summand, added up.
std::vector<Tensor> split(const View& view, Builder& builder, NodeId id, const std::vector<Tensor>& in,
                          int k) {
  const Node& node = view.graph.nodes[static_cast<size_t>(id)];
  const auto at = static_cast<size_t>(k);
  std::vector<Term> open{{node.inputs[at], in[at].value(), {}, false, {}}}, terms;
  const bool summed = view.role(id) == Role::sum;
  while (!open.empty()) {
    Term t = std::move(open.back());
    open.pop_back();
    Term sum = t;
    if (!t.broadcast.empty() || terms.size() + open.size() + 2 > kMostTerms ||
        !walk(view, sum, summed && t.way.empty(), &builder.graph())) {
      terms.push_back(std::move(t));
      continue;
    }
    const Node& added = builder.graph().nodes[static_cast<size_t>(sum.new_value.node)];
    const Node& old = view.node(sum.old_value);
    const bool minus = view.role(sum.old_value) == Role::sub;
    for (const size_t side : {1, 0}) {
      Term part{old.inputs[side], added.inputs[side], sum.way, sum.negative, {}};
      if (side == 1 && minus) part.negative = !part.negative;
      if (view.shape(part.old_value) != view.shape(sum.old_value)) part.broadcast = view.shape(sum.old_value);
      open.push_back(std::move(part));
    }
  }
  Tensor total;
  for (const Term& t : terms) {
    Tensor x = builder.tensor(t.new_value);
    if (!t.broadcast.empty()) x = broadcast_to(x, t.broadcast);
    for (size_t i = t.way.size(); i-- > 0;) {
      const Node step = builder.graph().nodes[static_cast<size_t>(t.way[i].new_node)];
      std::vector<Tensor> operands;
      for (const Value& v : step.inputs) operands.push_back(builder.tensor(v));
      operands[t.way[i].operand] = x;
      x = apply1(step.op->name(), operands, step.attrs, step.source);
    }
    std::vector<Tensor> operands = in;
    operands[at] = x;
    const Tensor y = apply1(node.op->name(), operands, node.attrs, node.source);
    if (!total.defined())
      total = t.negative ? apply1("neg", {y}, {}, node.source) : y;
    else
      total = apply1(t.negative ? "sub" : "add", {total, y}, {}, node.source);
  }
  return {total};
}

// The axis along which a tensor that goes into a softmax is padded by a number, or -1.
int64_t padded_axis(const View& view, NodeId id) {
  const Node& n = view.graph.nodes[static_cast<size_t>(id)];
  if (n.op->name() != "pad" || !is_floating(n.outputs[0].dtype)) return -1;
  const std::vector<NodeId>& uses = view.uses(id);
  const bool to_softmax = std::any_of(uses.begin(), uses.end(), [&](NodeId use) {
    const Role r = view.role(use);
    return r == Role::softmax || r == Role::log_softmax || r == Role::logsumexp || r == Role::exp ||
           r == Role::max;
  });
  const Shape &low = n.attrs.shape("low"), &high = n.attrs.shape("high");
  int64_t axis = -1;
  for (size_t d = 0; to_softmax && d < low.size(); ++d) {
    if (low[d] == Dim(0) && high[d] == Dim(0)) continue;
    const bool grows = low[d].is_const() && high[d].is_const() && low[d].value() >= 0 && high[d].value() >= 0;
    if (axis >= 0 || !grows) return -1;
    axis = static_cast<int64_t>(d);
  }
  const Ints& interior = n.attrs.ints("interior");
  const bool plain = std::all_of(interior.begin(), interior.end(), [](int64_t k) { return k == 0; });
  return plain ? axis : -1;
}

std::vector<Tensor> padded(const Node& node, const Tensor& x, int64_t axis) {
  std::vector<Tensor> parts;
  const auto fill = [&](const Dim& size) {
    if (size == Dim(0)) return;
    Shape shape = x.shape();
    shape[static_cast<size_t>(axis)] = size;
    parts.push_back(full(shape, node.attrs.number("value"), x.dtype(), node.source));
  };
  fill(node.attrs.shape("low")[static_cast<size_t>(axis)]);
  parts.push_back(x);
  fill(node.attrs.shape("high")[static_cast<size_t>(axis)]);
  return {concat(parts, axis, node.source)};
}

// A product of one tensor with another, perhaps times a number.
struct Scaled {
  NodeId product = -1;
  double by = 1;
};
Scaled scaled_product(const View& view, Value v) {
  Scaled out;
  const Role r = view.role(v);
  if (r == Role::mul || r == Role::div) {
    const auto by = view.number(view.node(v).inputs[1]);
    if (!by) return out;
    out.by = r == Role::mul ? *by : 1 / *by;
    v = view.node(v).inputs[0];
  }
  if (view.role(v) == Role::matmul) out.product = v.node;
  return out;
}

// Products of the same queries with several keys, side by side.
bool joins_products(const View& view, NodeId id) {
  const Node& n = view.graph.nodes[static_cast<size_t>(id)];
  if (view.role(id) != Role::concat || !is_floating(n.outputs[0].dtype)) return false;
  const Shape& out = n.outputs[0].shape;
  if (n.inputs.size() < 2 || out.size() < 2 ||
      n.attrs.integer("axis") != static_cast<int64_t>(out.size()) - 1)
    return false;
  const Scaled first = scaled_product(view, n.inputs[0]);
  return first.product >= 0 && std::all_of(n.inputs.begin() + 1, n.inputs.end(), [&](Value v) {
           const Scaled other = scaled_product(view, v);
           if (other.product < 0 || other.by != first.by) return false;
           const Node& a = view.graph.nodes[static_cast<size_t>(first.product)];
           const Node& b = view.graph.nodes[static_cast<size_t>(other.product)];
           return view.canonical(a.inputs[0]) == view.canonical(b.inputs[0]) &&
                  view.shape(b.inputs[1]).size() >= 2 &&
                  view.shape(a.inputs[1]).size() == view.shape(b.inputs[1]).size();
         });
}

std::vector<Tensor> joined(const View& view, Builder& builder, const Node& node,
                           const std::vector<Tensor>& in) {
  const double by = scaled_product(view, node.inputs[0]).by;
  std::vector<Tensor> keys;
  Tensor queries;
  for (size_t i = 0; i < in.size(); ++i) {
    // The copies have the operands of the product at the same places.
    const Node* copy = &builder.graph().nodes[static_cast<size_t>(in[i].value().node)];
    const Role r = view.role(node.inputs[i]);
    if (r == Role::mul || r == Role::div)
      copy = &builder.graph().nodes[static_cast<size_t>(copy->inputs[0].node)];
    if (i == 0) queries = builder.tensor(copy->inputs[0]);
    keys.push_back(builder.tensor(copy->inputs[1]));
  }
  const Tensor scores = matmul(queries, concat(keys, -1, node.source));
  return {by == 1 ? scores : scores * by};
}

// Sums of a part of a tensor that was regrouped, and of others, regrouped back: (i j) -> i (h w) -> (i j).
// The label of a part cannot be taken apart, so the others are brought into its shape instead. The sums,
// outermost first, with the operand that leads on; none where `id` is no such reshape.
std::vector<Step> regrouped_sums(const View& view, NodeId id) {
  if (view.role(id) != Role::reshape ||
      !is_floating(view.graph.nodes[static_cast<size_t>(id)].outputs[0].dtype))
    return {};
  const Shape& shape = view.graph.nodes[static_cast<size_t>(id)].outputs[0].shape;
  Value at = view.graph.nodes[static_cast<size_t>(id)].inputs[0];
  std::vector<Step> sums;
  while (sums.size() < kMostTerms && (view.role(at) == Role::add || view.role(at) == Role::sub)) {
    const Node& sum = view.node(at);
    // The operand that has the whole shape leads on; of two, the one that was regrouped or is a sum.
    const auto leads = [&](size_t k) {
      const Role r = view.role(sum.inputs[k]);
      return view.shape(sum.inputs[k]) == view.shape(at) &&
             (r == Role::reshape || r == Role::add || r == Role::sub);
    };
    const size_t k = leads(0) ? 0 : 1;
    if (!leads(k)) return {};
    sums.push_back({at.node, -1, k});
    at = sum.inputs[k];
  }
  if (sums.empty() || view.role(at) != Role::reshape) return {};
  const Value part = view.node(at).inputs[0];
  if (view.shape(part) != shape || view.role(part) != Role::slice) return {};
  return view.shape(part) != view.shape(view.node(part).inputs[0]) ? sums : std::vector<Step>{};
}

std::vector<Tensor> regrouped(Builder& builder, const Node& node, Value grouped,
                              const std::vector<Step>& sums, const View& view) {
  const auto copy_of = [&](Value v) -> const Node& {
    return builder.graph().nodes[static_cast<size_t>(v.node)];
  };
  const Shape middle = builder.graph().type(grouped).shape;
  std::vector<Value> others;
  for (const Step& sum : sums) {
    others.push_back(copy_of(grouped).inputs[1 - sum.operand]);
    grouped = copy_of(grouped).inputs[sum.operand];
  }
  Tensor x = builder.tensor(copy_of(grouped).inputs[0]);
  for (size_t i = sums.size(); i-- > 0;) {
    const Node& old = view.graph.nodes[static_cast<size_t>(sums[i].old_node)];
    const Tensor other = reshape(broadcast_to(builder.tensor(others[i]), middle), node.outputs[0].shape);
    x = apply1(old.op->name(),
               sums[i].operand == 0 ? std::vector<Tensor>{x, other} : std::vector<Tensor>{other, x}, {},
               old.source);
  }
  return {x};
}

}  // namespace

std::shared_ptr<Graph> distributed(const View& view, PassContext& context) {
  const auto count = static_cast<NodeId>(view.graph.nodes.size());
  const SpellOut spell_out(view);
  const Blocks blocks(view);
  bool any = spell_out.any() || blocks.any();
  for (NodeId id = 0; id < count && !any; ++id)
    any = is_wide_einsum(view, id) || sum_operand(view, id) >= 0 || padded_axis(view, id) >= 0 ||
          joins_products(view, id) || !regrouped_sums(view, id).empty();
  if (!any) return nullptr;
  const auto builder = Builder::make(context.module, view.graph.name);
  const TraceScope trace(builder);
  std::vector<Tensor> arguments;
  for (size_t i = 0; i < view.graph.inputs.size(); ++i) {
    const Node& n = view.graph.nodes[static_cast<size_t>(view.graph.inputs[i])];
    arguments.push_back(builder->input(view.graph.input_name(i), n.outputs[0], n.source));
  }
  std::map<Value, Tensor> moved;  // what nodes read, for those that read more than their operands
  // Nodes come by address: their place in the graph is their distance from the first.
  const auto replace = [&](const Node& node, const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto id = static_cast<NodeId>(&node - view.graph.nodes.data());
    if (blocks.any())
      for (size_t k = 0; k < in.size(); ++k) moved.emplace(node.inputs[k], in[k]);
    if (blocks.applies(id)) return blocks.rewrite(id, moved);
    if (is_wide_einsum(view, id)) return narrowed(node, in);
    if (spell_out.applies(id)) return spell_out.rewrite(*builder, id, in);
    if (const int64_t axis = padded_axis(view, id); axis >= 0) return padded(node, in[0], axis);
    if (joins_products(view, id)) return joined(view, *builder, node, in);
    if (const auto sums = regrouped_sums(view, id); !sums.empty())
      return regrouped(*builder, node, in[0].value(), sums, view);
    const int k = sum_operand(view, id);
    return k < 0 ? std::vector<Tensor>{} : split(view, *builder, id, in, k);
  };
  const std::vector<Tensor> out = inline_graph(*builder, view.graph, arguments, replace);
  for (size_t i = 0; i < out.size(); ++i) builder->output(view.graph.output_names[i], out[i]);
  auto graph = std::make_shared<Graph>(std::move(builder->graph()));
  graph->guards = view.graph.guards;
  return graph;
}

}  // namespace fovea::match
