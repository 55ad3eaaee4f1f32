#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "framework/base/digest.h"
#include "framework/tensor/element.h"
#include "graph/ir/op.h"
#include "graph/ir/source_name.h"
#include "graph/ir/structure.h"
#include "graph/text/element_internal.h"
#include "graph/text/scanner_internal.h"
#include "graph/text/text.h"

namespace fovea {
namespace {

using text::Scanner;

// Reads all functions first and infers types afterwards, callees first: functions come in any order.
class Parser {
 public:
  Parser(std::string_view source, const std::vector<Array>& constants)
      : in_(source), supplied_(constants), module_(std::make_shared<Module>()) {
    scopes_.emplace("", 0);
  }

  std::shared_ptr<Module> module() {
    while (!in_.done()) {
      if (in_.take("constant"))
        constant();
      else if (in_.take("func"))
        function();
      else
        in_.error(in_.position(), "expected 'constant' or 'func', found " + in_.found());
    }
    for (const std::string& name : callees_first(*module_)) infer(functions_.at(name));
    verify_structure(*module_);
    verify(*module_);
    return module_;
  }

 private:
  struct Parsed {
    std::shared_ptr<Graph> graph;
    std::vector<size_t> positions;  // of the nodes
    size_t results = 0;
  };

  // Calls f and puts the place in front of its error.
  template <class F>
  auto located(size_t at, F&& f) {
    try {
      return f();
    } catch (const Error& e) {
      in_.error(at, e.message());
    }
  }

  // constant 0: f32[2] = [0.5, 1.0]
  void constant() {
    const size_t at = in_.position();
    if (in_.number<uint64_t>("the constant's number") != module_->constants.size())
      in_.error(at, "expected constant " + std::to_string(module_->constants.size()) +
                        ": they are numbered in order");
    in_.expect(":");
    const TensorType t = type();
    const Dims shape = located(at, [&] { return evaluate(t.shape, {}); });
    in_.expect("=");
    if (in_.take("xxh3")) return supplied_constant(at, t.dtype, shape);
    in_.expect("[");
    std::vector<std::pair<size_t, std::string_view>> elements;
    in_.items("]", [&] {
      const size_t where = in_.position();
      elements.emplace_back(
          where, in_.run([](char c) { return Scanner::is_word(c) || c == '-' || c == '+' || c == ':'; }));
    });
    const int64_t size = located(at, [&] { return product(shape); });
    if (size != static_cast<int64_t>(elements.size()))
      in_.error(at, std::to_string(elements.size()) + " elements for shape " + to_string(shape));
    Array array = located(at, [&] { return Array(t.dtype, shape); });
    dispatch(t.dtype, [&](auto zero) {
      using T = decltype(zero);
      for (size_t i = 0; i < elements.size(); ++i)
        static_cast<T*>(array.raw())[i] = element<T>(elements[i].second, elements[i].first);
    });
    module_->constants.push_back(std::move(array));
  }

  void supplied_constant(size_t at, DType dtype, const Dims& shape) {
    const std::string_view digest = in_.word("a digest");
    for (const Array& array : supplied_) {
      if (!array.defined() || array.dtype() != dtype || array.shape() != shape) continue;
      const Array whole = array.contiguous();
      if (fovea::digest(whole.raw(), whole.nbytes()).hex() != digest) continue;
      module_->constants.push_back(array);
      return;
    }
    in_.error(at, "none of the " + std::to_string(supplied_.size()) +
                      " arrays given is this constant: " + std::string(to_string(dtype)) + to_string(shape) +
                      " with digest " + std::string(digest.substr(0, 32)));
  }

  template <class T>
  T element(std::string_view word, size_t at) {
    if constexpr (std::is_same_v<T, bool>) {
      if (word != "true" && word != "false") in_.error(at, "expected true or false");
      return word == "true";
    } else if constexpr (std::is_integral_v<T>) {
      return in_.to_number<T>(word, at, "an integer of the constant's type");
    } else {
      if (word == "nan") return text::standard_nan<T>();
      if (word.substr(0, 4) == "nan:") {
        text::BitsOf<T> bits{};
        const auto [end, code] = std::from_chars(word.data() + 4, word.data() + word.size(), bits, 16);
        if (code != std::errc{} || end != word.data() + word.size())
          in_.error(at, "expected the bits of a NaN behind 'nan:'");
        return std::bit_cast<T>(bits);
      }
      using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
      return static_cast<T>(in_.to_number<Wide>(word, at, "a number"));
    }
  }

