#include "optim/attention/near_misses.h"

#include <algorithm>

namespace fovea::match {
namespace {

// An operation of all queries with all keys, channel by channel: both operands are broadcast.
bool pairs_tokens(const View& view, NodeId id) {
  const Role r = view.role(id);
  const Node& n = view.graph.nodes[static_cast<size_t>(id)];
  if (r != Role::mul && r != Role::sub) return false;
  const Dim all = product(view.shape({id, 0}));
  const auto narrower = [&](Value v) {
    while (view.role(v) == Role::broadcast || view.role(v) == Role::same) v = view.node(v).inputs[0];
    return view.shape(v).size() > 1 && product(view.shape(v)) != all;
  };
  return n.outputs[0].shape.size() > 2 && narrower(n.inputs[0]) && narrower(n.inputs[1]);
}

// The next softmax above, or -1.
NodeId softmax_above(const View& view, NodeId below) {
  std::vector<NodeId> open{below}, seen;
  while (!open.empty() && seen.size() < 64) {
    const NodeId at = open.back();
    open.pop_back();
    if (std::find(seen.begin(), seen.end(), at) != seen.end()) continue;
    seen.push_back(at);
    const Role role = view.role(at);
    if (role == Role::softmax || role == Role::exp || role == Role::log_softmax) return at;
    for (const Value& v : view.graph.nodes[static_cast<size_t>(at)].inputs)
      if (view.tainted(v)) open.push_back(v.node);
  }
  return -1;
}

}  // namespace

bool contraction_above(const View& view, const std::vector<Term>& exponent) {
  std::vector<NodeId> open, seen;
  for (const Term& t : exponent) open.push_back(t.ref.value.node);
  while (!open.empty() && seen.size() < 256) {
    const NodeId id = open.back();
    open.pop_back();
    if (std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
    seen.push_back(id);
    const Role r = view.role(id);
    if (r == Role::matmul || r == Role::linear || r == Role::einsum || pairs_tokens(view, id)) return true;
    for (const Value& v : view.graph.nodes[static_cast<size_t>(id)].inputs) open.push_back(v.node);
  }
  return false;
}

void refuse_blocked(const View& view, const Product& product, Verdict& out) {
  const NodeId id = product.blocked;
  const std::string& op = view.graph.nodes[static_cast<size_t>(id)].op->name();
  out.softmax = softmax_above(view, id);
  // Without a softmax above it this is no candidate; a sum of logarithms is a loss.
  if (out.softmax < 0 || view.role(out.softmax) == Role::exp) return;
  const bool logarithm = view.role(out.softmax) == Role::log_softmax;
  if (logarithm && view.role(product.contraction.node) == Role::sum) return;
  const Value scores = view.graph.nodes[static_cast<size_t>(out.softmax)].inputs[0];
  out.candidate = contraction_above(view, {{{scores, {}}, 1}});
  if (logarithm)
    out.why = {Reason::non_pointwise, out.softmax, "log_softmax",
               "the product with the values reads the logarithms of the probabilities",
               "softmax(scores), or exp(log_softmax(scores)), then the product with the values"};
  else
    out.why = no_factor(id, op);
}

}  // namespace fovea::match
