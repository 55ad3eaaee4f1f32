#include "optim/passes/regions_groups.h"

#include <algorithm>

#include "graph/ir/op.h"

namespace fovea {
namespace {

constexpr size_t kMostOperands = 16, kMostWholeOperands = 6, kMostMembers = 48, kMostSums = 6;
constexpr int64_t kMostInstructions = 160;
constexpr int64_t kFewColumns = 8, kFewElements = 1024;

bool contains(const std::vector<Value>& list, Value v) {
  return std::find(list.begin(), list.end(), v) != list.end();
}

// Too few elements for a pass over memory to count.
bool is_small(const Shape& space) {
  int64_t elements = 1;
  for (const Dim& d : space) {
    if (!d.is_const()) return false;
    if (d.value() >= kFewElements) return false;
    elements *= d.value();
  }
  return elements < kFewElements;
}

// The type that real members of a node's region compute in; `typed` false: no real numbers.
bool compute_of(const Graph& graph, const Node& node, DType& compute, bool& typed) {
  typed = false;
  const auto see = [&](DType t) {
    if (t != DType::f32 && t != DType::f64) return true;
    if (typed && compute != t) return false;
    compute = t;
    typed = true;
    return true;
  };
  for (const Value& v : node.inputs)
    if (!see(graph.type(v).dtype)) return false;
  return see(node.outputs[0].dtype);
}

// Sums of a value of shape `from`, seen as `to`, over `axes` of `to`: which axes of `from` are summed.
struct SummedAxes {
  int64_t outer = 0, columns = 0;
  MapResult kind = MapResult::sum_first;
};
bool summed_axes(const Shape& from, const Shape& to, const Ints& axes, SummedAxes& out) {
  const auto rank = static_cast<int64_t>(to.size()), full = static_cast<int64_t>(from.size());
  const auto count = static_cast<int64_t>(axes.size());
  if (count == 0 || count >= rank) return false;
  for (int64_t k = 1; k < count; ++k)
    if (axes[k] != axes[0] + k) return false;
  const int64_t before = axes[0], after = rank - axes[0] - count;  // axes kept on either side
  const bool same = from == to;
  if (!same && (before > 0) == (after > 0)) return false;
  if (before + after > full) return false;
  for (int64_t d = 0; d < before; ++d)
    if (from[d] != to[d]) return false;
  for (int64_t d = 0; d < after; ++d)
    if (from[full - 1 - d] != to[rank - 1 - d]) return false;
  out.kind = after == 0 ? MapResult::sum_last : MapResult::sum_first;
  out.columns = after == 0 ? full - before : after;
  out.outer = after == 0 ? 0 : before;
  return out.columns == 1 && full - out.outer > 1;
}

}  // namespace

RegionGroups::RegionGroups(const Graph& graph, const Module& module)
    : graph_(graph),
      module_(module),
      forms_of_(graph.nodes.size(), nullptr),
      group_(graph.nodes.size(), -1),
      sum_group_(graph.nodes.size(), -1),
      time_(graph.nodes.size(), 0) {
  for (size_t id = 0; id < graph.nodes.size(); ++id) visit(static_cast<NodeId>(id));
}

int32_t RegionGroups::root(int32_t g) const {
  while (parent_[g] != g) g = parent_[g] = parent_[parent_[g]];
  return g;
}

Value RegionGroups::behind(Value v) const {
  while (graph_.nodes[v.node].op->name() == "broadcast_to") v = graph_.nodes[v.node].inputs[0];
  return v;
}

int32_t RegionGroups::available(Value v) const {
  const int32_t g = of(v.node), s = of_sum(v.node);
  if (g >= 0) return regions_[g].time + 1;
  return s >= 0 ? regions_[s].time + 1 : time_[v.node];
}

void RegionGroups::visit(NodeId id) {
  if (!try_sum(id) && !try_member(id)) outside(id);
}

// What it reads is finished when it runs.
void RegionGroups::outside(NodeId id) {
  for (const Value& v : graph_.nodes[id].inputs) {
    time_[id] = std::max(time_[id], available(v));
    for (int32_t g : {of(v.node), of_sum(v.node)})
      if (g >= 0) regions_[g].read = true;
  }
}

bool RegionGroups::may_join(const Region& g, const Shape& space, DType compute, bool typed) const {
  return *g.space == space && !(typed && g.typed && g.compute != compute) &&
         g.members.size() < kMostMembers && g.instructions < kMostInstructions;
}

bool RegionGroups::try_member(NodeId id) {
  const Node& node = graph_.nodes[id];
  for (const Value& v : node.inputs)
    if (graph_.nodes[v.node].op->has_side_effect()) return false;
  const tiles::Program* form = forms_.of(graph_, node);
  if (!form) return false;
  DType compute = DType::f32;
  bool typed = false;
  if (!compute_of(graph_, node, compute, typed)) return false;
  const Shape& space = node.outputs[0].shape;
  if (is_small(space)) return false;
  std::vector<Value> inputs;
  std::vector<int32_t> groups;
  for (const Value& v : node.inputs) {
    const Value x = behind(v);
    inputs.push_back(x);
    const int32_t g = of(x.node);
    const DType t = graph_.type(x).dtype;
    const bool rounded = is_floating(t) && t != DType::f32 && t != DType::f64;
    if (g < 0 || rounded || graph_.type(x).shape != space) continue;
    if (may_join(regions_[g], space, compute, typed) &&
        std::find(groups.begin(), groups.end(), g) == groups.end())
      groups.push_back(g);
  }
  forms_of_[id] = form;
  return join(id, inputs, std::move(groups), compute, typed);
}

bool RegionGroups::join(NodeId id, const std::vector<Value>& inputs, std::vector<int32_t> groups,
                        DType compute, bool typed) {
  const Shape& space = graph_.nodes[id].outputs[0].shape;
  const auto inside = [&](Value v) {
    const int32_t g = of(v.node);
    return g >= 0 && graph_.type(v).shape == space &&
           std::find(groups.begin(), groups.end(), g) != groups.end();
  };
  // Groups that cannot be had together go, the last first, until the rest fits.
  for (;; groups.pop_back()) {
    int32_t time = 0;
    size_t members = 1, sums = 0;
    int64_t instructions = static_cast<int64_t>(forms_of_[id]->code.size());
    std::vector<Value> operands;
    for (const Value& v : inputs)
      if (!inside(v)) {
        time = std::max(time, available(v));
        if (!contains(operands, v)) operands.push_back(v);
      }
    DType type = compute;
    bool known = typed, fits = true;
    int64_t columns = 0, outer = 0;
    for (int32_t g : groups) {
      const Region& r = regions_[g];
      time = std::max(time, r.time);
      members += r.members.size();
      sums += r.sums.size();
      instructions += r.instructions;
      for (const Value& v : r.operands)
        if (!contains(operands, v)) operands.push_back(v);
      fits = fits && !(known && r.typed && r.compute != type);
      if (r.typed) type = r.compute, known = true;
      if (!r.sums.empty()) {
        fits = fits && (columns == 0 || (columns == r.columns && outer == r.outer));
        columns = r.columns;
        outer = r.outer;
      }
    }
    for (int32_t g : groups) fits = fits && (regions_[g].time == time || !regions_[g].read);
    // An operand that another of the groups makes would be read before it is there.
    for (const Value& v : operands)
      fits = fits && !inside(v) &&
             (of_sum(v.node) < 0 || std::find(groups.begin(), groups.end(), of_sum(v.node)) == groups.end());
    size_t whole = 0;
    for (const Value& v : operands) whole += graph_.type(v).shape == space;
    fits = fits && members <= kMostMembers && sums <= kMostSums && instructions <= kMostInstructions &&
           operands.size() <= kMostOperands && whole <= kMostWholeOperands;
    if (!fits && !groups.empty()) continue;
    if (!fits) return false;
    // Into the first of them.
    int32_t into;
    if (groups.empty()) {
      into = static_cast<int32_t>(regions_.size());
      regions_.emplace_back();
      parent_.push_back(into);
      regions_[into].space = &space;
    } else {
      into = groups[0];
    }
    Region& r = regions_[into];
    for (size_t k = 1; k < groups.size(); ++k) {
      Region& other = regions_[groups[k]];
      parent_[groups[k]] = into;
      r.members.insert(r.members.end(), other.members.begin(), other.members.end());
      r.sums.insert(r.sums.end(), other.sums.begin(), other.sums.end());
      r.read = r.read || other.read;
      other = {};
    }
    std::sort(r.members.begin(), r.members.end());
    r.members.push_back(id);
    r.operands = std::move(operands);
    r.time = time;
    r.compute = type;
    r.typed = known;
    r.columns = columns;
    r.outer = outer;
    r.instructions = instructions;
    group_[id] = into;
    for (const Value& v : inputs)  // what is read from other groups is at its time for good
      for (int32_t g : {of(v.node), of_sum(v.node)})
        if (g >= 0 && g != into) regions_[g].read = true;
    return true;
  }
}

bool RegionGroups::try_sum(NodeId id) {
  const Node& node = graph_.nodes[id];
  if (node.op->name() != "sum") return false;
  Value of_value = node.inputs[0];
  const Shape& seen = graph_.type(of_value).shape;
  if (graph_.nodes[of_value.node].op->name() == "reshape") of_value = graph_.nodes[of_value.node].inputs[0];
  const int32_t g = of(of_value.node);
  if (g < 0) return false;
  Region& r = regions_[g];
  const TensorType& type = graph_.type(of_value);
  SummedAxes axes;
  if (!r.typed || type.dtype != r.compute || type.shape != *r.space || r.sums.size() >= kMostSums ||
      !summed_axes(type.shape, seen, node.attrs.ints("axes"), axes))
    return false;
  const Dim& last = type.shape.back();
  if (last.is_const() && last.value() < kFewColumns) return false;
  if (!r.sums.empty() && (r.columns != axes.columns || r.outer != axes.outer)) return false;
  r.columns = axes.columns;
  r.outer = axes.outer;
  r.sums.push_back({id, of_value, axes.kind});
  sum_group_[id] = g;
  return true;
}

}  // namespace fovea
