// Functions and their nodes.
#include <algorithm>
#include <bit>
#include <set>

#include "graph/ir/op.h"
#include "graph/ir/source_name.h"
#include "graph/serial/decode_internal.h"
#include "graph/serial/fovea.pb.h"

namespace fovea::serial {
namespace {

// Memory that parsing a message of this many bytes and fields can take: packed numbers grow 8-fold.
int64_t parsed_size(int64_t bytes, int64_t fields) { return 16 * bytes + 160 * fields; }

}  // namespace

// A Function without its nodes, which stay bytes until they are wanted.
struct ModelParts::Function {
  file::Function rest;
  WireField field;
  int64_t nodes = 0;
};

class ModelParts::Decoder {
 public:
  explicit Decoder(ModelParts& parts) : parts_(parts), path_(parts.path_) {}

  Function function(const WireField& field) {
    Function out;
    out.field = field;
    std::string rest;
    int64_t fields = 0;
    WireReader reader(path_, field.payload, field.offset, "a function");
    for (WireField f; reader.next(f);) {
      if (f.number == file::Function::kNodesFieldNumber) {
        ++out.nodes;
        continue;
      }
      parts_.budget_.require(static_cast<int64_t>(rest.size() + f.whole.size()), f.offset, "a function");
      rest += f.whole;
      ++fields;
    }
    parts_.budget_.require(parsed_size(static_cast<int64_t>(rest.size()), fields), field.offset,
                           "a function");
    if (!out.rest.ParseFromString(rest)) corrupt(field.offset, "a function", "its bytes are no such message");
    const file::Function& f = out.rest;
    if (f.output_names_size() != f.output_nodes_size() ||
        (f.output_indices_size() != 0 && f.output_indices_size() != f.output_nodes_size()))
      corrupt(field.offset, name(out),
              std::to_string(f.output_nodes_size()) + " outputs, " + std::to_string(f.output_names_size()) +
                  " names and " + std::to_string(f.output_indices_size()) + " indices");
    return out;
  }

  // Calls f(id, node) for the nodes that wanted(id) asks for.
  template <class Wanted, class F>
  void each_node(const Function& function, Wanted&& wanted, F&& f) {
    WireReader reader(path_, function.field.payload, function.field.offset, "a function");
    int64_t id = 0;
    for (WireField field; reader.next(field);) {
      if (field.number != file::Function::kNodesFieldNumber || !wanted(id++)) continue;
      f(id - 1, parse_node(field), field.offset);
    }
  }

  std::shared_ptr<Graph> graph(const Function& function) {
    auto graph = std::make_shared<Graph>();
    const file::Function& rest = function.rest;
    const int64_t at = function.field.offset;
    graph->name = rest.name();
    parts_.budget_.charge(function.nodes * static_cast<int64_t>(sizeof(Node)), at, name(function));
    graph->nodes.reserve(static_cast<size_t>(function.nodes));
    each_node(
        function, [](int64_t) { return true; },
        [&](int64_t id, const file::Node& node, int64_t offset) {
          graph->nodes.push_back(make_node(node, id, offset, graph->name));
        });
    parts_.budget_.charge(4 * rest.inputs_size() + 48 * rest.output_nodes_size() + 256 * rest.guards_size() +
                              2 * static_cast<int64_t>(rest.ByteSizeLong()),
                          at, name(function));
    graph->inputs.assign(rest.inputs().begin(), rest.inputs().end());
    for (int i = 0; i < rest.output_nodes_size(); ++i)
      graph->outputs.push_back({rest.output_nodes(i), rest.output_indices_size()
                                                          ? static_cast<int32_t>(rest.output_indices(i))
                                                          : 0});
    graph->output_names.assign(rest.output_names().begin(), rest.output_names().end());
    for (const file::Guard& g : rest.guards()) {
      const Shape sizes = shape(g.sizes(), at, "a guard");
      if (sizes.size() != 2)
        corrupt(at, "a guard", "relates " + std::to_string(sizes.size()) + " sizes, not 2");
      graph->guards.push_back({sizes[0], sizes[1], g.divides(), g.what(), source(g.file(), g.line(), at)});
    }
    return graph;
  }

  TensorType type(const file::Type& t, int64_t offset, std::string_view field) {
    return {dtype(t.dtype(), offset, field), shape(t, offset, field)};
  }

  // All ops that cannot be used, with the nodes that do.
  void report_ops() const {
    if (unusable_.empty()) return;
    std::string unknown, newer;
    for (const auto& [op, use] : unusable_) {
      const auto& [op_name, version] = parts_.ops[op];
      const OpDecl* known = lookup_op(op_name);
      std::string line = "\n  '" + op_name.substr(0, 64) + "' version " + std::to_string(version);
      if (known) line += " (this program has version " + std::to_string(known->version()) + ")";
      line += ": " + use.names;
      if (use.count > kNamed) line += " and " + std::to_string(use.count - kNamed) + " more";
      (known ? newer : unknown) += line;
    }
    const std::string head = "\"" + path_ + "\": ";
    if (unknown.empty())
      fail(ErrorKind::VersionMismatch, head + "ops of newer versions:" + newer + "\n  use a newer Fovea");
    fail(ErrorKind::Unsupported, head + "ops that are unknown here:" + unknown +
                                     (newer.empty() ? "" : "\n  and newer ones:") + newer +
                                     "\n  register them before loading");
  }

