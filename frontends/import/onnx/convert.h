// How one ONNX op becomes tensor code. A converter reads its operands and attributes from a Context and calls
// Fovea's ops; what it records carries the name of the ONNX node.
//
//   FOVEA_ONNX(Softmax) {
//     const Tensor x = c.in(0);
//     return {softmax(x, c.integer("axis", c.opset() < 13 ? 1 : -1))};
//   }
//
// A converter stands in namespace fovea::onnx, in any .cpp below frontends/import/onnx/; CMake collects them.
// What it cannot express it says with c.unsupported("..."). Wrong graphs end in errors, never in crashes:
// attributes and ranks come from a file that nobody checked.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "framework/tensor/array.h"
#include "framework/tensor/attrs.h"
#include "graph/build/tensor.h"

namespace fovea::onnx {

/// Integers (bools as 0 and 1) that are known while the model is read, though they may hold symbols of its
/// shapes: what Shape, Gather, Concat, Mul, ... of shapes compute.
struct Known {
  Dims shape;               ///< of the ONNX value: {} for a scalar, {n} for a vector
  std::vector<Dim> values;  ///< row-major
  DType dtype = DType::i64;

  bool is_const() const {
    for (const Dim& d : values)
      if (!d.is_const()) return false;
    return true;
  }
};

/// The Fovea type of an ONNX TensorProto.DataType number, if there is one.
std::optional<DType> dtype_of_onnx(int64_t number);
/// "float16", "string", "uint32", ...: the name of such a number.
std::string onnx_dtype_name(int64_t number);

struct NodeState;

/// One node while it is converted. Errors name the node, its op and the operand or attribute.
class Context {
 public:
  explicit Context(NodeState& state) : state_(state) {}

  const std::string& op() const;
  /// The node's name; "#12" where it has none.
  const std::string& name() const;
  /// Version of the node's operator set.
  int64_t opset() const;

  // Operands. A position past the end, or an empty name, is an operand left out.
  size_t inputs() const;
  bool has(size_t i) const;
  /// Operand i; an error where it is left out.
  Tensor in(size_t i);
  /// Operand i; undefined where it is left out.
  Tensor optional(size_t i);
  /// How many outputs the node lists, and whether output i is named (used).
  size_t outputs() const;
  bool wants(size_t i) const;

  // Attributes. Reading one of another type is an error that names it.
  bool has_attr(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  double number(std::string_view name) const;
  double number(std::string_view name, double fallback) const;
  std::string text(std::string_view name) const;
  std::string text(std::string_view name, std::string_view fallback) const;
  Ints ints(std::string_view name, Ints fallback = {}) const;
  Floats floats(std::string_view name, Floats fallback = {}) const;
  std::vector<std::string> texts(std::string_view name) const;
  Array tensor(std::string_view name) const;
  /// An attribute that holds a DataType number, as Fovea's type; Unsupported naming any other.
  DType dtype(std::string_view name) const;
  DType dtype(std::string_view name, DType fallback) const;

  // Values known while the model is read.
  /// Operand i, where it is known integers (with symbols).
  std::optional<Known> known(size_t i);
  /// Operand i, where it is a constant of any type (initialisers, folded constants).
  std::optional<Array> constant(size_t i);
  /// The same, computed now where it was recorded but does not depend on the model's inputs.
  std::optional<Array> evaluated(size_t i);
  /// Operand i as integers (a scalar counts as one); Unsupported where they depend on the model's inputs.
  Ints const_ints(size_t i);
  int64_t const_int(size_t i);
  /// Operand i as a number of any type; Unsupported where it depends on the model's inputs.
  double const_number(size_t i);
  /// Operand i as sizes or positions, which may hold symbols; Unsupported where they depend on what the
  /// model's inputs hold.
  Shape dims(size_t i);
  Dim dim(size_t i);
  /// Operand i or, before the opset that moved it there, attribute `name` as integers; `fallback` where
  /// neither is there.
  Ints ints_at(size_t i, std::string_view name, Ints fallback = {});

  // Outputs that are known integers: a converter may return an undefined Tensor for them.
  void set_known(size_t output, Known value);

  // Lists of tensors, which exist only while the model is read.
  /// Whether operand i is one.
  bool has_sequence(size_t i) const;
  /// Operand i, a sequence.
  const std::vector<Tensor>& sequence(size_t i) const;
  /// Output `output` is a sequence: a converter returns an undefined Tensor for it.
  void set_sequence(size_t output, std::vector<Tensor> parts);

  /// Attribute `name`, a subgraph, converted here: the values of its outputs. (If.)
  std::vector<Tensor> subgraph(std::string_view name);

  /// Unsupported: "node 'name' (Op): sentence".
  [[noreturn]] void unsupported(std::string_view sentence) const;
  /// InvalidArgument in the same form, for a node that breaks a rule of ONNX.
  [[noreturn]] void invalid(std::string_view sentence) const;

 private:
  NodeState& state_;
};

/// A converter returns one tensor for each output the node lists (further ones are ignored; undefined for an
/// output that is not wanted or was given through set_known).
using ConvertFn = std::vector<Tensor> (*)(Context& c);

/// The converter of an op, or nullptr.
ConvertFn find_converter(std::string_view op);
/// Names of all ops that have one, sorted.
std::vector<std::string_view> converted_ops();

/// Tensor of known integers: a constant, or sizes computed when the model runs.
Tensor to_tensor(const Known& known);

/// `axis` of a tensor of `rank` dims made non-negative; an error of the node where it is out of range.
int64_t axis_of(const Context& c, int64_t axis, int64_t rank);
/// The same for a list; an empty list stays empty.
Ints axes_of(const Context& c, Ints axes, int64_t rank);

/// Declares the converter of an op: FOVEA_ONNX(Softmax) { return {softmax(c.in(0), c.integer("axis", -1))}; }
#define FOVEA_ONNX(op) \
  std::vector<::fovea::Tensor> fovea_onnx_##op([[maybe_unused]] ::fovea::onnx::Context& c)

}  // namespace fovea::onnx
