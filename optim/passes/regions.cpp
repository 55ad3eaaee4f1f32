#include "optim/passes/regions.h"

#include <algorithm>
#include <unordered_map>

#include "framework/base/error.h"
#include "graph/ir/op.h"
#include "optim/passes/regions_groups.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

using tiles::Program;

constexpr int32_t kFewLaunches = 4;
constexpr size_t kFewOperands = 3, kCheapForm = 4;

// Makes the graph in which every group worth it is one node.
class RegionWriter {
 public:
  RegionWriter(const Graph& graph, PassContext& context, bool all)
      : old_(graph),
        context_(context),
        all_(all),
        groups_(graph, *context.module),
        live_(graph.nodes.size(), false),
        outside_(graph.nodes.size(), false),
        to_(graph.nodes.size()) {}

  std::shared_ptr<Graph> run() {
    find_live();
    if (!choose()) return nullptr;
    most_open_ = old_.nodes.size() + 16;
    for (const Node& n : old_.nodes) most_open_ += n.inputs.size();
    fresh_ = std::make_shared<Graph>();
    fresh_->name = old_.name;
    fresh_->output_names = old_.output_names;
    fresh_->guards = old_.guards;
    fresh_->nodes.reserve(old_.nodes.size());
    for (NodeId id : old_.inputs) emit(id);
    for (NodeId id = 0; id < static_cast<NodeId>(old_.nodes.size()); ++id)
      if (live_[id] && !waits(id)) emit(id);
    for (NodeId id : old_.inputs) fresh_->inputs.push_back(to_[id].node);
    for (const Value& v : old_.outputs) {
      emit(v.node);
      fresh_->outputs.push_back(moved(v));
    }
    drop_dead_nodes(*fresh_);
    return std::move(fresh_);
  }

 private:
  // Groups whose members (and sums) are live: from the end, every reader comes before what it reads.
  void find_live() {
    for (const Value& v : old_.outputs) live_[v.node] = outside_[v.node] = true;
    for (NodeId id : old_.inputs) live_[id] = true;
    for (size_t k = old_.nodes.size(); k-- > 0;) {
      const auto id = static_cast<NodeId>(k);
      const Node& node = old_.nodes[id];
      if (node.op->has_side_effect()) live_[id] = true;
      if (!live_[id]) continue;
      const int32_t g = groups_.of(id), s = groups_.of_sum(id);
      if (s >= 0) {
        for (const RegionSum& sum : groups_.region(s).sums)
          if (sum.sum == id) live_[sum.of.node] = true;
        continue;
      }
      for (const Value& v : node.inputs) {
        const Value x = g >= 0 ? groups_.behind(v) : v;
        live_[v.node] = live_[x.node] = true;
        if (g < 0 || groups_.of(x.node) != g || old_.type(x).shape != *groups_.region(g).space)
          outside_[x.node] = true;
      }
    }
  }

  // Which groups become nodes.
  bool choose() {
    std::vector<int32_t> launches;
    std::vector<NodeId> first;
    for (NodeId id = 0; id < static_cast<NodeId>(old_.nodes.size()); ++id) {
      const int32_t g = std::max(groups_.of(id), groups_.of_sum(id));
      if (g < 0 || !live_[id]) continue;
      if (static_cast<size_t>(g) >= launches.size()) {
        launches.resize(g + 1, 0);
        first.resize(g + 1, -1);
      }
      if (launches[g]++ == 0) first[g] = id;
    }
    chosen_.assign(launches.size(), false);
    emitted_.assign(launches.size(), false);
    bool any = false;
    for (size_t g = 0; g < launches.size(); ++g) {
      if (launches[g] < 2) continue;
      chosen_[g] = all_ || pays(groups_.region(static_cast<int32_t>(g)), launches[g]);
      if (!chosen_[g]) refuse(groups_.region(static_cast<int32_t>(g)), first[g]);
      any = any || chosen_[g];
    }
    return any;
  }
  // The machine goes over a strip once an instruction: measured, that beats loops of their own where at least
  // four cheap ones become one pass and few operands are read. Costly functions, dropout and sums have loops
  // that keep everything in registers.
  bool pays(const Region& r, int32_t launches) const {
    if (launches < kFewLaunches || !r.sums.empty()) return false;
    size_t whole = 0;
    for (const Value& v : r.operands) whole += old_.type(v).shape == *r.space;
    if (whole > kFewOperands) return false;
    for (NodeId id : r.members)
      if (live_[id] && groups_.form(id).code.size() > kCheapForm) return false;
    return true;
  }
  void refuse(const Region& r, NodeId id) {
    if (!context_.records) return;
    FusionRecord record;
    record.region = "map";
    record.reason = Reason::cost;
    record.function = old_.name;
    const Node& node = old_.nodes[id];
    record.node = node.op->name() + "#" + std::to_string(id);
    record.scope = context_.module->scopes[node.scope];
    record.source = node.source;
    record.sentence = std::to_string(r.members.size() + r.sums.size()) + " pointwise operations over " +
                      to_string(*r.space) + " are faster one by one";
    record.nearest = "at least four cheap operations that read at most three whole tensors";
    context_.records->push_back(std::move(record));
  }
  int32_t fused(NodeId id) const {
    const int32_t g = std::max(groups_.of(id), groups_.of_sum(id));
    return g >= 0 && static_cast<size_t>(g) < chosen_.size() && chosen_[g] ? g : -1;
  }
  // Members run when the last of them is due, or earlier where a result is needed.
  bool waits(NodeId id) const {
    const int32_t g = fused(id);
    if (g < 0) return false;
    const Region& r = groups_.region(g);
    NodeId last = r.members.back();
    for (const RegionSum& s : r.sums) last = std::max(last, s.sum);
    return id != last;
  }