  std::string name(const Function& f) const { return "function '" + f.rest.name().substr(0, 200) + "'"; }

 private:
  static constexpr int64_t kNamed = 4;
  struct Use {
    std::string names;
    int64_t count = 0;
  };

  [[noreturn]] void corrupt(int64_t offset, std::string_view field, const std::string& what) const {
    fail_at(ErrorKind::Corrupt, path_, offset, field, what);
  }

  const file::Node& parse_node(const WireField& field) {
    int64_t fields = 0;
    WireReader reader(path_, field.payload, field.offset, "a node");
    for (WireField f; reader.next(f);) ++fields;
    const int64_t size = parsed_size(static_cast<int64_t>(field.payload.size()), fields);
    if (size > kLarge) parts_.budget_.require(2 * size, field.offset, "a node");
    if (large_) node_ = file::Node();  // a message keeps its memory when it is read again
    large_ = size > kLarge;
    if (!node_.ParseFromArray(field.payload.data(), static_cast<int>(field.payload.size())))
      corrupt(field.offset, "a node",
              "its " + std::to_string(field.payload.size()) + " bytes are no such message");
    return node_;
  }

  Node make_node(const file::Node& n, int64_t id, int64_t offset, const std::string& function) {
    const std::string field = "node " + std::to_string(id) + " of function '" + function.substr(0, 200) + "'";
    Node out;
    if (n.op() == 0 || n.op() > parts_.ops.size())
      corrupt(offset, field, "op " + std::to_string(n.op()) + " of " + std::to_string(parts_.ops.size()));
    out.op = op(n.op() - 1, id, function);
    if (n.input_indices_size() != 0 && n.input_indices_size() != n.inputs_size())
      corrupt(offset, field,
              std::to_string(n.inputs_size()) + " inputs and " + std::to_string(n.input_indices_size()) +
                  " indices");
    parts_.budget_.charge(memory_of(n), offset, field);
    out.inputs.reserve(static_cast<size_t>(n.inputs_size()));
    for (int i = 0; i < n.inputs_size(); ++i)
      out.inputs.push_back(
          {n.inputs(i), n.input_indices_size() ? static_cast<int32_t>(n.input_indices(i)) : 0});
    for (const file::Attr& a : n.attrs()) {
      const std::string_view attr_name = parts_.text(a.name(), offset, field);
      if (out.attrs.has(attr_name))
        corrupt(offset, field, "attribute '" + std::string(attr_name.substr(0, 64)) + "' is given twice");
      out.attrs.set(attr_name, attr(a, offset, field));
    }
    out.outputs.reserve(static_cast<size_t>(n.outputs_size()));
    for (const file::Type& t : n.outputs()) out.outputs.push_back(type(t, offset, field));
    out.source = source(n.file(), n.line(), offset);
    if (n.scope() >= parts_.scopes.size())
      corrupt(offset, field,
              "scope " + std::to_string(n.scope()) + " of " + std::to_string(parts_.scopes.size()));
    out.scope = static_cast<int32_t>(n.scope());
    return out;
  }

  // What a Node takes beside its own size, as malloc rounds it.
  static int64_t memory_of(const file::Node& n) {
    auto list = [](int64_t count, int64_t size) { return count > 0 ? 16 + count * size : 0; };
    int64_t bytes = list(n.inputs_size(), sizeof(Value)) + 8 + list(n.outputs_size(), sizeof(TensorType));
    for (const file::Type& t : n.outputs()) bytes += list(t.sizes_size(), sizeof(Dim));
    if (n.attrs_size() > 0)
      bytes += list(static_cast<int64_t>(std::bit_ceil(static_cast<unsigned>(n.attrs_size()))),
                    sizeof(std::pair<std::string, AttrValue>));
    for (const file::Attr& a : n.attrs())
      bytes += list(a.shape().sizes_size(), sizeof(Dim)) + list(a.integers().values_size(), sizeof(int64_t)) +
               list(a.numbers().values_size(), sizeof(double)) +
               list(static_cast<int64_t>(a.text().size() + a.function().size()), 1);
    return bytes;
  }

  const OpDecl* op(uint32_t number, int64_t id, const std::string& function) {
    if (known_.empty())
      for (const auto& [op_name, version] : parts_.ops) {
        const OpDecl* decl = lookup_op(op_name);
        known_.push_back(decl && decl->version() >= version ? decl : nullptr);
      }
    if (!known_[number]) {
      Use& use = unusable_[number];
      if (++use.count <= kNamed)
        use.names += (use.count > 1 ? ", " : "") + function.substr(0, 100) + " %" + std::to_string(id);
    }
    return known_[number];
  }

