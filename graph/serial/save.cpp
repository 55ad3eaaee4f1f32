#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>
#include <unordered_map>

#include "framework/base/file.h"
#include "framework/base/version.h"
#include "graph/ir/op.h"
#include "graph/ir/structure.h"
#include "graph/serial/fovea.pb.h"
#include "graph/serial/model_file.h"
#include "graph/serial/wire_internal.h"

namespace fovea {
namespace serial {

static_assert(std::endian::native == std::endian::little, "the raw part is written as it lies in memory");

std::string write_header(const Header& header, std::string_view graph) {
  std::string out(kMagic);
  auto put = [&out](uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i));
  };
  put(static_cast<uint64_t>(header.major), 2);
  put(static_cast<uint64_t>(header.minor), 2);
  put(0, 4);
  put(static_cast<uint64_t>(header.graph_bytes), 8);
  put(static_cast<uint64_t>(header.file_bytes), 8);
  out.resize(kSignedHeaderBytes, '\0');
  Digester digester;
  digester.update(out.data(), static_cast<int64_t>(out.size()));
  digester.update(graph.data(), static_cast<int64_t>(graph.size()));
  const Digest digest = digester.value();
  out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  return out;
}

namespace {

// Numbers distinct texts from 1 on.
class StringTable {
 public:
  uint32_t add(std::string_view text) {
    if (last_number_ && text == last_) return last_number_;  // neighbours mostly share a file
    auto [at, fresh] = numbers_.emplace(text, static_cast<uint32_t>(numbers_.size() + 1));
    if (fresh) list_.push_back(&at->first);
    last_ = at->first;
    return last_number_ = at->second;
  }
  const std::vector<const std::string*>& list() const { return list_; }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
  std::vector<const std::string*> list_;
  std::string_view last_;
  uint32_t last_number_ = 0;
};

// The raw part: what lies where. Arrays that share all of their memory are written once.
class RawPart {
 public:
  void place(const Array& array, file::Place* out) {
    const auto key =
        std::make_tuple(static_cast<const void*>(array.raw()), array.dtype(), array.shape(), array.strides());
    if (auto at = known_.find(key); at != known_.end()) {
      *out = at->second;
      return;
    }
    const Array whole = array.contiguous();  // of a strided view a copy, dropped again until it is written
    add({array, {}}, whole.raw(), whole.nbytes(), out);
    known_.emplace(key, *out);
  }
  void place(const std::string& text, file::Place* out) {
    add({{}, text}, text.data(), static_cast<int64_t>(text.size()), out);
  }
  int64_t bytes() const { return end_; }

  void write(AtomicFile& file) const {
    for (const Piece& piece : pieces_) {
      file.pad_to(kAlignment);
      if (piece.array.defined()) {
        const Array whole = piece.array.contiguous();
        file.write(whole.raw(), whole.nbytes());
      } else {
        file.write(piece.text);
      }
    }
  }

 private:
  struct Piece {
    Array array;
    std::string_view text;
  };
  void add(Piece piece, const void* data, int64_t bytes, file::Place* out) {
    const int64_t offset = (end_ + kAlignment - 1) / kAlignment * kAlignment;
    const Digest digest = fovea::digest(data, bytes);
    out->set_offset(static_cast<uint64_t>(offset));
    out->set_bytes(static_cast<uint64_t>(bytes));
    out->set_digest(digest.bytes.data(), digest.bytes.size());
    if (bytes == 0) return;
    end_ = offset + bytes;
    pieces_.push_back(std::move(piece));
  }
  std::vector<Piece> pieces_;
  std::map<std::tuple<const void*, DType, Dims, Dims>, file::Place> known_;
  int64_t end_ = 0;
};

// Nodes are turned into bytes one at a time: a million of them as messages would take gigabytes.
class Encoder {
 public:
  std::string encode(const ModelFile& model, const Module& module) {
    file::Model rest;
    rest.set_producer(std::string("fovea ") + kVersion);
    for (const std::string& scope : module.scopes) rest.add_scopes(scope);
    std::set<std::string_view> called;
    for (const auto& [name, graph] : module.functions)
      for (const Node& node : graph->nodes)
        for (const auto& [attr, value] : node.attrs)
          if (const auto* f = std::get_if<FunctionRef>(&value)) called.insert(f->name);
    std::string out;
    for (const auto& [name, graph] : module.functions)
      append_field(out, file::Model::kFunctionsFieldNumber, function(*graph, !called.count(name)));
    for (const auto& [name, version] : ops_) {
      file::Op* op = rest.add_ops();
      op->set_name(name);
      op->set_version(static_cast<uint32_t>(version));
    }
    for (const Array& array : module.constants) tensor("", array, rest.add_constants());
    for (const auto& [name, array] : model.tensors) tensor(name, array, rest.add_tensors());
    for (const auto& [key, value] : model.metadata) {
      file::Metadata* entry = rest.add_metadata();
      entry->set_key(key);
      raw_.place(value, entry->mutable_place());
    }
    for (const std::string* text : strings_.list())
      append_field(out, file::Model::kStringsFieldNumber, *text);
    rest.AppendToString(&out);
    return out;
  }
  const RawPart& raw() const { return raw_; }

