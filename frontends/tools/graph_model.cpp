#include "frontends/tools/graph_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "frontends/nn/flops.h"
#include "frontends/tools/profile.h"
#include "frontends/tools/step_cost.h"
#include "graph/ir/op.h"
#include "optim/explain/explain.h"
#include "optim/explain/formula.h"
#include "optim/explain/launches.h"

namespace fovea::tools {
namespace {

// A machine as good as any, for estimates.
constexpr double kGflops = 200, kGbs = 25;
constexpr size_t kMostOutputs = 12, kMostText = 2000;

bool is_weight(const std::string& name) { return name.starts_with("param/") || name.starts_with("buffer/"); }

std::string source_of(const Source& s) { return *s.file ? fmt::format("{}:{}", s.file, s.line) : ""; }

std::string cut(std::string text) {
  if (text.size() > kMostText) text.resize(kMostText), text += "...";
  return text;
}

// "attn.q.weight f32[64, 64]", "0.125 f32[]"
std::string weight_text(const Module& module, const Node& node) {
  const std::string type = to_string(node.outputs[0]);
  if (node.op->name() == "input") {
    const std::string& name = node.attrs.text("name");
    return name.substr(name.find('/') + 1) + " " + type;
  }
  const Array& value = module.constants[static_cast<size_t>(node.attrs.integer("index"))];
  return (value.size() == 1 ? fmt::format("{:g}", value.item()) : "constant") + " " + type;
}

// Tile programs are shown as formulas.
std::string attribute_text(const std::string& op, const AttrValue& value) {
  if (const auto* text = std::get_if<std::string>(&value); text && text->starts_with("v0 = ")) try {
      return formula(tiles::Program::parse(*text), op.starts_with("attention"));
    } catch (const Error&) {  // some other text
    }
  return to_string(value);
}

std::vector<bool> ancestors_of(const Graph& graph, const std::vector<Value>& outputs) {
  std::vector<bool> is(graph.nodes.size(), false);
  for (const Value& v : outputs) is[static_cast<size_t>(v.node)] = true;
  for (size_t id = graph.nodes.size(); id-- > 0;)
    if (is[id])
      for (const Value& v : graph.nodes[id].inputs) is[static_cast<size_t>(v.node)] = true;
  return is;
}

// Small numbers; integers are 1, which is a position in most tables; bools are true, so that masks let all
// pass.
Array made_up(const PlanOperand& operand) {
  Array a = Array::zeros(operand.dtype, operand.shape);
  if (operand.dtype == DType::f32) {
    auto* x = static_cast<float*>(a.raw());
    for (int64_t i = 0; i < a.size(); ++i) x[i] = 0.02f * static_cast<float>((i * 7919) % 101 - 50) / 50;
  } else if (operand.dtype == DType::boolean) {
    std::fill_n(static_cast<bool*>(a.raw()), a.size(), true);
  } else if (operand.dtype == DType::i64) {
    std::fill_n(static_cast<int64_t*>(a.raw()), a.size(), int64_t{1});
  } else if (operand.dtype == DType::i32) {
    std::fill_n(static_cast<int32_t*>(a.raw()), a.size(), int32_t{1});
  }
  return a;
}

// One side: a program, its plan, and what was measured or is estimated of every node.
class Side {
 public:
  Side(const std::shared_ptr<Module>& module, const std::string& entry, bool optimise,
       const GraphModelOptions& options)
      : program_(module, entry, compile_options(options, optimise)),
        graph_(program_.graph()),
        sizes_(options.sizes.bindings(graph_)) {
    view_.note = options.sizes.text(graph_);
    try {
      plan_ = program_.plan_for(sizes_);
      read_plan();
      if (options.measure) measure();
    } catch (const Error& e) {
      view_.note += (view_.note.empty() ? "" : "; ") + std::string("no plan: ") + e.message();
    }
    add_nodes();
    add_outputs();
    if (optimise) add_records();
  }

  ViewGraph take() { return std::move(view_); }

 private:
  static CompileOptions compile_options(const GraphModelOptions& o, bool optimise) {
    CompileOptions options;
    options.backend = o.backend;
    options.optimise = optimise;
    return options;
  }

  void read_plan() {
    std::map<const PreparedOp*, double> known;
    for (const PlanStep& step : plan_->steps) {
      if (step.node < 0) continue;
      const std::string name =
          step.kernel.empty() || step.kernel == step.op ? step.op : step.op + " (" + step.kernel + ")";
      launches_[step.node].push_back({name, 0});
      double us = 0;
      if (step.prepared) {
        const auto [at, fresh] = known.try_emplace(step.prepared.get(), 0);
        if (fresh) at->second = least_seconds(cost_of(step.prepared->request), kGflops, kGbs) * 1e6;
        us = at->second;
      }
      us_[step.node] += us;
    }
    view_.note += fmt::format("{}{} launch{}, {:.1f} MiB of temporaries", view_.note.empty() ? "" : "; ",
                              plan_->steps.size(), plan_->steps.size() == 1 ? "" : "es",
                              static_cast<double>(plan_->arena_bytes) / (1 << 20));
  }

  void measure() {
    std::vector<Array> arguments;
    for (const PlanOperand& in : plan_->inputs) arguments.push_back(made_up(in));
    plan_->run(arguments);
    const std::vector<LaunchTime> times = fastest_launches([&] { plan_->run(arguments); }, 5);
    us_.clear();
    launches_.clear();
    double all = 0;
    for (const LaunchTime& t : times) {
      if (t.depth > 0 || t.node < 0) continue;
      const double us = (t.end - t.begin) * 1e6;
      launches_[t.node].push_back(
          {t.kernel.empty() || t.kernel == t.op ? t.op : t.op + " (" + t.kernel + ")", us});
      us_[t.node] += us;
      all += us;
    }
    view_.measured = true;
    view_.note += fmt::format(", {:.2f} ms", all / 1e3);
  }

