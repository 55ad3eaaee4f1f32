#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "framework/base/file.h"
#include "graph/ir/structure.h"
#include "graph/serial/decode_internal.h"
#include "graph/serial/model_file.h"

namespace fovea {
namespace serial {
namespace {

void check_digest(const FileReader& file, const Entry& entry, const Digest& found) {
  if (found == entry.digest) return;
  fail_at(ErrorKind::Corrupt, file.path(), entry.offset, "the tensor '" + entry.name.substr(0, 200) + "'",
          "its " + std::to_string(entry.bytes) + " bytes have the digest " + found.hex() + ", not " +
              entry.digest.hex() + " as when they were saved");
}

// Reads arrays, or makes views of one mapping. Entries at the same place give arrays that share memory.
class Weights {
 public:
  Weights(const FileReader& file, bool map) : file_(file) {
    if (!map) return;
    mapping_ = std::make_shared<MappedFile>(file.path());
    // The header holds the digest of all that says where weights lie.
    const std::string header = file.read_text(0, kHeaderBytes, "the header");
    if (mapping_->size() != file.size() || std::memcmp(mapping_->data(), header.data(), header.size()) != 0)
      fail_at(ErrorKind::Corrupt, file.path(), 0, "the file", "was replaced while it was read: map it again");
    // A private mapping: what is written stays in this process.
    if (mapping_->size() > 0 && mprotect(const_cast<std::byte*>(mapping_->data()),
                                         static_cast<size_t>(mapping_->size()), PROT_READ | PROT_WRITE) != 0)
      fail_errno(errno, "map for writing", file.path());
  }

  Array read(const Entry& entry) {
    if (entry.bytes == 0) return Array(entry.dtype, entry.shape);
    if (auto at = known_.find(entry.offset); at != known_.end()) return at->second;
    Array array = mapping_ ? mapped(entry) : Array(entry.dtype, entry.shape);
    if (!mapping_) {
      file_.read(entry.offset, array.raw(), entry.bytes, "a tensor");
      check_digest(file_, entry, digest(array.raw(), entry.bytes));
    }
    known_.emplace(entry.offset, array);
    return array;
  }

 private:
  Array mapped(const Entry& entry) {
    const auto bytes = mapping_->range(entry.offset, entry.bytes, "a tensor");
    auto buffer =
        Buffer::adopt(const_cast<std::byte*>(bytes.data()), entry.bytes, [keep = mapping_](void*) {});
    return Array(std::move(buffer), entry.dtype, entry.shape, contiguous_strides(entry.shape), 0);
  }

  const FileReader& file_;
  std::shared_ptr<MappedFile> mapping_;
  std::map<int64_t, Array> known_;
};

// What breaks a rule of modules or sizes in a file is the file's fault, not the caller's.
template <class F>
auto as_file_error(const std::string& path, F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::InvalidArgument) throw;
    fail(ErrorKind::Corrupt, "\"" + path + "\": " + e.message());
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::ResourceExhausted, "\"" + path + "\": no memory is left to load it");
  }
}

ModelFile load(const std::string& path, const LoadOptions& options) {
  const FileReader file(path);
  ModelFile out;
  std::vector<Entry> tensors, constants, metadata;
  {
    const GraphBytes graph = read_graph(file);
    ModelParts parts(file, graph, options.memory);
    out.module = parts.module();
    tensors = std::move(parts.tensors);
    constants = std::move(parts.constants);
    metadata = std::move(parts.metadata);
  }  // the graph's bytes go before the weights come
  Weights weights(file, options.map);
  for (const Entry& e : constants) out.module->constants.push_back(weights.read(e));
  verify_structure(*out.module);
  verify(*out.module);
  if (options.tensors)
    for (const Entry& e : tensors) out.tensors.emplace_back(e.name, weights.read(e));
  for (const Entry& e : metadata) {
    std::string text = file.read_text(e.offset, e.bytes, "metadata");
    check_digest(file, e, digest(text));
    out.metadata.emplace(e.name, std::move(text));
  }
  return out;
}

FileSummary inspect(const std::string& path) {
  const FileReader file(path);
  const GraphBytes graph = read_graph(file);
  ModelParts parts(file, graph, 0);
  FileSummary out{};
  out.version_major = graph.header.major;
  out.version_minor = graph.header.minor;
  out.file_bytes = file.size();
  out.graph_bytes = graph.header.graph_bytes;
  out.producer = parts.producer;
  out.functions = parts.functions();
  for (const Entry& e : parts.tensors) out.tensors.push_back({e.name, e.dtype, e.shape, e.offset, e.bytes});
  for (const Entry& e : parts.constants)
    out.constants.push_back({e.name, e.dtype, e.shape, e.offset, e.bytes});
  for (const Entry& e : parts.metadata) out.metadata.emplace_back(e.name, e.bytes);
  out.ops = parts.ops;
  return out;
}

}  // namespace
}  // namespace serial

ModelFile load(const std::string& path, const LoadOptions& options) {
  return serial::as_file_error(path, [&] { return serial::load(path, options); });
}

FileSummary inspect(const std::string& path) {
  return serial::as_file_error(path, [&] { return serial::inspect(path); });
}

}  // namespace fovea
