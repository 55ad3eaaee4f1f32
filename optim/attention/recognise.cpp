#include "optim/attention/recognise.h"

#include <algorithm>
#include <unordered_set>

#include "optim/attention/combine.h"
#include "optim/attention/describe.h"
#include "optim/attention/distribute.h"
#include "optim/attention/emit.h"
#include "optim/attention/reduction.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

using match::Region;
using match::Role;
using match::Verdict;
using match::View;

constexpr size_t kMostBehind = 32;  // nodes from a softmax without a record down to a product
constexpr int kMostSteps = 12;      // from a product with values down to what divides it

// All candidates of a graph.
class Search {
 public:
  explicit Search(const View& view) : view_(view), forms_(view.module) { run(); }

  int64_t found() const { return static_cast<int64_t>(fused_.size()); }

  /// Writes the records and hands the regions over.
  std::vector<std::unique_ptr<Region>> take(PassContext& context) {
    std::vector<std::unique_ptr<Region>> regions;
    drop_unread();
    for (Verdict& v : verdicts_) {
      if (context.records) {
        context.records->push_back(match::record_of(view_, v));
        if (v.region) context.records->back().sentence += escape_of(v);
      }
      if (v.region) regions.push_back(std::move(v.region));
    }
    return regions;
  }

 private:
  // Tries the contraction itself and what divides it further down; both operands may be probabilities.
  void visit(NodeId id) {
    const Node& n = view_.graph.nodes[static_cast<size_t>(id)];
    if (!divides_itself(id) &&
        std::none_of(n.inputs.begin(), n.inputs.end(), [&](Value v) { return view_.tainted(v); }))
      return;
    Verdict best;
    Value at{id, 0};
    for (int steps = 0; steps < kMostSteps; ++steps) {
      for (int side : {0, 1}) {
        Verdict v = match::match(view_, forms_, at, side);
        if (weight_of(v) > weight_of(best)) best = std::move(v);
        if (best.region) break;
      }
      // Only an exponential without its sum looks further.
      if (best.region || (best.candidate && best.why.reason != Reason::denominator)) break;
      const NodeId next = below(at.node);
      if (next < 0) break;
      at = {next, 0};
    }
    if (!best.candidate && !best.region) return;
    // The sum that divides is itself a sum of products where the exponentials are weighted.
    if (!best.region && view_.role(id) == Role::sum && best.why.reason == Reason::denominator &&
        best.softmax == id)
      return;
    if (best.region) {
      if (fused_.count(best.region->root.value.node)) return;
      fused_.insert(best.region->root.value.node);
      softmaxes_.insert(best.softmax);
    }
    verdicts_.push_back(std::move(best));
  }

  // Columns of one product divided by another column of it.
  bool divides_itself(NodeId id) const {
    const Node& n = view_.graph.nodes[static_cast<size_t>(id)];
    return view_.role(id) == Role::div && view_.weighted(n.inputs[0]) && view_.weighted(n.inputs[1]);
  }

  // The next node on the way down, where there is but one that only divides, scales or moves.
  NodeId below(NodeId id) const {
    NodeId found = -1;
    for (NodeId use : view_.uses(id)) {
      switch (view_.role(use)) {
        case Role::div:
        case Role::mul:
        case Role::where:
        case Role::reshape:
        case Role::permute:
        case Role::broadcast:
        case Role::same:
        case Role::cast:
          if (found >= 0) return -1;
          found = use;
          break;
        default:
          return -1;
      }
    }
    return found;
  }

  void run() {
    const auto count = static_cast<NodeId>(view_.graph.nodes.size());
    for (NodeId id = 0; id < count; ++id)
      if (is_contraction(view_.role(id)) || divides_itself(id)) visit(id);
    // An exponential that is part of a fused one elsewhere says nothing of its own.
    std::erase_if(verdicts_, [this](const Verdict& v) {
      return !v.region && v.why.reason == Reason::denominator && softmaxes_.count(v.softmax);
    });
    std::unordered_set<NodeId> known;
    for (const Verdict& v : verdicts_) known.insert(v.softmax);
    for (NodeId id = 0; id < count; ++id)
      if (view_.role(id) == Role::softmax && !known.count(id)) visit_unreached(id);
  }

