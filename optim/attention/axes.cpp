#include <algorithm>

#include "optim/attention/match.h"

namespace fovea::match {
namespace {

constexpr size_t kMostAxes = 7;            // of an attention node's operands
constexpr size_t kMostLabels = 8;          // of a tensor on the way into the node
constexpr int64_t kUnknownSize = 1 << 20;  // what a symbol counts as when sizes are compared

// The axes of the node, its element type, and the order of its result.
class Axes {
 public:
  Axes(Region& region, const Ref& probabilities, NodeId softmax, const Labels& keys, Refusal& why)
      : r_(region),
        view_(region.view),
        table_(region.table),
        e_(region.e),
        probabilities_(probabilities),
        softmax_(softmax),
        keys_(keys),
        why_(why) {}

  bool run() {
    if (!choose_axes()) return false;
    choose_type();
    choose_order();
    return true;
  }

 private:
  Labels resolved(const Layout& layout) const { return table_.resolve(flat(layout)); }
  Labels read_by(const Ref& ref) const { return resolved(ref.layout); }

  bool choose_axes() {
    const Pair& pair = r_.pairs[0];
    r_.keys.clear();
    // Random numbers are counted in the order of the tensor that they fall on.
    const std::vector<int32_t> reached = e_.reachable(r_.results());
    Labels order = read_by(probabilities_);
    for (int32_t x : reached)
      if (e_.at(x).code == Code::random) order = read_by(e_.streams[static_cast<size_t>(e_.at(x).index)].ref);
    for (LabelId l : read_by(probabilities_))
      if (!contains(order, l)) order.insert(order.begin(), l);
    const Labels keys = table_.resolve(keys_);
    for (LabelId l : order)
      if (contains(keys, l)) r_.keys.push_back(l);
    for (LabelId l : keys)
      if (!contains(r_.keys, l)) r_.keys.push_back(l);
    Labels used;
    const auto add = [&used](const Labels& labels) {
      for (LabelId l : labels)
        if (!contains(used, l)) used.push_back(l);
    };
    for (int32_t x : reached) {
      const Expr& at = e_.at(x);
      if (at.code == Code::input) add(read_by(e_.leaves[static_cast<size_t>(at.index)].ref));
      if (at.code == Code::iota) add(table_.resolve(e_.places[static_cast<size_t>(at.index)].labels));
      if (at.code == Code::random) add(read_by(e_.streams[static_cast<size_t>(at.index)].ref));
    }
    const Labels v = read_by(r_.v);
    Labels rows, k;
    for (const Pair& p : r_.pairs) {
      const Labels own = read_by(p.k), channels = table_.resolve(p.inner);
      k.insert(k.end(), own.begin(), own.end());
      add(without(read_by(p.q), channels));
      add(without(own, channels));
    }
    for (LabelId l : order)
      if (contains(used, l) && !contains(keys, l)) rows.push_back(l);
    for (LabelId l : used)
      if (!contains(rows, l) && !contains(keys, l))
        return why_.because(Reason::axis, pair.node, "the scores have an axis that the probabilities lack",
                            "scores and probabilities over the same axes");
    // The query axis: the longest that neither keys nor values have, the last of several.
    LabelId query = -1;
    int64_t longest = -1;
    for (LabelId l : rows) {
      if (contains(k, l) || contains(v, l)) continue;
      const int64_t n = table_.size(l).is_const() ? table_.size(l).value() : kUnknownSize;
      if (n >= longest) query = l, longest = n;
    }
    if (query >= 0) r_.query = whole_query(query, rows, k, v, reached);
    r_.batch = without(rows, r_.query);
    r_.channels = without(without(v, rows), r_.keys);
    size_t most = std::max(r_.query.size(), r_.keys.size()) + r_.channels.size();
    for (const Pair& p : r_.pairs)
      most = std::max(most, std::max(r_.query.size(), r_.keys.size()) + table_.resolve(p.inner).size());
    most = std::max(most, r_.query.size() + r_.keys.size());
    if (r_.batch.size() + 2 > kMostAxes)
      return why_.because(Reason::backend, pair.node,
                          std::to_string(r_.batch.size()) + " batch axes are more than the " +
                              std::to_string(kMostAxes - 2) + " that attention takes",
                          "fewer batch axes", "too many batch axes");
    if (r_.batch.size() + most > kMostLabels)
      return why_.because(Reason::backend, pair.node,
                          "reshapes cut batch and tokens into " + std::to_string(r_.batch.size() + most) +
                              " axes, more than the " + std::to_string(kMostLabels) + " that attention takes",
                          "a mask and biases whose axes are not cut into parts", "too many axes");
    return true;
  }