  bool done(NodeId id) const {
    const int32_t g = fused(id);
    return g >= 0 ? emitted_[g] : to_[id].node >= 0;
  }
  Value moved(Value v) const {
    const Value to = to_[v.node];
    return fused(v.node) >= 0 ? to : Value{to.node, v.index};
  }

  // Emits a node (or its group) with all it needs; own stack, for graphs are deep.
  void emit(NodeId first) {
    std::vector<NodeId> open{first};
    while (!open.empty()) {
      const NodeId id = open.back();
      if (done(id)) {
        open.pop_back();
        continue;
      }
      const size_t before = open.size();
      const int32_t g = fused(id);
      const auto need = [&](Value v) {
        if (!done(v.node)) open.push_back(v.node);
      };
      for (const Value& v : g >= 0 ? operands(g) : old_.nodes[id].inputs) need(v);
      if (open.size() > most_open_) invalid("fuse_regions: a group reads its own result");
      if (open.size() != before) continue;
      open.pop_back();
      g >= 0 ? emit_group(g) : copy(id);
    }
  }
  void copy(NodeId id) {
    Node node = old_.nodes[id];
    for (Value& v : node.inputs) v = moved(v);
    fresh_->nodes.push_back(std::move(node));
    to_[id] = {static_cast<NodeId>(fresh_->nodes.size()) - 1, 0};
  }

  // What live members read from outside.
  const std::vector<Value>& operands(int32_t g) {
    auto& known = operands_[g];
    if (!known.empty()) return known;
    const Region& r = groups_.region(g);
    for (NodeId id : r.members) {
      if (!live_[id]) continue;
      for (const Value& v : old_.nodes[id].inputs) {
        const Value x = groups_.behind(v);
        if (member_of(x, g) || is_leaf(x, *r.space) ||
            std::find(known.begin(), known.end(), x) != known.end())
          continue;
        known.push_back(x);
      }
    }
    return known;
  }
  bool member_of(Value v, int32_t g) const {
    return groups_.of(v.node) == g && old_.type(v).shape == *groups_.region(g).space;
  }
  // One number everywhere, or positions along an axis of the space: made anew in the program.
  bool is_leaf(Value v, const Shape& space) const {
    Program p;
    int32_t value;
    return leaf(v, space, p, value);
  }
  bool leaf(Value v, const Shape& space, Program& p, int32_t& value) const {
    const Node& node = old_.nodes[v.node];
    if (PointwiseForms::constant(groups_.module(), node, p, value)) return true;
    if (node.op->name() != "iota" || node.outputs[0].dtype != DType::i64) return false;
    const Shape& shape = node.outputs[0].shape;
    const auto rank = static_cast<int64_t>(shape.size()), full = static_cast<int64_t>(space.size());
    const int64_t axis = node.attrs.integer("axis") - rank;
    if (rank > full || shape[axis + rank] != space[axis + full]) return false;
    value = p.iota(axis);
    return true;
  }