  // A softmax that no product with values led to: what stands between them is reported.
  void visit_unreached(NodeId softmax) {
    if (!product_above(softmax)) return;
    const Node& n = view_.graph.nodes[static_cast<size_t>(softmax)];
    const Dim& keys = n.outputs[0].shape[static_cast<size_t>(n.attrs.integer("axis"))];
    if (keys == Dim(1)) return;
    struct Step {
      NodeId id;
      NodeId stopped;  // the first node on the way that is no factor, or -1
    };
    std::vector<Step> open{{softmax, -1}};
    std::unordered_set<NodeId> seen;
    while (!open.empty() && seen.size() < kMostBehind) {
      const Step at = open.back();
      open.pop_back();
      for (NodeId use : view_.uses(at.id)) {
        const Role r = view_.role(use);
        if (r == Role::matmul || r == Role::linear || r == Role::einsum) {
          return report_between(softmax, at.stopped >= 0 ? at.stopped : use);
        }
        const Shape& shape = view_.graph.nodes[static_cast<size_t>(use)].outputs[0].shape;
        const std::string& op = view_.graph.nodes[static_cast<size_t>(use)].op->name();
        const bool has_keys = std::find(shape.begin(), shape.end(), keys) != shape.end() ||
                              r == Role::slice || r == Role::reshape || r == Role::concat || op == "pad";
        if (!has_keys || r == Role::softmax || !seen.insert(use).second) continue;
        open.push_back({use, at.stopped < 0 && !view_.tainted({use, 0}) ? use : at.stopped});
      }
    }
  }
  void report_between(NodeId softmax, NodeId between) {
    const std::string& op = view_.graph.nodes[static_cast<size_t>(between)].op->name();
    const Role r = view_.role(between);
    Verdict v;
    v.candidate = true;
    v.softmax = softmax;
    v.scores = {softmax, 0};
    if ((r == Role::shift || r == Role::max || r == Role::sum) && match::reduces_queries(view_, between))
      v.why = {
          Reason::axis, between, "",
          "the weights of several queries go into one by a " + op + " before the product with the values",
          "the product with the values for every query, then the " + op};
    else if (r == Role::shift || r == Role::max || r == Role::sum)
      v.why = {Reason::head_mix, between, "",
               "between the softmax and the product with the values stands a " + op +
                   " over other axes than the keys, such as heads",
               "the product with the values for every head, then the " + op};
    else if (is_contraction(r))
      v.why = {Reason::axis, between, "",
               "the product with the values, " + op +
                   ", sums the weights over another axis than the keys, too, or over several",
               "the product with the values over the keys alone, then sums over other axes"};
    else
      v.why = match::no_factor(between, op);
    verdicts_.push_back(std::move(v));
  }
  // True where a product of two tensors lies above, through a few operations.
  bool product_above(NodeId id) const {
    std::vector<NodeId> open{id};
    std::unordered_set<NodeId> seen;
    while (!open.empty() && seen.size() < kMostBehind) {
      const NodeId at = open.back();
      open.pop_back();
      const Role r = view_.role(at);
      if (r == Role::matmul || r == Role::linear || r == Role::einsum) return true;
      if (!seen.insert(at).second) continue;
      for (const Value& v : view_.graph.nodes[static_cast<size_t>(at)].inputs) open.push_back(v.node);
    }
    return false;
  }

  // Regions that nobody reads once all others stand in the place of their operations are none.
  void drop_unread() {
    std::vector<const Region*> at(view_.graph.nodes.size(), nullptr);
    bool any_region = false;
    for (const Verdict& v : verdicts_)
      if (v.region) at[static_cast<size_t>(v.region->root.value.node)] = v.region.get(), any_region = true;
    std::vector<bool>& live = live_;
    live.assign(view_.graph.nodes.size(), false);
    for (const Value& v : view_.graph.outputs) live[static_cast<size_t>(v.node)] = true;
    for (size_t id = live.size(); id-- > 0;) {
      const Node& n = view_.graph.nodes[id];
      if (!live[id] && !n.op->has_side_effect()) continue;
      for (const Value& v : at[id] ? match::values_read(*at[id]) : n.inputs)
        live[static_cast<size_t>(v.node)] = true;
    }
    // So are refusals of what such regions have made needless.
    std::erase_if(verdicts_, [&](const Verdict& v) {
      const NodeId told = v.region ? v.region->root.value.node : v.why.node;
      return told >= 0 && !live[static_cast<size_t>(told)] && (v.region || any_region);
    });
  }

  // How weights and scores that are read elsewhere, too, get there: nothing of them is kept by the node.
  std::string escape_of(const Verdict& v) const {
    const auto is_live = [this](NodeId id) { return live_[static_cast<size_t>(id)]; };
    if (is_live(v.scores.node))
      return "; the weights are read elsewhere, too: there they are computed again, by your own operations";
    if (is_live(v.region->pairs[0].node))
      return "; the scores are read elsewhere, too: there they are computed again, by your own operations";
    return "";
  }

