// The top level of a graph: strings, ops, scopes, and where tensors lie.
#include <algorithm>
#include <set>

#include "framework/base/checked.h"
#include "graph/serial/decode_internal.h"
#include "graph/serial/fovea.pb.h"

namespace fovea::serial {
namespace {

uint64_t little_endian(const std::string& bytes, size_t at, int count) {
  uint64_t v = 0;
  for (int i = count; i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[at + static_cast<size_t>(i)]);
  return v;
}

// The first bytes of a file as a person can read them.
std::string quoted_bytes(std::string_view bytes) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (unsigned char c : bytes) {
    if (c >= 0x20 && c < 0x7F)
      out += static_cast<char>(c);
    else
      ((out += "\\x") += hex[c >> 4]) += hex[c & 15];
  }
  return out + "\"";
}

Header read_header(const FileReader& file) {
  const std::string& path = file.path();
  const int64_t there = std::min<int64_t>(file.size(), kHeaderBytes);
  const std::string bytes = file.read_text(0, there, "the header");
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size()) || bytes.empty())
    fail(ErrorKind::Corrupt,
         "\"" + path + "\": not a .fovea file: begins with " + quoted_bytes(bytes.substr(0, 8)));
  if (there < kHeaderBytes)
    fail_at(
        ErrorKind::Corrupt, path, there, "the header",
        "the file ends after " + std::to_string(there) + " of " + std::to_string(kHeaderBytes) + " bytes");
  Header h;
  h.major = static_cast<int>(little_endian(bytes, 8, 2));
  h.minor = static_cast<int>(little_endian(bytes, 10, 2));
  if (h.major > kFormatMajor)
    fail_at(ErrorKind::VersionMismatch, path, 8, "the format version",
            "the file is of version " + std::to_string(h.major) + "." + std::to_string(h.minor) +
                ", this program reads up to " + std::to_string(kFormatMajor) + ".x: use a newer Fovea");
  const uint64_t graph = little_endian(bytes, 16, 8), whole = little_endian(bytes, 24, 8);
  if (whole != static_cast<uint64_t>(file.size()))
    fail_at(ErrorKind::Corrupt, path, 24, "the file's length",
            "declared " + std::to_string(whole) + " bytes, the file has " + std::to_string(file.size()));
  if (graph > static_cast<uint64_t>(std::min(kMaxGraphBytes, file.size() - kHeaderBytes)))
    fail_at(ErrorKind::Corrupt, path, 16, "the graph's length",
            "declared " + std::to_string(graph) + " bytes, " + std::to_string(file.size() - kHeaderBytes) +
                " follow the header");
  h.graph_bytes = static_cast<int64_t>(graph);
  h.file_bytes = static_cast<int64_t>(whole);
  if (h.major < 1 || h.raw_start() > h.file_bytes)
    fail_at(ErrorKind::Corrupt, path, 8, "the header",
            "version " + std::to_string(h.major) + ", raw part at " + std::to_string(h.raw_start()) + " of " +
                std::to_string(h.file_bytes) + " bytes");
  return h;
}

template <class Message>
Message parse(const std::string& path, std::string_view bytes, int64_t offset, std::string_view field) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    fail_at(ErrorKind::Corrupt, path, offset, field,
            "its " + std::to_string(bytes.size()) + " bytes are no such message");
  return message;
}

}  // namespace

void Budget::require(int64_t bytes, int64_t offset, std::string_view field) const {
  if (bytes > limit_ - used_)
    fail_at(ErrorKind::ResourceExhausted, path_, offset, field,
            "would take " + std::to_string(bytes) + " bytes of memory behind " + std::to_string(used_) +
                "; this file may take " + std::to_string(limit_) +
                ": raise LoadOptions::memory if the file is to be trusted");
}

