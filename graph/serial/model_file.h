// The .fovea file: a module, named weights and metadata in one file.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/ir/graph.h"

namespace fovea {

/// What a .fovea file holds.
struct ModelFile {
  std::shared_ptr<Module> module;  ///< functions and their constants; nullptr is saved as an empty module
  std::vector<std::pair<std::string, Array>> tensors;  ///< weights, state: names are distinct
  std::map<std::string, std::string> metadata;         ///< any bytes: a tokenizer, settings
};

/// How a file is read.
struct LoadOptions {
  /// Map the weights instead of reading them: they appear at first use and are not checked against their
  /// digests. Writing to a mapped array changes this process's memory only. For files that no other program
  /// changes in place.
  bool map = false;
  bool tensors = true;  ///< false: `tensors` is left empty (constants are read)
  /// Bytes that reading may take; at least twice the file and 256 MiB. Graphs of millions of nodes can need
  /// more.
  int64_t memory = 0;
};

/// Writes the file atomically: `path` holds the old contents or all of the new. Weights are written from
/// where they lie, without a copy. InvalidArgument for a module that verify() refuses, for two tensors of one
/// name and for an undefined tensor.
void save(const std::string& path, const ModelFile& file);

/// Reads a file and checks every digest. Memory: at most twice the file and 256 MiB, or options.memory.
/// Corrupt with path, offset and field for a damaged file; VersionMismatch for one of a newer major version
/// or with newer ops; Unsupported listing every op that is unknown here; ResourceExhausted where the graph
/// would take more memory than that.
ModelFile load(const std::string& path, const LoadOptions& options = {});

/// A tensor in a file.
struct TensorSummary {
  std::string name;
  DType dtype;
  Dims shape;
  int64_t offset, bytes;  ///< where the data lies in the file
};
/// A function in a file.
struct FunctionSummary {
  std::string name;
  std::vector<std::pair<std::string, TensorType>> inputs, outputs;
  int64_t nodes;
  bool entry_point;  ///< no other function calls it
};
/// What inspect() tells of a file.
struct FileSummary {
  int version_major, version_minor;  ///< of the format
  std::string producer;
  int64_t file_bytes, graph_bytes;
  std::vector<FunctionSummary> functions;
  std::vector<TensorSummary> tensors, constants;
  std::vector<std::pair<std::string, int64_t>> metadata;  ///< key and bytes
  std::vector<std::pair<std::string, int>> ops;  ///< name and version of each op used, known here or not
};
/// Reads and checks all but the weights and metadata. Errors as load().
FileSummary inspect(const std::string& path);

}  // namespace fovea