  void add_nodes() {
    const std::vector<bool> live = ancestors_of(graph_, graph_.outputs);
    const bool trains = program_.differentiates() && !graph_.outputs.empty();
    std::vector<bool> forward;
    if (trains) forward = ancestors_of(graph_, {graph_.outputs[0]});
    number_.assign(graph_.nodes.size(), -1);
    quiet_.assign(graph_.nodes.size(), false);
    for (size_t id = 0; id < graph_.nodes.size(); ++id) {
      const Node& node = graph_.nodes[id];
      quiet_[id] = is_quiet(node);
      if (!live[id] || quiet_[id]) continue;
      number_[id] = static_cast<int32_t>(view_.nodes.size());
      const std::string& scope = program_.module()->scopes[static_cast<size_t>(node.scope)];
      ViewNode v = view_node(static_cast<int32_t>(id), node);
      v.scope = trains && !forward[id] && node.op->name() != "input"
                    ? "backward" + (scope.empty() ? "" : "." + scope)
                    : scope;
      view_.nodes.push_back(std::move(v));
    }
  }

  // Weights and constants stand in the lists of those who read them.
  bool is_quiet(const Node& node) const {
    const std::string& op = node.op->name();
    if (op == "identity") return quiet_[static_cast<size_t>(node.inputs[0].node)];
    return op == "constant" || (op == "input" && is_weight(node.attrs.text("name")));
  }

  ViewNode view_node(int32_t id, const Node& node) {
    ViewNode v;
    v.id = id;
    v.op = node.op->name();
    v.kind = kind_of(v.op);
    if (v.op == "input") v.name = node.attrs.text("name").empty() ? "input" : node.attrs.text("name");
    v.source = source_of(node.source);
    for (const TensorType& t : node.outputs) v.types.push_back(to_string(t));
    if (!v.types.empty()) v.detail = v.types[0];
    for (const Value& in : node.inputs) add_input(v, in);
    for (const auto& [name, value] : node.attrs)
      if (v.op != "input" && value != AttrValue(std::string()))
        v.attributes.emplace_back(name, cut(attribute_text(v.op, value)));
    try {
      v.flops = nn::flops(*program_.module(), graph_, node, sizes_);
      for (const TensorType& t : node.outputs)
        v.bytes += checked_mul(product(evaluate(t.shape, sizes_)), size_of(t.dtype));
    } catch (const Error&) {  // sizes that are known only when it runs
    }
    if (const auto at = launches_.find(id); at != launches_.end()) v.launches = at->second;
    if (const auto at = us_.find(id); at != us_.end()) v.us = at->second;
    return v;
  }

  void add_input(ViewNode& v, const Value& in) {
    size_t id = static_cast<size_t>(in.node);
    if (!quiet_[id]) {
      v.inputs.push_back({number_[id], in.index, ""});
      return;
    }
    while (graph_.nodes[id].op->name() == "identity")
      id = static_cast<size_t>(graph_.nodes[id].inputs[0].node);
    const Node& from = graph_.nodes[id];
    v.inputs.push_back({-1, 0, weight_text(*program_.module(), from)});
    if (from.op->name() != "input") return;
    if (const Shape& shape = from.outputs[0].shape; is_concrete(shape))
      v.parameters += product(shape).value();
  }

  void add_outputs() {
    if (graph_.outputs.size() > kMostOutputs) return;
    for (size_t o = 0; o < graph_.outputs.size(); ++o) {
      const Value out = graph_.outputs[o];
      ViewNode v;
      v.id = -1 - static_cast<int32_t>(o);
      v.op = "output";
      v.kind = "io";
      v.name = graph_.output_names[o].empty() ? fmt::format("output {}", o) : graph_.output_names[o];
      v.types = {to_string(graph_.type(out))};
      v.detail = v.types[0];
      add_input(v, out);
      view_.nodes.push_back(std::move(v));
    }
  }

  void add_records() {
    for (const Explanation& e : explanations(program_, plan_.get())) {
      const FusionRecord& r = e.record;
      const auto index = static_cast<int32_t>(view_.records.size());
      view_.records.push_back({r.fused, r.region + (r.scope.empty() ? "" : " in " + r.scope), code_of(r),
                               r.sentence, r.score, r.nearest});
      const std::string stopped = r.node.substr(0, r.node.find('#'));
      std::vector<std::string> ops = forward_ops(r.region);
      for (const std::string& op : backward_ops(r.region)) ops.push_back(op);
      for (ViewNode& v : view_.nodes) {
        const bool is_op = r.fused ? std::find(ops.begin(), ops.end(), v.op) != ops.end() : v.op == stopped;
        const bool here = v.scope == r.scope || v.scope == "backward." + r.scope;
        if (is_op && here && (v.source.empty() || v.source == source_of(r.source) || !r.scope.empty()))
          v.records.push_back(index);
      }
    }
  }

  Program program_;
  const Graph& graph_;
  const Bindings sizes_;
  std::shared_ptr<const Plan> plan_;
  std::map<int32_t, std::vector<ViewNode::Launch>> launches_;
  std::map<int32_t, double> us_;
  std::vector<int32_t> number_;
  std::vector<bool> quiet_;  ///< weights and constants
  ViewGraph view_;
};

}  // namespace

ViewFunction view_function(const std::shared_ptr<Module>& module, const std::string& function,
                           const GraphModelOptions& options) {
  const std::string entry = options.training ? add_training(module, function) : function;
  return {function, Side(module, entry, false, options).take(), Side(module, entry, true, options).take()};
}

}  // namespace fovea::tools
