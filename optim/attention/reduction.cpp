#include "optim/attention/reduction.h"

#include <algorithm>

namespace fovea::match {
namespace {

constexpr int kMostSteps = 64;

// The operand of an elementwise operation in which the scores are: the largest, the first of several.
size_t largest_operand(const View& view, Value v) {
  const std::vector<Value>& in = view.node(v).inputs;
  const Dim all = product(view.shape(v));
  for (size_t k = 0; k < in.size(); ++k)
    if (!view.number(in[k]) && product(view.shape(in[k])) == all) return k;
  return 0;
}

}  // namespace

bool reduces_queries(const View& view, NodeId reduction) {
  const Node& n = view.graph.nodes[static_cast<size_t>(reduction)];
  LabelTable table;
  Ref at{n.inputs[0], fresh_layout(table, view.shape(n.inputs[0]))};
  Labels reduced, keys;
  for (int64_t axis : n.attrs.ints("axes")) {
    const Labels& labels = at.layout[static_cast<size_t>(axis)].labels;
    reduced.insert(reduced.end(), labels.begin(), labels.end());
  }
  for (int steps = 0; steps < kMostSteps; ++steps) {
    if (const auto c = contraction_at(view, table, at)) {
      const Labels a = table.resolve(flat(c->a.layout)), b = table.resolve(flat(c->b.layout));
      const Labels over = table.resolve(reduced);
      const auto only = [&](const Labels& x, const Labels& y) {
        return contains_any(without(x, y), over) && contains_any(y, table.resolve(keys));
      };
      return only(a, b) || only(b, a);
    }
    if (auto behind = behind_view(view, table, at)) {
      at = std::move(*behind);
      continue;
    }
    const Node& node = view.node(at.value);
    const bool softmax = view.role(at.value) == Role::softmax;
    if (node.inputs.empty() || (!softmax && !node.op->is_pointwise() && view.role(at.value) != Role::cast))
      return false;
    if (softmax) keys = at.layout[static_cast<size_t>(node.attrs.integer("axis"))].labels;
    at = operand(view, at, softmax ? 0 : largest_operand(view, at.value));
  }
  return false;
}

}  // namespace fovea::match