  AttrValue attr(const file::Attr& a, int64_t offset, std::string_view field) {
    switch (a.value_case()) {
      case file::Attr::kFlag:
        return a.flag();
      case file::Attr::kInteger:
        return static_cast<int64_t>(a.integer());
      case file::Attr::kNumber:
        return a.number();
      case file::Attr::kText:
        return a.text();
      case file::Attr::kDtype:
        return dtype(a.dtype(), offset, field);
      case file::Attr::kIntegers:
        return Ints(a.integers().values().begin(), a.integers().values().end());
      case file::Attr::kNumbers:
        return Floats(a.numbers().values().begin(), a.numbers().values().end());
      case file::Attr::kShape:
        return shape(a.shape(), offset, field);
      case file::Attr::kFunction:
        return FunctionRef{a.function()};
      case file::Attr::VALUE_NOT_SET:
        break;
    }
    corrupt(offset, field, "an attribute has no value of a known kind");
  }

  DType dtype(uint32_t number, int64_t offset, std::string_view field) const {
    if (number >= static_cast<uint32_t>(kDTypeCount))
      corrupt(offset, field, "element type " + std::to_string(number));
    return static_cast<DType>(number);
  }

  Shape shape(const file::Type& t, int64_t offset, std::string_view field) {
    if (t.expressions_size() != 0 && t.expressions_size() != t.sizes_size())
      corrupt(offset, field,
              std::to_string(t.sizes_size()) + " sizes and " + std::to_string(t.expressions_size()) +
                  " expressions");
    Shape out;
    out.reserve(static_cast<size_t>(t.sizes_size()));
    for (int i = 0; i < t.sizes_size(); ++i) {
      const uint32_t number = t.expressions_size() ? t.expressions(i) : 0;
      if (number)
        out.push_back(parts_.expression(number, offset, field));
      else
        out.emplace_back(static_cast<int64_t>(t.sizes(i)));
    }
    return out;
  }

  Source source(uint32_t number, int line, int64_t offset) {
    if (number == 0) return {"", line};
    auto [at, fresh] = files_.emplace(number, nullptr);
    if (fresh) at->second = intern_source_name(parts_.text(number, offset, "a source file"));
    return {at->second, line};
  }

  static constexpr int64_t kLarge = 1 << 20;
  ModelParts& parts_;
  const std::string& path_;
  file::Node node_;
  bool large_ = false;
  std::vector<const OpDecl*> known_;
  std::map<uint32_t, Use> unusable_;
  std::unordered_map<uint32_t, const char*> files_;
};

std::shared_ptr<Module> ModelParts::module() {
  auto module = std::make_shared<Module>();
  if (scopes.empty() || !scopes[0].empty())
    fail_at(ErrorKind::Corrupt, path_, kHeaderBytes, "the scopes", "the first one is not \"\"");
  module->scopes = scopes;
  Decoder decoder(*this);
  for (const WireField& field : functions_) {
    const Function f = decoder.function(field);
    if (!module->functions.emplace(f.rest.name(), decoder.graph(f)).second)
      fail_at(ErrorKind::Corrupt, path_, field.offset, decoder.name(f), "the name is given twice");
  }
  decoder.report_ops();
  return module;
}

std::vector<FunctionSummary> ModelParts::functions() {
  std::vector<FunctionSummary> out;
  Decoder decoder(*this);
  for (const WireField& field : functions_) {
    const Function f = decoder.function(field);
    const file::Function& rest = f.rest;
    // The nodes behind arguments and results: their types and, for arguments, the attribute "name".
    std::map<int64_t, std::pair<std::string, std::vector<TensorType>>> ends;
    for (int id : rest.inputs()) ends[id];
    for (int id : rest.output_nodes()) ends[id];
    budget_.require(512 * static_cast<int64_t>(ends.size()), field.offset, decoder.name(f));
    decoder.each_node(
        f, [&](int64_t id) { return ends.count(id) > 0; },
        [&](int64_t id, const file::Node& node, int64_t offset) {
          auto& [name, types] = ends[id];
          for (const file::Type& t : node.outputs())
            types.push_back(decoder.type(t, offset, decoder.name(f)));
          for (const file::Attr& a : node.attrs())
            if (text(a.name(), offset, "an attribute") == "name") name = a.text();
        });
    auto type = [&](int64_t id, int64_t index) -> const TensorType& {
      const auto& types = ends[id].second;
      if (index >= static_cast<int64_t>(types.size()))
        fail_at(ErrorKind::Corrupt, path_, field.offset, decoder.name(f),
                "names output " + std::to_string(index) + " of node " + std::to_string(id) +
                    ", which does not exist");
      return types[static_cast<size_t>(index)];
    };
    FunctionSummary& s = out.emplace_back(FunctionSummary{rest.name(), {}, {}, f.nodes, rest.entry_point()});
    for (int id : rest.inputs()) s.inputs.emplace_back(ends[id].first, type(id, 0));
    for (int i = 0; i < rest.output_nodes_size(); ++i)
      s.outputs.emplace_back(
          rest.output_names(i),
          type(rest.output_nodes(i), rest.output_indices_size() ? rest.output_indices(i) : 0));
  }
  return out;
}

}  // namespace fovea::serial