  // The query axis may have been cut by a leaf that is coarser than it (a table of blocks). Put together
  // again where nobody needs the finer part alone.
  Labels whole_query(LabelId query, const Labels& rows, const Labels& k, const Labels& v,
                     const std::vector<int32_t>& reached) {
    const Labels group = table_.resolve(Labels{table_.root(query)});
    if (group.size() < 2 || group.back() != query || !contains_all(rows, group) || contains_any(k, group) ||
        contains_any(v, group))
      return {query};
    const auto keeps = [&](const Labels& labels) {
      if (!contains(labels, query)) return true;
      const auto at = std::search(labels.begin(), labels.end(), group.begin(), group.end());
      return at != labels.end();
    };
    bool whole = keeps(read_by(r_.root)) && keeps(rows);
    for (const Pair& p : r_.pairs) whole = whole && keeps(read_by(p.q));
    for (int32_t x : reached) {
      const Expr& at = e_.at(x);
      if (at.code == Code::input)
        whole = whole && keeps(read_by(e_.leaves[static_cast<size_t>(at.index)].ref));
      if (at.code == Code::iota)
        whole = whole && keeps(table_.resolve(e_.places[static_cast<size_t>(at.index)].labels));
      if (at.code == Code::random)
        whole = whole && keeps(read_by(e_.streams[static_cast<size_t>(at.index)].ref));
    }
    return whole ? group : Labels{query};
  }

  // ---- element types and memory order

  bool has_wide_step() const {
    for (NodeId id : {softmax_, r_.pairs[0].node})
      if (view_.graph.nodes[static_cast<size_t>(id)].outputs[0].dtype == DType::f64) return true;
    return view_.dtype(probabilities_.value) == DType::f64;
  }
  // Products of half types are exact in f32, so widening before them says nothing.
  void narrow(Ref& ref, DType type) const {
    if (view_.role(ref.value) != Role::cast) return;
    const Value in = view_.node(ref.value).inputs[0];
    if (view_.dtype(in) == type && view_.dtype(ref.value) == DType::f32) {
      ref.value = in;
      ref = deepest(view_, table_, ref);
    }
  }
  void choose_type() {
    Pair& pair = r_.pairs[0];
    const DType v = view_.dtype(r_.v.value);
    if (v == DType::f16 || v == DType::bf16) {
      Ref q = pair.q, k = pair.k;
      narrow(q, v);
      narrow(k, v);
      if (view_.dtype(q.value) == v && view_.dtype(k.value) == v) pair.q = q, pair.k = k;
    }
    r_.dtype = v;
    for (const Pair& p : r_.pairs)
      r_.dtype = promote(r_.dtype, promote(view_.dtype(p.q.value), view_.dtype(p.k.value)));
    if (has_wide_step()) r_.dtype = DType::f64;
  }

  // The order of the result that makes what follows free: up to the next reshape.
  void choose_order() {
    Layout layout = r_.root.layout;
    NodeId at = r_.root.value.node;
    for (int steps = 0; steps < 16; ++steps) {
      const auto& uses = view_.uses(at);
      if (uses.size() != 1) break;
      const Role role = view_.role(uses[0]);
      if (role == Role::permute) {
        Layout next;
        for (int64_t a : view_.graph.nodes[static_cast<size_t>(uses[0])].attrs.ints("axes"))
          next.push_back(layout[static_cast<size_t>(a)]);
        layout = std::move(next);
      } else if (role != Role::same && role != Role::cast) {
        break;
      }
      at = uses[0];
    }
    r_.result_order = resolved(layout);
  }

  Region& r_;
  const View& view_;
  LabelTable& table_;
  Expressions& e_;
  const Ref& probabilities_;
  NodeId softmax_;
  const Labels& keys_;
  Refusal& why_;
};

}  // namespace

bool choose_axes(Region& region, const Ref& probabilities, NodeId softmax, const Labels& keys, Refusal& why) {
  return Axes(region, probabilities, softmax, keys, why).run();
}

}  // namespace fovea::match