 private:
  std::string function(const Graph& graph, bool entry_point) {
    std::string out, bytes;
    for (const Node& n : graph.nodes) {
      node(n);
      node_.SerializeToString(&bytes);
      append_field(out, file::Function::kNodesFieldNumber, bytes);
    }
    file::Function rest;
    rest.set_name(graph.name);
    rest.set_entry_point(entry_point);
    rest.mutable_inputs()->Add(graph.inputs.begin(), graph.inputs.end());
    const bool indices =
        std::any_of(graph.outputs.begin(), graph.outputs.end(), [](Value v) { return v.index != 0; });
    for (const Value& v : graph.outputs) {
      rest.add_output_nodes(v.node);
      if (indices) rest.add_output_indices(static_cast<uint32_t>(v.index));
    }
    for (const std::string& name : graph.output_names) rest.add_output_names(name);
    for (const Guard& g : graph.guards) {
      file::Guard* guard = rest.add_guards();
      shape({g.a, g.b}, guard->mutable_sizes());
      guard->set_divides(g.divides);
      guard->set_what(g.what);
      guard->set_file(source_file(g.source));
      guard->set_line(g.source.line);
    }
    rest.AppendToString(&out);
    return out;
  }

  void node(const Node& n) {
    node_.Clear();
    node_.set_op(op_number(*n.op));
    const bool indices = std::any_of(n.inputs.begin(), n.inputs.end(), [](Value v) { return v.index != 0; });
    for (const Value& v : n.inputs) {
      node_.add_inputs(v.node);
      if (indices) node_.add_input_indices(static_cast<uint32_t>(v.index));
    }
    for (const auto& [name, value] : n.attrs) attr(name, value, node_.add_attrs());
    for (const TensorType& type : n.outputs) {
      file::Type* out = node_.add_outputs();
      out->set_dtype(static_cast<uint32_t>(type.dtype));
      shape(type.shape, out);
    }
    node_.set_file(source_file(n.source));
    node_.set_line(n.source.line);
    node_.set_scope(static_cast<uint32_t>(n.scope));
  }

  void attr(const std::string& name, const AttrValue& value, file::Attr* out) {
    out->set_name(strings_.add(name));
    if (const auto* v = std::get_if<bool>(&value)) out->set_flag(*v);
    if (const auto* v = std::get_if<int64_t>(&value)) out->set_integer(*v);
    if (const auto* v = std::get_if<double>(&value)) out->set_number(*v);
    if (const auto* v = std::get_if<std::string>(&value)) out->set_text(*v);
    if (const auto* v = std::get_if<DType>(&value)) out->set_dtype(static_cast<uint32_t>(*v));
    if (const auto* v = std::get_if<Ints>(&value))
      out->mutable_integers()->mutable_values()->Add(v->begin(), v->end());
    if (const auto* v = std::get_if<Floats>(&value))
      out->mutable_numbers()->mutable_values()->Add(v->begin(), v->end());
    if (const auto* v = std::get_if<Shape>(&value)) shape(*v, out->mutable_shape());
    if (const auto* v = std::get_if<FunctionRef>(&value)) out->set_function(v->name);
  }

  void shape(const Shape& shape, file::Type* out) {
    const bool numbers = is_concrete(shape);
    for (const Dim& d : shape) {
      out->add_sizes(d.is_const() ? d.value() : 0);
      if (!numbers) out->add_expressions(d.is_const() ? 0 : strings_.add(d.str()));
    }
  }

  void tensor(const std::string& name, const Array& array, file::Tensor* out) {
    out->set_name(name);
    out->set_dtype(static_cast<uint32_t>(array.dtype()));
    out->mutable_shape()->Add(array.shape().begin(), array.shape().end());
    raw_.place(array, out->mutable_place());
  }

  uint32_t source_file(const Source& source) { return *source.file ? strings_.add(source.file) : 0; }

  uint32_t op_number(const OpDecl& op) {
    auto [at, fresh] = op_numbers_.emplace(&op, static_cast<uint32_t>(op_numbers_.size() + 1));
    if (fresh) ops_.emplace_back(op.name(), op.version());
    return at->second;
  }

  StringTable strings_;
  RawPart raw_;
  file::Node node_;
  std::unordered_map<const OpDecl*, uint32_t> op_numbers_;
  std::vector<std::pair<std::string, int>> ops_;
};

}  // namespace
}  // namespace serial

void save(const std::string& path, const ModelFile& model) {
  static const Module empty;
  const Module& module = model.module ? *model.module : empty;
  verify_structure(module);
  verify(module);
  std::set<std::string_view> names;
  for (const auto& [name, array] : model.tensors) {
    if (!names.insert(name).second) invalid("save \"" + path + "\": two tensors are named '" + name + "'");
    if (!array.defined()) invalid("save \"" + path + "\": the tensor '" + name + "' is undefined");
  }
  serial::Encoder encoder;
  const std::string graph = encoder.encode(model, module);
  serial::Header header;
  header.graph_bytes = static_cast<int64_t>(graph.size());
  if (header.graph_bytes > serial::kMaxGraphBytes)
    fail(ErrorKind::Unsupported, "save \"" + path + "\": the graph takes " + std::to_string(graph.size()) +
                                     " bytes, at most " + std::to_string(serial::kMaxGraphBytes) +
                                     " can be saved");
  header.file_bytes = header.raw_start() + encoder.raw().bytes();
  AtomicFile file(path);
  file.write(serial::write_header(header, graph));
  file.write(graph);
  file.pad_to(serial::kAlignment);
  encoder.raw().write(file);
  file.commit();
}

}  // namespace fovea
