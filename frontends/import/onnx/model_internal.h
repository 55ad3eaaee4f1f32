// An ONNX file in memory: messages without tensor data, and where the data lies.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "framework/tensor/array.h"
#include "frontends/import/onnx/onnx_file.pb.h"

namespace fovea::onnx {

/// Bytes of the data fields of one tensor, in the order of the file.
struct TensorBytes {
  int field = 0;  ///< of TensorProto: raw_data, float_data, ...; 0: none
  std::vector<std::string_view> pieces;
};

/// A file that was read: its messages hold a number in each tensor's raw_data, which counts `tensors`.
class ModelBytes {
 public:
  enum class Root { model, tensor };
  /// Reads and checks a file; Corrupt naming path and offset where it is no such message, ResourceExhausted
  /// where parsing it would take more than twice its size and 256 MiB.
  ModelBytes(const std::string& path, Root root);
  ModelBytes(const ModelBytes&) = delete;

  const std::string& path() const { return path_; }
  const onnx_file::ModelProto& model() const { return *model_; }
  /// The tensor of a file that is one.
  const onnx_file::TensorProto& tensor() const { return *tensor_; }
  /// The values of a tensor of this file; `what` stands in messages. Sizes are held against the bytes that
  /// are there before anything is allocated. External data lies beneath the file's folder.
  Array read(const onnx_file::TensorProto& tensor, const std::string& what) const;

 private:
  Array read_external(const onnx_file::TensorProto& tensor, DType dtype, const Dims& shape,
                      const std::string& what) const;
  std::string path_, folder_, bytes_;
  std::vector<TensorBytes> tensors_;
  google::protobuf::Arena arena_;
  onnx_file::ModelProto* model_ = nullptr;
  onnx_file::TensorProto* tensor_ = nullptr;
};

/// Sizes of a tensor as a shape; Corrupt for one that is negative, Unsupported above rank 8.
Dims dims_of(const onnx_file::TensorProto& tensor, const std::string& what);

}  // namespace fovea::onnx
