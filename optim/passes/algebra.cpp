#include "optim/passes/algebra.h"

#include <bit>
#include <cmath>
#include <unordered_map>

#include "optim/passes/algebra_rules.h"

namespace fovea {
namespace {

const std::vector<AlgebraRule>& all_rules() {
  static const auto* rules = [] {
    auto* all = new std::vector<AlgebraRule>;
    for (const auto* list : {&constant_rules(), &pointwise_rules(), &movement_rules()})
      all->insert(all->end(), list->begin(), list->end());
    return all;
  }();
  return *rules;
}

using RulesByOp = std::unordered_map<const OpDecl*, std::vector<size_t>>;

const RulesByOp& rules_by_op() {
  static const auto* table = [] {
    auto* t = new RulesByOp;
    for (size_t r = 0; r < all_rules().size(); ++r)
      for (const char* op : all_rules()[r].ops) (*t)[&find_op(op)].push_back(r);
    return t;
  }();
  return *table;
}

// Ops whose results are sums of squares, exponentials and the like: zero, if at all, is +0.
bool result_is_plus_zero(const std::string& op) {
  return op == "exp" || op == "sigmoid" || op == "softmax" || op == "square" || op == "iota" ||
         op == "extent" || op == "uniform";
}

bool only_moves(const std::string& op) {
  return op == "reshape" || op == "permute" || op == "broadcast_to" || op == "slice" || op == "concat" ||
         op == "identity" || op == "copy" || op == "stop_gradient" || op == "maximum" || op == "minimum";
}

}  // namespace

const std::vector<const char*>& algebra_rules() {
  static const auto* names = [] {
    auto* list = new std::vector<const char*>;
    for (const AlgebraRule& rule : all_rules()) list->push_back(rule.name);
    return list;
  }();
  return *names;
}

bool AlgebraView::uniform(Value v, double& number) const {
  const Node& n = node(v);
  if (n.op == &full_op) {
    number = n.attrs.number("value");
    // As the kernel converts it.
    if (n.outputs[0].dtype != DType::f64)
      number = Array::full(DType::f64, {}, number).cast(n.outputs[0].dtype).item();
    return true;
  }
  if (n.op != &constant) return false;
  const Array& array = rewriter_.context().module->constants[n.attrs.integer("index")];
  if (array.size() != 1 || array.dtype() == DType::i64) return false;  // not every i64 is a double
  number = array.item();
  return true;
}

bool AlgebraView::is_number(Value v, double number) const {
  double found = 0;
  return uniform(v, found) && std::bit_cast<uint64_t>(found) == std::bit_cast<uint64_t>(number);
}

bool AlgebraView::never_minus_zero(Value v) const {
  return !is_floating(type(v).dtype) ||
         (static_cast<size_t>(v.node) < never_minus_zero_.size() && never_minus_zero_[v.node] != 0);
}

void AlgebraView::learn(NodeId id) {
  if (never_minus_zero_.size() <= static_cast<size_t>(id)) never_minus_zero_.resize(id + 1);
  never_minus_zero_[id] = learn_never_minus_zero(node(id));
}

bool AlgebraView::learn_never_minus_zero(const Node& n) const {
  const auto never = [&](size_t i) { return never_minus_zero(n.inputs[i]); };
  const std::string& op = n.op->name();
  if (n.op == &full_op) return !std::signbit(n.attrs.number("value")) || n.attrs.number("value") != 0;
  if (result_is_plus_zero(op)) return true;
  if (n.op == &mul) return n.inputs[0] == n.inputs[1];
  if (n.op == &add_op) return never(0) || never(1);
  if (n.op == &sub) return never(0);
  if (n.op == &where) return never(1) && never(2);
  if (n.op == &cast) return never(0);
  if (!only_moves(op)) return false;
  for (size_t i = 0; i < n.inputs.size(); ++i)
    if (!never(i)) return false;
  return true;
}

Value AlgebraView::as_result(Value v, NodeId id) {
  const TensorType& want = node(id).outputs[0];
  if (type(v) == want) return v;
  if (type(v).dtype != want.dtype) return kNone;
  return add(broadcast_to, {v}, {{"shape", Shape(want.shape)}}, id);
}

Value AlgebraView::full(double number, NodeId like_result_of) {
  const TensorType type = node(like_result_of).outputs[0];
  return add(full_op, {}, {{"shape", type.shape}, {"value", number}, {"dtype", type.dtype}}, like_result_of);
}

std::shared_ptr<Graph> algebra(const Graph& graph, PassContext& context) {
  const std::vector<AlgebraRule>& rules = all_rules();
  const RulesByOp& by_op = rules_by_op();
  Rewriter rewriter(graph, context);
  AlgebraView view(rewriter);
  std::vector<int64_t> fired(rules.size());
  auto out = rewriter.run([&](NodeId id) -> std::vector<Value> {
    view.learn(id);
    const auto at = by_op.find(rewriter.node(id).op);
    if (at == by_op.end()) return {};
    for (size_t r : at->second) {
      if (rules[r].after_gradients && !view.expanded()) continue;
      const Value with = rules[r].apply(view, id);
      if (!with) continue;
      ++fired[r];
      return {with};
    }
    return {};
  });
  for (size_t r = 0; r < rules.size(); ++r) context.fired(rules[r].name, fired[r]);
  return out;
}

}  // namespace fovea
