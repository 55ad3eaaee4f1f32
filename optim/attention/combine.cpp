#include "optim/attention/combine.h"

#include <algorithm>
#include <map>

#include "optim/attention/view.h"

namespace fovea::match {
namespace {

constexpr size_t kValues = 2;  // the operand that may differ

using Group = std::vector<NodeId>;

// Nodes that agree in all but their values, and whose values lie in memory in the same way.
std::vector<Group> equal_probabilities(const View& view) {
  std::map<std::string, Group> groups;
  for (size_t id = 0; id < view.graph.nodes.size(); ++id) {
    const Node& n = view.graph.nodes[id];
    if (n.op->name() != "attention") continue;
    std::string key;
    for (const auto& [name, value] : n.attrs) key += name + "=" + to_string(value) + ";";
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const Value v = view.canonical(n.inputs[i]);
      if (i != kValues) key += std::to_string(v.node) + ":" + std::to_string(v.index) + ";";
    }
    Shape shape = view.shape(n.inputs[kValues]);
    shape.pop_back();
    key += to_string(shape);
    groups[key].push_back(static_cast<NodeId>(id));
  }
  std::vector<Group> out;
  for (auto& [key, group] : groups) {
    Group free;
    // None may be made from another one.
    for (NodeId id : group) {
      const auto& inputs = view.graph.nodes[static_cast<size_t>(id)].inputs;
      if (std::none_of(free.begin(), free.end(), [&](NodeId f) { return view.depends(inputs, f); }))
        free.push_back(id);
    }
    if (free.size() > 1) out.push_back(std::move(free));
  }
  // Groups one behind the other cannot wait for one another.
  std::sort(out.begin(), out.end());
  NodeId end = -1;
  std::erase_if(out, [&end](const Group& g) {
    if (g.front() < end) return true;
    end = g.back();
    return false;
  });
  return out;
}

// Writes the nodes anew, operands before what reads them.
class Combiner {
 public:
  Combiner(const Graph& graph, PassContext& context, std::vector<Group> groups)
      : old_(graph),
        context_(context),
        groups_(std::move(groups)),
        moved_(graph.nodes.size()),
        group_of_(graph.nodes.size(), -1) {
    for (size_t g = 0; g < groups_.size(); ++g)
      for (NodeId id : groups_[g]) group_of_[static_cast<size_t>(id)] = static_cast<int32_t>(g);
  }

  std::shared_ptr<Graph> run() {
    out_->name = old_.name;
    out_->output_names = old_.output_names;
    out_->guards = old_.guards;
    for (size_t id = 0; id < old_.nodes.size(); ++id) emit_with_operands(static_cast<NodeId>(id));
    for (NodeId id : old_.inputs) out_->inputs.push_back(moved_[static_cast<size_t>(id)][0].node);
    for (const Value& v : old_.outputs) out_->outputs.push_back(moved(v));
    return out_;
  }

 private:
  Value moved(Value v) const { return moved_[static_cast<size_t>(v.node)][static_cast<size_t>(v.index)]; }
  bool done(NodeId id) const { return !moved_[static_cast<size_t>(id)].empty(); }

  void emit_with_operands(NodeId first) {
    std::vector<NodeId> open{first};
    while (!open.empty()) {
      const NodeId id = open.back();
      if (done(id)) {
        open.pop_back();
        continue;
      }
      const size_t before = open.size();
      const int32_t g = group_of_[static_cast<size_t>(id)];
      const Group alone{id};
      for (NodeId member : g < 0 ? alone : groups_[static_cast<size_t>(g)])
        for (const Value& v : old_.nodes[static_cast<size_t>(member)].inputs)
          if (!done(v.node)) open.push_back(v.node);
      if (open.size() > before) continue;
      open.pop_back();
      if (g < 0)
        copy(id);
      else
        combine(groups_[static_cast<size_t>(g)]);
    }
  }

  void copy(NodeId id) {
    Node n = old_.nodes[static_cast<size_t>(id)];
    for (Value& v : n.inputs) v = moved(v);
    const auto to = static_cast<NodeId>(out_->nodes.size());
    for (size_t i = 0; i < n.outputs.size(); ++i)
      moved_[static_cast<size_t>(id)].push_back({to, static_cast<int32_t>(i)});
    out_->nodes.push_back(std::move(n));
  }
  NodeId add(const char* op, std::vector<Value> inputs, Attrs attrs, const Node& like) {
    const OpDecl& decl = find_op(op);
    std::vector<TensorType> types;
    for (const Value& v : inputs) types.push_back(out_->type(v));
    std::vector<Guard> known;  // the nodes that are combined brought theirs
    std::vector<TensorType> outputs = decl.check(attrs, types, context_.module.get(), &known);
    out_->nodes.push_back(
        {&decl, std::move(attrs), std::move(inputs), std::move(outputs), like.source, like.scope});
    return static_cast<NodeId>(out_->nodes.size()) - 1;
  }

  void combine(const Group& group) {
    const Node& like = old_.nodes[static_cast<size_t>(group[0])];
    const auto rank = static_cast<int64_t>(old_.type(like.inputs[kValues]).shape.size());
    std::vector<Value> values;
    for (NodeId id : group) values.push_back(moved(old_.nodes[static_cast<size_t>(id)].inputs[kValues]));
    std::vector<Value> inputs;
    for (const Value& v : like.inputs) inputs.push_back(moved(v));
    inputs[kValues] = {add("concat", values, {{"axis", rank - 1}}, like), 0};
    const NodeId y = add("attention", std::move(inputs), like.attrs, like);
    // The axis of the channels in the result.
    const Ints& order = like.attrs.ints("order");
    const auto at = std::find(order.begin(), order.end(), rank - 1);
    const auto axis = static_cast<size_t>(order.empty() ? rank - 1 : at - order.begin());
    const Shape shape = out_->type({y, 0}).shape;
    Dim offset = 0;
    for (NodeId id : group) {
      const Dim size = old_.type(old_.nodes[static_cast<size_t>(id)].inputs[kValues]).shape.back();
      Shape starts(shape.size(), Dim(0)), stops = shape;
      starts[axis] = offset;
      stops[axis] = offset = offset + size;
      const NodeId part = add("slice", {{y, 0}},
                              {{"starts", starts}, {"stops", stops}, {"steps", Ints(shape.size(), 1)}}, like);
      moved_[static_cast<size_t>(id)] = {{part, 0}, {y, 1}};
    }
  }

  const Graph& old_;
  PassContext& context_;
  std::vector<Group> groups_;
  std::vector<std::vector<Value>> moved_;
  std::vector<int32_t> group_of_;
  std::shared_ptr<Graph> out_ = std::make_shared<Graph>();
};

}  // namespace

std::shared_ptr<Graph> combined(std::shared_ptr<Graph> graph, PassContext& context) {
  const auto nodes = std::count_if(graph->nodes.begin(), graph->nodes.end(),
                                   [](const Node& n) { return n.op->name() == "attention"; });
  if (nodes < 2) return graph;
  View view(*graph, *context.module);
  view.prepare();
  std::vector<Group> groups = equal_probabilities(view);
  if (groups.empty()) return graph;
  context.fired("attention.combine", static_cast<int64_t>(groups.size()));
  return Combiner(*graph, context, std::move(groups)).run();
}

}  // namespace fovea::match