GraphBytes read_graph(const FileReader& file) {
  GraphBytes out{read_header(file), {}};
  out.bytes = file.read_text(kHeaderBytes, out.header.graph_bytes, "the graph");
  const std::string header = file.read_text(0, kHeaderBytes, "the header");
  Digester digester;
  digester.update(header.data(), kSignedHeaderBytes);
  digester.update(out.bytes.data(), out.header.graph_bytes);
  const Digest found = digester.value();
  if (!std::equal(found.bytes.begin(), found.bytes.end(),
                  reinterpret_cast<const uint8_t*>(header.data()) + kSignedHeaderBytes))
    fail_at(ErrorKind::Corrupt, file.path(), kSignedHeaderBytes, "the graph's digest",
            "header and graph (bytes 0 to " + std::to_string(kHeaderBytes + out.header.graph_bytes) +
                ") do not have it");
  return out;
}

ModelParts::ModelParts(const FileReader& file, const GraphBytes& graph, int64_t memory)
    : path_(file.path()),
      header_(graph.header),
      // The peak is made of graph bytes and module, then of module and weights.
      budget_(path_, std::max(memory, checked_add(checked_mul(2, file.size()), int64_t{256} << 20)) -
                         std::max(header_.graph_bytes, header_.file_bytes - header_.raw_start())) {
  WireReader reader(path_, graph.bytes, kHeaderBytes, "the graph");
  WireField field;
  std::string rest;
  int64_t rest_fields = 0;
  auto entry = [&](std::vector<Entry>& list, const std::string& name, const file::Place& place) -> Entry& {
    budget_.charge(static_cast<int64_t>(512 + name.size()), field.offset, "the tensor index");
    const std::string what = "the index entry '" + name.substr(0, 200) + "'";
    const uint64_t room = static_cast<uint64_t>(header_.file_bytes - header_.raw_start());
    if (place.offset() % kAlignment != 0 || place.offset() > room || place.bytes() > room - place.offset())
      fail_at(ErrorKind::Corrupt, path_, field.offset, what,
              std::to_string(place.bytes()) + " bytes at " + std::to_string(place.offset()) +
                  " of a raw part of " + std::to_string(room));
    Entry& e = list.emplace_back();
    e.name = name;
    e.offset = header_.raw_start() + static_cast<int64_t>(place.offset());
    e.bytes = static_cast<int64_t>(place.bytes());
    if (place.digest().size() != e.digest.bytes.size())
      fail_at(ErrorKind::Corrupt, path_, field.offset, what,
              "a digest of " + std::to_string(place.digest().size()) + " bytes, not 16");
    std::copy(place.digest().begin(), place.digest().end(), e.digest.bytes.begin());
    return e;
  };
  while (reader.next(field)) {
    const int64_t size = static_cast<int64_t>(field.payload.size());
    switch (field.number) {
      case file::Model::kStringsFieldNumber:
        budget_.charge(2 * sizeof(std::string_view), field.offset, "a string");
        strings_.push_back(field.payload);
        break;
      case file::Model::kFunctionsFieldNumber:
        budget_.charge(512 + size / 64, field.offset, "a function");
        functions_.push_back(field);
        break;
      case file::Model::kConstantsFieldNumber:
      case file::Model::kTensorsFieldNumber: {
        const bool constant = field.number == file::Model::kConstantsFieldNumber;
        budget_.require(16 * size, field.offset, "a tensor");
        const auto t = parse<file::Tensor>(path_, field.payload, field.offset, "a tensor");
        if (t.dtype() >= static_cast<uint32_t>(kDTypeCount) || t.shape_size() > 64)
          fail_at(ErrorKind::Corrupt, path_, field.offset, "a tensor",
                  "element type " + std::to_string(t.dtype()) + ", rank " + std::to_string(t.shape_size()));
        Entry& e = entry(constant ? constants : tensors, t.name(), t.place());
        e.dtype = static_cast<DType>(t.dtype());
        e.shape.assign(t.shape().begin(), t.shape().end());
        break;
      }
      case file::Model::kMetadataFieldNumber: {
        budget_.require(16 * size, field.offset, "metadata");
        const auto m = parse<file::Metadata>(path_, field.payload, field.offset, "metadata");
        Entry& e = entry(metadata, m.key(), m.place());
        e.shape = {e.bytes};
        e.metadata = true;
        break;
      }
      default:
        budget_.require(static_cast<int64_t>(rest.size()) + size, field.offset, "the graph");
        rest += field.whole;
        ++rest_fields;
    }
  }
  read_rest(rest, rest_fields);
  check_places();
}

