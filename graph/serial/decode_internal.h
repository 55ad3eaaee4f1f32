// From the bytes of a .fovea file's graph to what they say. Not for use outside this folder.
#pragma once

#include <optional>
#include <unordered_map>

#include "framework/base/file.h"
#include "graph/serial/model_file.h"
#include "graph/serial/wire_internal.h"

namespace fovea::serial {

/// Memory that what is read may take. Each part is charged before it is made.
class Budget {
 public:
  Budget(const std::string& path, int64_t limit) : path_(path), limit_(limit) {}
  void charge(int64_t bytes, int64_t offset, std::string_view field) {
    require(bytes, offset, field);
    used_ += bytes;
  }
  /// The same for memory that is given back at once.
  void require(int64_t bytes, int64_t offset, std::string_view field) const;

 private:
  const std::string& path_;
  int64_t limit_, used_ = 0;
};

/// Bytes of the raw part, and whose they are.
struct Entry {
  std::string name;
  DType dtype = DType::u8;
  Dims shape;
  int64_t offset = 0;  ///< in the file
  int64_t bytes = 0;
  Digest digest;
  bool metadata = false;
};

/// Header and graph of a file, digest checked.
struct GraphBytes {
  Header header;
  std::string bytes;
};
GraphBytes read_graph(const FileReader& file);

/// The parts of a Model. Views point into the GraphBytes.
class ModelParts {
 public:
  /// `memory`: what all of the file may take in memory, where that is more than twice the file and 256 MiB.
  ModelParts(const FileReader& file, const GraphBytes& graph, int64_t memory);

  /// The module without constants. Unknown and newer ops are thrown all at once.
  std::shared_ptr<Module> module();
  /// What inspect() tells of the functions; needs no ops.
  std::vector<FunctionSummary> functions();

  std::string producer;
  std::vector<Entry> tensors, constants, metadata;
  std::vector<std::pair<std::string, int>> ops;
  std::vector<std::string> scopes;

 private:
  struct Function;
  class Decoder;
  void read_rest(std::string_view rest, int64_t fields);
  void check_places();
  std::string_view text(uint32_t number, int64_t offset, std::string_view field) const;
  const Dim& expression(uint32_t number, int64_t offset, std::string_view field);

  const std::string& path_;
  const Header& header_;
  Budget budget_;
  std::vector<std::string_view> strings_;
  std::vector<WireField> functions_;
  std::unordered_map<uint32_t, Dim> expressions_;
};

}  // namespace fovea::serial