  void emit_group(int32_t g) {
    emitted_[g] = true;
    const Region& r = groups_.region(g);
    const std::vector<Value>& read = operands(g);
    MapSpec spec;
    Program& p = spec.program;
    spec.space = *r.space;
    std::unordered_map<NodeId, int32_t> value;
    for (NodeId id : r.members) {
      if (!live_[id]) continue;
      const Node& node = old_.nodes[id];
      std::vector<int32_t> inputs;
      for (const Value& v : node.inputs) inputs.push_back(operand(groups_.behind(v), g, read, value, p));
      value[id] = p.append(groups_.form(id), inputs)[0];
    }
    std::vector<NodeId> results;
    for (NodeId id : r.members) {
      if (!live_[id] || !outside_[id]) continue;
      p.results.push_back(value[id]);
      spec.results.push_back(MapResult::map);
      spec.types.push_back(old_.nodes[id].outputs[0].dtype);
      results.push_back(id);
    }
    for (const RegionSum& s : r.sums) {
      if (!live_[s.sum]) continue;
      p.results.push_back(value[s.of.node]);
      spec.results.push_back(s.kind);
      spec.types.push_back(old_.nodes[s.sum].outputs[0].dtype);
      results.push_back(s.sum);
    }
    p.compact();
    spec.columns = r.columns;
    spec.outer = r.outer;
    std::vector<Value> inputs;
    for (const Value& v : read) inputs.push_back(moved(v));
    const NodeId node = add(find_op("fused_map"), std::move(inputs), map_attrs(spec), r.members.back());
    for (size_t k = 0; k < results.size(); ++k) place(results[k], {node, static_cast<int32_t>(k)});
    report(r, spec, node);
  }
  // A sum may keep the axes it sums, and so has another shape.
  void place(NodeId id, Value made) {
    const Shape& wanted = old_.nodes[id].outputs[0].shape;
    if (fresh_->type(made).shape != wanted)
      made = {add(find_op("reshape"), {made}, {{"shape", wanted}}, id), 0};
    to_[id] = made;
  }
  int32_t operand(Value v, int32_t g, const std::vector<Value>& read,
                  const std::unordered_map<NodeId, int32_t>& value, Program& p) const {
    if (member_of(v, g)) return value.at(v.node);
    int32_t made;
    if (leaf(v, *groups_.region(g).space, p, made)) return made;
    const auto at = std::find(read.begin(), read.end(), v) - read.begin();
    return p.input(at, kind_of(old_.type(v).dtype));
  }

  NodeId add(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, NodeId like) {
    std::vector<TensorType> types;
    for (const Value& v : inputs) types.push_back(fresh_->type(v));
    std::vector<TensorType> out = op.check(attrs, types, context_.module.get(), &fresh_->guards);
    const Node& origin = old_.nodes[like];
    fresh_->nodes.push_back(
        {&op, std::move(attrs), std::move(inputs), std::move(out), origin.source, origin.scope});
    return static_cast<NodeId>(fresh_->nodes.size()) - 1;
  }

  void report(const Region& r, const MapSpec& spec, NodeId node) {
    context_.fired("fuse_map");
    if (!context_.records) return;
    FusionRecord record;
    record.region = "map";
    record.fused = true;
    record.function = old_.name;
    record.node = "fused_map#" + std::to_string(node);
    const Node& origin = old_.nodes[r.members.back()];
    record.scope = context_.module->scopes[origin.scope];
    record.source = origin.source;
    std::vector<std::string> names;
    int64_t inside = 0;
    for (NodeId id : r.members)
      if (live_[id]) {
        names.push_back(old_.nodes[id].op->name());
        inside += !outside_[id];
      }
    for (const RegionSum& s : r.sums)
      if (live_[s.sum]) names.push_back("sum");
    for (size_t k = 0; k < names.size(); ++k)
      record.sentence += (k == 0 ? "" : k + 1 == names.size() ? " and " : ", ") + names[k];
    record.sentence += " over " + to_string(spec.space) + " run as one pass over memory";
    record.saves = std::to_string(inside * 2 * size_of(spec.types[0]));
    for (const Dim& d : spec.space) record.saves += "*" + d.str();
    context_.records->push_back(std::move(record));
  }

  const Graph& old_;
  PassContext& context_;
  const bool all_;
  const RegionGroups groups_;
  std::vector<bool> live_, outside_;
  std::vector<bool> chosen_, emitted_;
  size_t most_open_ = 0;  // more open nodes than this are a cycle
  std::vector<Value> to_;
  std::unordered_map<int32_t, std::vector<Value>> operands_;
  std::shared_ptr<Graph> fresh_;
};

}  // namespace

std::shared_ptr<Graph> fuse_regions(const Graph& graph, PassContext& context) {
  if (context.backend != "cpu") return nullptr;  // others would take the regions apart again
  return RegionWriter(graph, context, false).run();
}

std::shared_ptr<Graph> fuse_all_regions(const Graph& graph, PassContext& context) {
  return RegionWriter(graph, context, true).run();
}

}  // namespace fovea