  // func @main(%0 "x": f32[B]) -> (%1 "y") { ... }
  void function() {
    const size_t at = in_.position();
    auto graph = std::make_shared<Graph>();
    in_.expect("@");
    graph->name = function_name();
    Parsed parsed{graph, {}, 0};
    std::map<NodeId, std::pair<Node, size_t>> arguments;  // until their turn in the numbering comes
    in_.expect("(");
    in_.items(")", [&] { argument(*graph, arguments); });
    in_.expect("->");
    in_.expect("(");
    parsed.results = in_.position();
    in_.items(")", [&] {
      graph->outputs.push_back(value());
      graph->output_names.push_back(in_.peek() == '"' ? in_.quoted() : "");
    });
    in_.expect("{");
    auto add = [&](Node node, size_t where) {
      graph->nodes.push_back(std::move(node));
      parsed.positions.push_back(where);
    };
    auto add_arguments = [&] {
      for (auto next = arguments.begin();
           next != arguments.end() && next->first == static_cast<NodeId>(graph->nodes.size());
           next = arguments.erase(next))
        add(std::move(next->second.first), next->second.second);
    };
    for (add_arguments(); !in_.take("}"); add_arguments()) {
      if (in_.take("guard")) {
        guard(*graph);
        continue;
      }
      const size_t where = in_.position();
      add(node(static_cast<NodeId>(graph->nodes.size())), where);
    }
    if (!arguments.empty())
      in_.error(arguments.begin()->second.second, "argument %" + std::to_string(arguments.begin()->first) +
                                                      " of a function of " +
                                                      std::to_string(graph->nodes.size()) + " nodes");
    if (!module_->functions.emplace(graph->name, graph).second)
      in_.error(at, "function '" + graph->name + "' is there twice");
    functions_.emplace(graph->name, std::move(parsed));
  }

  // %0 "x": f32[B] @"model.cpp":3
  void argument(Graph& graph, std::map<NodeId, std::pair<Node, size_t>>& arguments) {
    const size_t at = in_.position();
    const Value v = value();
    Node node;
    const std::string name = in_.peek() == '"' ? in_.quoted() : "";
    in_.expect(":");
    node.op = &find_op("input");
    node.outputs = {type()};
    node.attrs = {{"name", name}, {"dtype", node.outputs[0].dtype}, {"shape", node.outputs[0].shape}};
    origin(node.source, &node.scope);
    if (!arguments.emplace(v.node, std::make_pair(std::move(node), at)).second || v.index != 0)
      in_.error(at, "%" + std::to_string(v.node) + " cannot be this argument: it is another one");
    graph.inputs.push_back(v.node);
  }

  // %1 = exp(%0) {axis = 1} : f32[B] @"model.cpp":3 in "encoder"
  Node node(NodeId id) {
    const size_t at = in_.position();
    if (!(value() == Value{id, 0}))
      in_.error(at, "expected node %" + std::to_string(id) + " here: nodes are numbered in order");
    in_.expect("=");
    Node node;
    const size_t op_at = in_.position();
    const std::string_view op = in_.word("an op");
    node.op = located(op_at, [&] { return &find_op(op); });
    in_.expect("(");
    in_.items(")", [&] { node.inputs.push_back(value()); });
    if (in_.take("{"))
      in_.items("}", [&] {
        const size_t name_at = in_.position();
        const std::string_view name = in_.word("an attribute");
        if (node.attrs.has(name)) in_.error(name_at, "attribute '" + std::string(name) + "' is given twice");
        in_.expect("=");
        node.attrs.set(name, attr_value());
      });
    if (in_.take(":")) {
      do {
        node.outputs.push_back(type());
      } while (in_.take(","));
    }
    origin(node.source, &node.scope);
    return node;
  }

  // guard equal <B, L> "sentence" @"model.cpp":3
  void guard(Graph& graph) {
    Guard g;
    g.divides = in_.take("divides");
    if (!g.divides) in_.expect("equal");
    const size_t at = in_.position();
    in_.expect("<");
    const Shape sizes = dims(at, '>');
    if (sizes.size() != 2) in_.error(at, "a guard relates two sizes, not " + std::to_string(sizes.size()));
    g.a = sizes[0];
    g.b = sizes[1];
    g.what = in_.quoted();
    origin(g.source, nullptr);
    graph.guards.push_back(std::move(g));
  }

  void origin(Source& source, int32_t* scope) {
    if (in_.take("@")) {
      source.file = intern_source_name(in_.quoted());
      in_.expect(":");
      source.line = in_.number<int>("a line");
    }
    if (!scope || !in_.take("in")) return;
    auto [at, fresh] = scopes_.emplace(in_.quoted(), static_cast<int32_t>(scopes_.size()));
    if (fresh) module_->scopes.push_back(at->first);
    *scope = at->second;
  }

  Value value() {
    in_.expect("%");
    Value v{in_.number<int32_t>("a node's number"), 0};
    if (in_.take("#")) v.index = in_.number<int32_t>("an output's number");
    return v;
  }

  std::string function_name() {
    if (in_.peek() == '"') return in_.quoted();
    const std::string_view name = in_.run(text::is_name_char);
    if (name.empty()) in_.error(in_.position(), "expected a function's name, found " + in_.found());
    return std::string(name);
  }