  const View& view_;
  match::ConstantForms forms_;
  std::vector<Verdict> verdicts_;
  std::vector<bool> live_;  // nodes that are left once regions stand in the place of their operations
  std::unordered_set<NodeId> fused_;      // roots
  std::unordered_set<NodeId> softmaxes_;  // of those
};

// The graph with attention nodes in the place of regions.
class Rebuild {
 public:
  Rebuild(const Graph& graph, PassContext& context) : old_(graph), context_(context) {}

  std::shared_ptr<Graph> run(const std::vector<std::unique_ptr<Region>>& regions) {
    out_->name = old_.name;
    out_->output_names = old_.output_names;
    out_->guards = old_.guards;
    out_->nodes.reserve(old_.nodes.size());
    moved_.resize(old_.nodes.size());
    std::vector<Region*> at(old_.nodes.size(), nullptr);
    for (const auto& r : regions) at[static_cast<size_t>(r->root.value.node)] = r.get();
    for (size_t id = 0; id < old_.nodes.size(); ++id) {
      const auto self = static_cast<NodeId>(id);
      like_ = self;
      if (at[id])
        moved_[id] = match::emit(
            *at[id],
            [this](const char* op, std::vector<Value> in, Attrs attrs) {
              return add(op, std::move(in), std::move(attrs));
            },
            [this](Value v) { return moved(v); },
            [this](Value v) -> const TensorType& { return out_->type(v); });
      else
        moved_[id] = {copy(self), 0};
    }
    for (NodeId id : old_.inputs) out_->inputs.push_back(moved_[static_cast<size_t>(id)].node);
    for (const Value& v : old_.outputs) out_->outputs.push_back(moved(v));
    drop_dead_nodes(*out_);
    return out_;
  }

 private:
  Value moved(Value v) const {
    const Value to = moved_[static_cast<size_t>(v.node)];
    return {to.node, to.index + v.index};
  }
  NodeId copy(NodeId id) {
    Node n = old_.nodes[static_cast<size_t>(id)];
    for (Value& v : n.inputs) v = moved(v);
    out_->nodes.push_back(std::move(n));
    return static_cast<NodeId>(out_->nodes.size()) - 1;
  }
  Value add(const char* op, std::vector<Value> inputs, Attrs attrs) {
    const OpDecl& decl = find_op(op);
    std::vector<TensorType> types;
    for (const Value& v : inputs) types.push_back(out_->type(v));
    const size_t before = out_->guards.size();
    std::vector<TensorType> outputs = decl.check(attrs, types, context_.module.get(), &out_->guards);
    const Node& like = old_.nodes[static_cast<size_t>(like_)];
    for (size_t i = before; i < out_->guards.size(); ++i) out_->guards[i].source = like.source;
    out_->nodes.push_back(
        {&decl, std::move(attrs), std::move(inputs), std::move(outputs), like.source, like.scope});
    return {static_cast<NodeId>(out_->nodes.size()) - 1, 0};
  }

  const Graph& old_;
  PassContext& context_;
  std::shared_ptr<Graph> out_ = std::make_shared<Graph>();
  std::vector<Value> moved_;
  NodeId like_ = 0;
};

std::shared_ptr<Graph> replaced(const Graph& graph, Search& search, PassContext& context) {
  const auto regions = search.take(context);
  if (regions.empty()) return nullptr;
  context.fired("attention.softmax", static_cast<int64_t>(regions.size()));
  return match::combined(Rebuild(graph, context).run(regions), context);
}

}  // namespace

std::shared_ptr<Graph> recognise_attention(const Graph& graph, PassContext& context) {
  View view(graph, *context.module);
  if (!view.has_exponential()) return nullptr;
  view.prepare();
  Search search(view);
  // Sums of probabilities, einsums of many operands and the like may be written in a way that shows more, and
  // that once again.
  const auto other = match::distributed(view, context);
  if (!other) return replaced(graph, search, context);
  View other_view(*other, *context.module);
  other_view.prepare();
  Search other_search(other_view);
  if (const auto third = match::distributed(other_view, context)) {
    View third_view(*third, *context.module);
    third_view.prepare();
    Search third_search(third_view);
    if (third_search.found() > std::max(search.found(), other_search.found()))
      return replaced(*third, third_search, context);
  }
  if (other_search.found() > search.found()) return replaced(*other, other_search, context);
  return replaced(graph, search, context);
}

}  // namespace fovea
