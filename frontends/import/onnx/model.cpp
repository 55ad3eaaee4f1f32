// Reading: a walk over the wire format takes out what needs no parsing (tensor data, documentation, unknown
// fields) and counts what the rest will cost in memory; then Protobuf parses what is left.
#include <google/protobuf/arena.h>

#include <algorithm>
#include <string>

#include "framework/base/checked.h"
#include "framework/base/file.h"
#include "frontends/import/onnx/model_internal.h"
#include "graph/serial/wire_internal.h"

namespace fovea::onnx {
namespace {

using serial::WireField;
using serial::WireReader;

enum class Kind : uint8_t {
  model,
  opset,
  graph,
  function,
  node,
  attribute,
  tensor,
  value_info,
  type,
  tensor_type,
  shape,
  dimension,
  entry,
  count
};

struct Member {
  uint32_t number;
  Kind kind;
};

// Of each message: which fields are messages again, which are kept as they are, and about how many bytes one
// takes when it is parsed.
struct Layout {
  const char* name;
  std::vector<Member> messages;
  std::vector<uint32_t> kept;
  int64_t cost;
};

const Layout& layout(Kind kind) {
  static const Layout layouts[static_cast<int>(Kind::count)] = {
      {"the model", {{7, Kind::graph}, {8, Kind::opset}, {25, Kind::function}}, {1, 2}, 512},
      {"an operator set", {}, {1, 2}, 96},
      {"a graph",
       {{1, Kind::node}, {5, Kind::tensor}, {11, Kind::value_info}, {12, Kind::value_info}},
       {2},
       512},
      {"a function", {{7, Kind::node}, {9, Kind::opset}}, {1, 4, 5, 6, 10}, 512},
      {"a node", {{5, Kind::attribute}}, {1, 2, 3, 4, 7}, 256},
      {"an attribute",
       {{5, Kind::tensor}, {6, Kind::graph}, {10, Kind::tensor}, {11, Kind::graph}},
       {1, 2, 3, 4, 7, 8, 9, 20, 21},
       320},
      {"a tensor", {{13, Kind::entry}}, {1, 2, 8, 14}, 320},
      {"a value", {{2, Kind::type}}, {1}, 128},
      {"a type", {{1, Kind::tensor_type}}, {4, 5, 8, 9}, 128},
      {"a tensor type", {{2, Kind::shape}}, {1}, 96},
      {"a shape", {{1, Kind::dimension}}, {}, 96},
      {"a size", {}, {1, 2}, 96},
      {"an entry", {}, {1, 2}, 96},
  };
  return layouts[static_cast<int>(kind)];
}

constexpr int kMaxDepth = 60;
constexpr uint32_t kNodeMetadata = 9, kNodeDoc = 6;

class Walk {
 public:
  Walk(const std::string& path, int64_t budget, std::vector<TensorBytes>& tensors)
      : path_(path), budget_(budget), tensors_(tensors) {}

  // The message without what is not needed.
  std::string message(Kind kind, std::string_view bytes, int64_t offset, int depth) {
    const Layout& l = layout(kind);
    if (depth > kMaxDepth)
      serial::fail_at(ErrorKind::Corrupt, path_, offset, l.name,
                      "lies " + std::to_string(depth) + " messages deep, at most " +
                          std::to_string(kMaxDepth) + " are allowed");
    charge(l.cost, offset, l.name);
    std::string out;
    TensorBytes data;
    WireReader reader(path_, bytes, offset, l.name);
    WireField field;
    while (reader.next(field)) {
      if (kind == Kind::tensor && take_data(field, data)) continue;
      if (kind == Kind::node && field.number == kNodeMetadata) {
        take_scope(field, out);
        continue;
      }
      if (const Member* m = member(l, field.number)) {
        require_length(field, l.name);
        serial::append_field(out, field.number, message(m->kind, field.payload, field.offset, depth + 1));
      } else if (std::find(l.kept.begin(), l.kept.end(), field.number) != l.kept.end()) {
        // Text takes a string of its own, lists grow to eight bytes an element.
        charge(48 + 8 * static_cast<int64_t>(field.whole.size()), field.offset, l.name);
        out += field.whole;
      }
    }
    if (kind == Kind::tensor) {
      uint64_t index = tensors_.size();
      tensors_.push_back(std::move(data));
      serial::append_field(out, 9, std::string_view(reinterpret_cast<const char*>(&index), sizeof index));
    }
    return out;
  }