  TensorType type() {
    const size_t at = in_.position();
    const std::string_view name = in_.word("a type");
    const auto dtype = dtype_from_string(name);
    if (!dtype) in_.error(at, "there is no element type '" + std::string(name.substr(0, 64)) + "'");
    in_.expect("[");
    return {*dtype, dims(at, ']')};
  }

  Shape dims(size_t at, char end) {
    std::string_view list = in_.until(end);
    Shape out;
    if (list.find_first_not_of(' ') == std::string_view::npos) return out;
    for (;;) {
      const size_t comma = std::min(list.find(','), list.size());
      std::string_view dim = list.substr(0, comma);
      dim.remove_prefix(std::min(dim.find_first_not_of(' '), dim.size()));
      out.push_back(located(at, [&] { return Dim::parse(dim); }));
      if (comma == list.size()) return out;
      list.remove_prefix(comma + 1);
    }
  }

  AttrValue attr_value() {
    const size_t at = in_.position();
    if (in_.peek() == '"') return in_.quoted();
    if (in_.take("@")) return FunctionRef{function_name()};
    if (in_.take("<")) return dims(at, '>');
    if (in_.take("[")) return list();
    const std::string_view word = scalar_word();
    if (word == "true" || word == "false") return word == "true";
    if (const auto dtype = dtype_from_string(word)) return *dtype;
    if (is_fractional(word)) return in_.to_number<double>(word, at, "a value");
    return in_.to_number<int64_t>(word, at, "a value");
  }

  // [1, 2] integers; [1.0, inf] or [.] numbers
  AttrValue list() {
    std::vector<std::pair<size_t, std::string_view>> words;
    in_.items("]", [&] {
      const size_t at = in_.position();
      words.emplace_back(at, scalar_word());
    });
    if (words.size() == 1 && words[0].second == ".") return Floats{};
    if (std::any_of(words.begin(), words.end(), [](const auto& w) { return is_fractional(w.second); })) {
      Floats out;
      for (const auto& [at, word] : words) out.push_back(in_.to_number<double>(word, at, "a number"));
      return out;
    }
    Ints out;
    for (const auto& [at, word] : words) out.push_back(in_.to_number<int64_t>(word, at, "an integer"));
    return out;
  }

  std::string_view scalar_word() {
    return in_.run([](char c) { return Scanner::is_word(c) || c == '-' || c == '+'; });
  }
  static bool is_fractional(std::string_view word) {
    return word.find_first_of(".einf") != std::string_view::npos;
  }

  // Types of all nodes; those that are written must be what the ops infer.
  void infer(Parsed& parsed) {
    Graph& graph = *parsed.graph;
    auto check_value = [&](Value v, size_t before, size_t at) {
      if (v.node < 0 || static_cast<size_t>(v.node) >= before || v.index < 0 ||
          static_cast<size_t>(v.index) >= graph.nodes[v.node].outputs.size())
        in_.error(at, "%" + std::to_string(v.node) + (v.index ? "#" + std::to_string(v.index) : "") +
                          " does not exist here");
    };
    for (size_t id = 0; id < graph.nodes.size(); ++id) {
      Node& node = graph.nodes[id];
      const size_t at = parsed.positions[id];
      std::vector<TensorType> in;
      for (const Value& v : node.inputs) {
        check_value(v, id, at);
        in.push_back(graph.type(v));
      }
      const bool written = !node.outputs.empty();
      const size_t guards = graph.guards.size();
      auto out = located(at, [&] {
        return node.op->check(node.attrs, in, module_.get(), written ? nullptr : &graph.guards);
      });
      for (size_t i = guards; i < graph.guards.size(); ++i) graph.guards[i].source = node.source;
      for (size_t i = 0; written && i < std::max(out.size(), node.outputs.size()); ++i)
        if (out.size() != node.outputs.size() || !(out[i] == node.outputs[i]))
          in_.error(at, "the op gives " + types_text(out) + ", the text says " + types_text(node.outputs));
      node.outputs = std::move(out);
    }
    for (const Value& v : graph.outputs) check_value(v, graph.nodes.size(), parsed.results);
  }

  static std::string types_text(const std::vector<TensorType>& types) {
    std::string out;
    for (size_t i = 0; i < types.size() && i < 8; ++i) out += (i ? ", " : "") + to_string(types[i]);
    return out.empty() ? "nothing" : out;
  }

  Scanner in_;
  const std::vector<Array>& supplied_;
  std::shared_ptr<Module> module_;
  std::unordered_map<std::string, int32_t> scopes_;
  std::map<std::string, Parsed> functions_;
};

}  // namespace

std::shared_ptr<Module> parse(std::string_view text, const std::vector<Array>& constants) {
  return Parser(text, constants).module();
}

}  // namespace fovea