void ModelParts::read_rest(std::string_view rest, int64_t fields) {
  budget_.charge(160 * fields + 2 * static_cast<int64_t>(rest.size()), kHeaderBytes, "ops and scopes");
  const auto model = parse<file::Model>(path_, rest, kHeaderBytes, "ops and scopes");
  producer = model.producer();
  for (const file::Op& op : model.ops()) {
    if (op.version() > 1000000)
      fail_at(ErrorKind::Corrupt, path_, kHeaderBytes, "op '" + op.name().substr(0, 64) + "'",
              "version " + std::to_string(op.version()));
    ops.emplace_back(op.name(), static_cast<int>(op.version()));
  }
  scopes.assign(model.scopes().begin(), model.scopes().end());
}

// Sizes agree with shapes, names are distinct, and no byte belongs to two entries unless it is the same
// array.
void ModelParts::check_places() {
  std::vector<const Entry*> all;
  auto refuse = [&](const Entry& e, const std::string& what) {
    fail_at(ErrorKind::Corrupt, path_, e.offset, "the tensor '" + e.name.substr(0, 200) + "'", what);
  };
  for (const auto* list : {&tensors, &constants, &metadata}) {
    std::set<std::string_view> names;
    for (const Entry& e : *list) {
      int64_t bytes = size_of(e.dtype);
      for (int64_t d : e.shape) {
        if (d < 0) refuse(e, "shape " + to_string(e.shape) + " has a negative size");
        if (__builtin_mul_overflow(bytes, d, &bytes))
          refuse(e, "shape " + to_string(e.shape) + " overflows 64 bits");
      }
      if (bytes != e.bytes)
        refuse(e, "shape " + to_string(e.shape) + " of " + std::string(to_string(e.dtype)) + " takes " +
                      std::to_string(bytes) + " bytes, the file gives it " + std::to_string(e.bytes));
      if (list != &constants && !names.insert(e.name).second) refuse(e, "the name is given twice");
      if (e.bytes > 0) all.push_back(&e);
    }
  }
  std::sort(all.begin(), all.end(), [](const Entry* a, const Entry* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < all.size(); ++i) {
    const Entry &a = *all[i - 1], &b = *all[i];
    const bool same = !a.metadata && !b.metadata && a.offset == b.offset && a.dtype == b.dtype &&
                      a.shape == b.shape && a.digest == b.digest;
    if (!same && b.offset < a.offset + a.bytes)
      refuse(b, "overlaps '" + a.name.substr(0, 200) + "' at " + std::to_string(a.offset) + " to " +
                    std::to_string(a.offset + a.bytes));
  }
}

std::string_view ModelParts::text(uint32_t number, int64_t offset, std::string_view field) const {
  if (number == 0 || number > strings_.size())
    fail_at(ErrorKind::Corrupt, path_, offset, field,
            "string " + std::to_string(number) + " of " + std::to_string(strings_.size()));
  return strings_[number - 1];
}

const Dim& ModelParts::expression(uint32_t number, int64_t offset, std::string_view field) {
  if (auto at = expressions_.find(number); at != expressions_.end()) return at->second;
  const std::string_view source = text(number, offset, field);
  budget_.charge(256 + 128 * static_cast<int64_t>(source.size()), offset, field);
  return expressions_.emplace(number, Dim::parse(source)).first->second;
}

}  // namespace fovea::serial