 private:
  static const Member* member(const Layout& l, uint32_t number) {
    for (const Member& m : l.messages)
      if (m.number == number) return &m;
    return nullptr;
  }

  void require_length(const WireField& field, const char* name) const {
    // Only a field with a length has contents that are a message.
    if ((static_cast<unsigned char>(field.whole[0]) & 7) != 2)
      serial::fail_at(ErrorKind::Corrupt, path_, field.offset, name,
                      "field " + std::to_string(field.number) + " is no message");
  }

  // Numbers of a tensor stay where they are in the file.
  bool take_data(const WireField& field, TensorBytes& data) {
    switch (field.number) {
      case 4:   // float_data
      case 5:   // int32_data
      case 7:   // int64_data
      case 9:   // raw_data
      case 10:  // double_data
      case 11:  // uint64_data
        break;
      default:
        return false;
    }
    const int field_number = static_cast<int>(field.number);
    if (field.payload.empty() && (static_cast<unsigned char>(field.whole[0]) & 7) == 2) return true;
    if (data.field != 0 && data.field != field_number)
      serial::fail_at(ErrorKind::Corrupt, path_, field.offset, "a tensor",
                      "has data in field " + std::to_string(field_number) + " and in field " +
                          std::to_string(data.field));
    if (field_number == 9) data.pieces.clear();  // of a repeated single field the last counts
    data.field = field_number;
    // A number on its own: its bytes behind the tag, which is one byte for all these fields.
    charge(16, field.offset, "a tensor");
    data.pieces.push_back((static_cast<unsigned char>(field.whole[0]) & 7) == 0 ? field.whole.substr(1)
                                                                                : field.payload);
    return true;
  }

  // PyTorch tells the module a node came from; it is kept in place of the documentation.
  void take_scope(const WireField& field, std::string& out) {
    WireReader reader(path_, field.payload, field.offset, "an entry");
    WireField part;
    std::string_view key, value;
    while (reader.next(part)) (part.number == 1 ? key : value) = part.payload;
    if (key != "pkg.torch.onnx.name_scopes" || value.size() > 4096) return;
    charge(48 + static_cast<int64_t>(value.size()), field.offset, "a node");
    serial::append_field(out, kNodeDoc, value);
  }

  void charge(int64_t bytes, int64_t offset, const char* name) {
    used_ += bytes;
    if (used_ > budget_)
      serial::fail_at(
          ErrorKind::ResourceExhausted, path_, offset, name,
          "the messages up to here would take more than " + std::to_string(budget_) + " bytes of memory");
  }

  const std::string& path_;
  int64_t budget_, used_ = 0;
  std::vector<TensorBytes>& tensors_;
};

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

constexpr int64_t kMaxFile = (int64_t{1} << 31) - 1;  // what one message can hold

}  // namespace

ModelBytes::ModelBytes(const std::string& path, Root root)
    : path_(path), folder_(folder_of(path)), bytes_(read_file(path, kMaxFile)) {
  const auto size = static_cast<int64_t>(bytes_.size());
  Walk walk(path_, checked_add(size, int64_t{256} << 20), tensors_);
  const std::string rest = walk.message(root == Root::model ? Kind::model : Kind::tensor, bytes_, 0, 0);
  google::protobuf::MessageLite* message;
  if (root == Root::model)
    message = model_ = google::protobuf::Arena::CreateMessage<onnx_file::ModelProto>(&arena_);
  else
    message = tensor_ = google::protobuf::Arena::CreateMessage<onnx_file::TensorProto>(&arena_);
  if (!message->ParsePartialFromArray(rest.data(), static_cast<int>(rest.size())))
    fail(ErrorKind::Corrupt, "\"" + path_ + "\": its " + std::to_string(size) + " bytes are no ONNX " +
                                 (root == Root::model ? "model" : "tensor"));
  if (root == Root::model && !model_->has_graph())
    fail(ErrorKind::Corrupt, "\"" + path_ + "\": not an ONNX model: it holds no graph");
}

}  // namespace fovea::onnx
