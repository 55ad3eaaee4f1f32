#include "frontends/tools/graph_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "frontends/nn/flops.h"
#include "frontends/tools/profile.h"
#include "frontends/tools/step_cost.h"
#include "graph/autodiff/vjp.h"
#include "graph/ir/op.h"
#include "optim/explain/explain.h"
#include "optim/explain/formula.h"
#include "optim/explain/launches.h"

namespace fovea::tools {
namespace {

// A machine as good as any, for estimates.
constexpr double kGflops = 200, kGbs = 25;
constexpr size_t kMostOutputs = 12, kMostText = 2000;
constexpr int kMostDepth = 8;  // of bodies in bodies; deeper ones stay one box

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

// The functions that a loop or a branch runs: the attribute, and what the page calls the body. A loop of one
// body needs no name for it.
std::vector<std::pair<const char*, const char*>> bodies_of(const std::string& op) {
  if (op == "scan") return {{"function", ""}};
  if (op == "while_loop") return {{"condition", "condition"}, {"function", "body"}};
  if (op == "cond") return {{"then", "then"}, {"otherwise", "otherwise"}};
  return {};
}

// "carry 0", "x 0", "constant 0" of a scan; the arguments of others are all alike.
std::string argument_name(const Node& node, size_t i) {
  if (node.op->name() != "scan") return fmt::format("argument {}", i);
  const auto carry = static_cast<size_t>(node.attrs.integer("carry")),
             xs = static_cast<size_t>(node.attrs.integer("xs"));
  if (i < carry) return fmt::format("carry {}", i);
  return i < carry + xs ? fmt::format("slice {}", i - carry) : fmt::format("constant {}", i - carry - xs);
}

std::string kernel_name(const std::string& op, const std::string& kernel) {
  return kernel.empty() || kernel == op ? op : op + " (" + kernel + ")";
}

using Launches = std::map<int32_t, std::vector<ViewNode::Launch>>;

// A graph whose nodes are shown: the function, or a body of one of its loops and branches.
struct Shown {
  const Graph& graph;
  std::string prefix, scope;               // of ids ("17/then/") and of modules
  std::vector<ViewNode::Input> arguments;  // of a body: what its inputs are
  std::vector<std::string> argument_names = {};
  Launches launches = {};
  int depth = 0;
  std::vector<bool> quiet = {};      // weights and constants
  std::vector<int32_t> number = {};  // in the view
};

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
      launches_[step.node].push_back({kernel_name(step.op, step.kernel), 0});
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
      launches_[t.node].push_back({kernel_name(t.op, t.kernel), us});
      us_[t.node] += us;
      all += us;
    }
    view_.measured = true;
    view_.note += fmt::format(", {:.2f} ms", all / 1e3);
  }

  void add_nodes() {
    Shown function{graph_, "", "", {}, {}, launches_};
    const bool trains = program_.differentiates() && !graph_.outputs.empty();
    std::vector<bool> forward;
    if (trains) forward = ancestors_of(graph_, {graph_.outputs[0]});
    add_graph(function, forward);
    add_outputs(function);
  }

  // The nodes of a graph, each loop or branch behind its bodies. `forward`: empty, or what is not "backward".
  void add_graph(Shown& s, const std::vector<bool>& forward) {
    const std::vector<bool> live = ancestors_of(s.graph, s.graph.outputs);
    s.number.assign(s.graph.nodes.size(), -1);
    s.quiet.assign(s.graph.nodes.size(), false);
    for (size_t i = 0; i < s.argument_names.size(); ++i) add_argument(s, i, live);
    for (size_t id = 0; id < s.graph.nodes.size(); ++id) {
      const Node& node = s.graph.nodes[id];
      s.quiet[id] = is_quiet(s, node);
      if (!live[id] || s.quiet[id] || s.number[id] >= 0) continue;
      const std::string& own = program_.module()->scopes[static_cast<size_t>(node.scope)];
      const bool backward = !forward.empty() && !forward[id] && node.op->name() != "input";
      std::string scope = s.scope;
      for (const std::string& part : {backward ? "backward" : std::string(), own})
        if (!part.empty()) scope += (scope.empty() ? "" : ".") + part;
      std::vector<ViewNode::Input> results;
      if (s.depth < kMostDepth) results = add_bodies(s, static_cast<int32_t>(id), scope);
      s.number[id] = static_cast<int32_t>(view_.nodes.size());
      ViewNode v = view_node(s, static_cast<int32_t>(id), node);
      v.scope = scope;
      if (!results.empty()) {  // it stands at the end of its bodies
        const bool chooses = node.op->name() == "cond";
        v.scope = opened_;
        v.inputs.resize(chooses ? 1 : 0);
        v.inputs.insert(v.inputs.end(), results.begin(), results.end());
      }
      view_.nodes.push_back(std::move(v));
      own_.push_back({s.graph.name, own});
    }
  }

  void add_argument(Shown& s, size_t i, const std::vector<bool>& live) {
    const auto id = static_cast<size_t>(s.graph.inputs[i]);
    if (!live[id]) return;
    s.number[id] = static_cast<int32_t>(view_.nodes.size());
    ViewNode v = view_node(s, static_cast<int32_t>(id), s.graph.nodes[id]);
    v.name = s.argument_names[i];
    v.inputs = {s.arguments[i]};
    v.scope = s.scope;
    view_.nodes.push_back(std::move(v));
    own_.push_back({s.graph.name, ""});
  }

  // The bodies of a loop or branch, in a module of its name (`opened_`); what the op reads of their results.
  std::vector<ViewNode::Input> add_bodies(const Shown& s, int32_t id, const std::string& scope) {
    const Node& node = s.graph.nodes[static_cast<size_t>(id)];
    std::vector<ViewNode::Input> results;
    const auto bodies = bodies_of(node.op->name());
    if (bodies.empty()) return results;
    const int number = ++loops_[node.op->name()];
    const std::string module =
        (scope.empty() ? "" : scope + ".") + node.op->name() + (number > 1 ? fmt::format(" {}", number) : "");
    ViewNode reads;
    for (const Value& in : node.inputs) add_input(s, reads, in);
    if (node.op->name() == "cond") reads.inputs.erase(reads.inputs.begin());
    for (size_t b = 0; b < bodies.size(); ++b) {
      const auto [attr, name] = bodies[b];
      const auto graph =
          expand_functions(program_.module(), program_.module()->function(node.attrs.function(attr)));
      const std::string part = *name ? name : "body";
      Shown body{*graph, fmt::format("{}{}/{}/", s.prefix, id, part), *name ? module + "." + name : module,
                 reads.inputs};
      for (size_t i = 0; i < graph->inputs.size(); ++i) body.argument_names.push_back(argument_name(node, i));
      body.depth = s.depth + 1;
      if (const PlanStep* step = s.depth == 0 ? step_of(id) : nullptr; step && b < step->bodies.size())
        for (const PlanStep& inner : step->bodies[b]->steps)
          body.launches[inner.node].push_back({kernel_name(inner.op, inner.kernel), 0});
      add_graph(body, {});
      ViewNode out;
      for (const Value& v : graph->outputs) add_input(body, out, v);
      results.insert(results.end(), out.inputs.begin(), out.inputs.end());
    }
    opened_ = module;
    return results;
  }

  const PlanStep* step_of(int32_t node) const {
    if (plan_)
      for (const PlanStep& step : plan_->steps)
        if (step.node == node && step.host) return &step;
    return nullptr;
  }

  // Weights and constants stand in the lists of those who read them.
  static bool is_quiet(const Shown& s, const Node& node) {
    const std::string& op = node.op->name();
    if (op == "identity") return s.quiet[static_cast<size_t>(node.inputs[0].node)];
    return op == "constant" || (op == "input" && s.depth == 0 && is_weight(node.attrs.text("name")));
  }

  ViewNode view_node(const Shown& s, int32_t id, const Node& node) {
    ViewNode v;
    v.id = s.prefix + std::to_string(id);
    v.inner = s.depth > 0;
    v.op = node.op->name();
    v.kind = kind_of(v.op);
    if (v.op == "input") v.name = node.attrs.text("name").empty() ? "input" : node.attrs.text("name");
    v.source = source_of(node.source);
    for (const TensorType& t : node.outputs) v.types.push_back(to_string(t));
    if (!v.types.empty()) v.detail = v.types[0];
    for (const Value& in : node.inputs) add_input(s, v, in);
    for (const auto& [name, value] : node.attrs)
      if (v.op != "input" && value != AttrValue(std::string()))
        v.attributes.emplace_back(name, cut(attribute_text(v.op, value)));
    try {
      v.flops = nn::flops(*program_.module(), s.graph, node, sizes_);
      for (const TensorType& t : node.outputs)
        v.bytes += checked_mul(product(evaluate(t.shape, sizes_)), size_of(t.dtype));
    } catch (const Error&) {  // sizes that are known only when it runs
    }
    if (const auto at = s.launches.find(id); at != s.launches.end()) v.launches = at->second;
    if (const auto at = us_.find(id); at != us_.end() && s.depth == 0) v.us = at->second;
    return v;
  }

  void add_input(const Shown& s, ViewNode& v, const Value& in) {
    size_t id = static_cast<size_t>(in.node);
    if (!s.quiet[id]) {
      v.inputs.push_back({s.number[id], in.index, ""});
      return;
    }
    while (s.graph.nodes[id].op->name() == "identity")
      id = static_cast<size_t>(s.graph.nodes[id].inputs[0].node);
    const Node& from = s.graph.nodes[id];
    v.inputs.push_back({-1, 0, weight_text(*program_.module(), from)});
    if (from.op->name() != "input") return;
    if (const Shape& shape = from.outputs[0].shape; is_concrete(shape))
      v.parameters += product(shape).value();
  }

  void add_outputs(const Shown& s) {
    if (graph_.outputs.size() > kMostOutputs) return;
    for (size_t o = 0; o < graph_.outputs.size(); ++o) {
      const Value out = graph_.outputs[o];
      ViewNode v;
      v.id = std::to_string(-1 - static_cast<int64_t>(o));
      v.op = "output";
      v.kind = "io";
      v.name = graph_.output_names[o].empty() ? fmt::format("output {}", o) : graph_.output_names[o];
      v.types = {to_string(graph_.type(out))};
      v.detail = v.types[0];
      add_input(s, v, out);
      view_.nodes.push_back(std::move(v));
      own_.push_back({});
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
      for (size_t n = 0; n < view_.nodes.size(); ++n) {
        ViewNode& v = view_.nodes[n];
        if (v.inner && own_[n].function != r.function) continue;
        const bool is_op = r.fused ? std::find(ops.begin(), ops.end(), v.op) != ops.end() : v.op == stopped;
        const bool here = own_[n].scope == r.scope;
        if (is_op && here && (v.source.empty() || v.source == source_of(r.source) || !r.scope.empty()))
          v.records.push_back(index);
      }
    }
  }

  Program program_;
  const Graph& graph_;
  const Bindings sizes_;
  std::shared_ptr<const Plan> plan_;
  Launches launches_;
  std::map<int32_t, double> us_;
  struct Own {
    std::string function, scope;
  };
  std::vector<Own> own_;  ///< of every node of the view: where it really is
  std::map<std::string, int> loops_;
  std::string opened_;  ///< the module of the bodies that were added last
  ViewGraph view_;
};

}  // namespace

ViewFunction view_function(const std::shared_ptr<Module>& module, const std::string& function,
                           const GraphModelOptions& options) {
  const std::string entry = options.training ? add_training(module, function) : function;
  return {function, Side(module, entry, false, options).take(), Side(module, entry, true, options).take()};
}

}  // namespace fovea::tools
