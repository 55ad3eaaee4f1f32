#include "frontends/nn/find_nan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "framework/base/error.h"
#include "frontends/nn/report/progress.h"
#include "graph/ir/op.h"

namespace fovea::nn {
namespace {

struct Contents {
  int64_t nan = 0, infinite = 0;
  double low = std::numeric_limits<double>::infinity(), high = -low;
};

Contents scan(const Array& array) {
  Contents c;
  const std::vector<double> values = array.to_vector<double>();
  for (double x : values) {
    c.nan += std::isnan(x);
    c.infinite += std::isinf(x);
    if (!std::isfinite(x)) continue;
    c.low = std::min(c.low, x);
    c.high = std::max(c.high, x);
  }
  return c;
}

// A function with every floating value as a result.
struct Instrumented {
  std::shared_ptr<Module> module;
  std::string function;
  std::vector<Value> values;
};

Instrumented instrument(const Program::Written& written) {
  Instrumented out{std::make_shared<Module>(*written.module), "", {}};
  auto graph = std::make_shared<Graph>(*written.graph);
  graph->outputs.clear();
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    const Node& node = graph->nodes[n];
    if (node.op->name() == "input") continue;
    for (size_t k = 0; k < node.outputs.size(); ++k)
      if (is_floating(node.outputs[k].dtype))
        out.values.push_back({static_cast<NodeId>(n), static_cast<int32_t>(k)});
  }
  graph->outputs = out.values;
  graph->output_names.assign(out.values.size(), "");
  out.function = graph->name = out.module->unique_name(graph->name + ".instrumented");
  out.module->functions[out.function] = graph;
  return out;
}

std::string describe(const Contents& c) {
  if (c.nan) return std::to_string(c.nan) + " NaN";
  std::string text =
      c.low > c.high ? "no finite value" : "from " + format_metric(c.low) + " to " + format_metric(c.high);
  if (c.infinite) text += ", " + std::to_string(c.infinite) + " infinite";
  return text;
}

class Search {
 public:
  Search(const Graph& graph, const Module& module, std::span<const Array> in)
      : graph_(graph), module_(module) {
    for (size_t i = 0; i < graph.inputs.size(); ++i) add({graph.inputs[i], 0}, in[i]);
  }
  void add(Value v, const Array& array) {
    if (!is_floating(array.dtype())) return;
    order_.push_back(v);
    known_[v] = scan(array);
    types_[v] = std::string(to_string(array.dtype())) + to_string(array.shape());
  }

  NanReport report() const {
    for (const Value& v : order_)
      if (known_.at(v).nan) return describe_node(v, "NaN", known_.at(v).nan);
    for (const Value& v : order_) {
      const Node& node = graph_.nodes[static_cast<size_t>(v.node)];
      const bool made = known_.at(v).infinite && !node.inputs.empty() &&
                        std::none_of(node.inputs.begin(), node.inputs.end(), [&](Value u) {
                          const auto at = known_.find(u);
                          return at != known_.end() && at->second.infinite;
                        });
      if (made) return describe_node(v, "infinity", known_.at(v).infinite);
    }
    return {};
  }

 private:
  NanReport describe_node(Value v, const std::string& kind, int64_t count) const {
    const Node& node = graph_.nodes[static_cast<size_t>(v.node)];
    NanReport r;
    r.found = true;
    r.kind = kind;
    r.op = node.op->name();
    for (size_t i = 0; i < graph_.inputs.size(); ++i)
      if (graph_.inputs[i] == v.node) r.name = graph_.input_name(i);
    r.scope = module_.scopes[static_cast<size_t>(node.scope)];
    r.source = node.source;
    r.node = v.node;
    r.count = count;
    r.type = types_.at(v);
    for (const Value& u : node.inputs) {
      const auto at = known_.find(u);
      if (at == known_.end()) continue;
      r.inputs += (r.inputs.empty() ? "" : "; ") + graph_.nodes[static_cast<size_t>(u.node)].op->name() +
                  " " + types_.at(u) + " " + describe(at->second);
    }
    return r;
  }

  const Graph& graph_;
  const Module& module_;
  std::vector<Value> order_;
  std::map<Value, Contents> known_;
  std::map<Value, std::string> types_;
};

}  // namespace

NanReport find_nan(const Program& program, std::span<const Array> in, const std::string& backend) {
  if (in.size() != program.graph().inputs.size())
    invalid("find_nan: the program takes " + std::to_string(program.graph().inputs.size()) +
            " arguments, got " + std::to_string(in.size()));
  // The operations as they were written: fused ones would hide which of them went wrong.
  const Program::Written written = program.as_written();
  const Instrumented all = instrument(written);
  Search search(*written.graph, *written.module, in);
  if (!all.values.empty()) {
    CompileOptions options;
    options.backend = backend;
    options.optimise = false;
    const std::vector<Array> results = Program(all.module, all.function, options).run(in);
    for (size_t i = 0; i < results.size(); ++i) search.add(all.values[i], results[i]);
  }
  return search.report();
}

std::string NanReport::str() const {
  if (!found) return "no NaN or infinity was found";
  std::string text = "the first " + kind + " is in ";
  text += op == "input" ? "the input '" + name + "'" : "the result of '" + op + "'";
  text += ", " + std::to_string(count) + " of the elements of " + type;
  if (!scope.empty()) text += ", in " + scope;
  if (*source.file) text += ", at " + std::string(source.file) + ":" + std::to_string(source.line);
  if (!inputs.empty()) text += "; its inputs: " + inputs;
  return text;
}

}  // namespace fovea::nn
