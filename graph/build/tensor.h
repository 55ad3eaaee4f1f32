// Tensor: what model code computes with. It is either concrete (an Array: every op computes at once) or
// traced (a value of a graph being recorded: every op adds a node).
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "framework/base/source.h"
#include "graph/ir/graph.h"

namespace fovea {

class Builder;
struct Index;

/// Concrete array or traced value; copies are cheap and share. See ops/ for the functions on it.
class Tensor {
 public:
  /// Undefined: "no tensor" for optional operands and gradients.
  Tensor() = default;
  Tensor(Array array) : array_(std::move(array)) {}  // NOLINT: arrays are tensors
  Tensor(std::shared_ptr<Builder> builder, Value value) : builder_(std::move(builder)), value_(value) {}

  bool defined() const { return builder_ || array_.defined(); }
  bool traced() const { return builder_ != nullptr; }
  DType dtype() const { return type().dtype; }
  Shape shape() const { return type().shape; }
  int64_t rank() const;
  /// Size of an axis; negative counts from the end.
  Dim dim(int64_t axis) const;
  TensorType type() const;

  /// The data. A traced tensor has none: InvalidArgument that says what to do instead.
  const Array& array() const;
  /// The only element of a concrete one-element tensor.
  double item() const { return array().item(); }
  std::string str() const;

  const std::shared_ptr<Builder>& builder() const { return builder_; }
  Value value() const { return value_; }

  // Methods for what reads best behind the dot; each is the function of the same name in ops/.
  Tensor reshape(Shape shape, Source source = Source::here()) const;  ///< one size may be -1
  Tensor transpose(int64_t a, int64_t b, Source source = Source::here()) const;
  Tensor permute(std::vector<int64_t> axes, Source source = Source::here()) const;
  Tensor cast(DType dtype, Source source = Source::here()) const;
  /// NumPy-style basic indexing: x[{all, newaxis, 3, range(1, -1)}]
  Tensor operator[](const std::vector<Index>& index) const;

 private:
  Array array_;
  std::shared_ptr<Builder> builder_;
  Value value_;
};

/// An operand as written by the user: a tensor or a plain number, with the file and line of the call. Numbers
/// take the element type of the tensor beside them.
struct Arg {
  Tensor tensor;
  double scalar = 0;
  bool is_scalar = false;
  bool is_integral = false;  ///< the number was an integer: beside an integer tensor it stays one
  Source source;

  Arg(const Tensor& t, Source s = Source::here()) : tensor(t), source(s) {}  // NOLINT: implicit by design
  Arg(const Array& a, Source s = Source::here()) : tensor(a), source(s) {}   // NOLINT
  template <class T>
  requires std::is_arithmetic_v<T> Arg(T x, Source s = Source::here())  // NOLINT
      : scalar(static_cast<double>(x)), is_scalar(true), is_integral(std::is_integral_v<T>), source(s) {}
};

/// Layers that call ops on behalf of the user open one with the Source they were given: ops inside it, called
/// from library code, carry the user's line. The outermost one wins.
class SourceScope {
 public:
  explicit SourceScope(Source source);
  ~SourceScope();
  SourceScope(const SourceScope&) = delete;
  SourceScope& operator=(const SourceScope&) = delete;

 private:
  bool owner_;
};

/// Names what is traced inside it: nodes carry "encoder.0.attention".
class NameScope {
 public:
  explicit NameScope(std::string_view name);
  ~NameScope();
  NameScope(const NameScope&) = delete;
  NameScope& operator=(const NameScope&) = delete;

 private:
  size_t length_;
};

/// Runs or records one op: concrete inputs compute at once; if any is traced, or a trace is open, a node is
/// added to that trace. Undefined tensors stand for optional operands left out (only at the end of the list).
std::vector<Tensor> apply(std::string_view op, std::vector<Tensor> inputs, Attrs attrs = {},
                          Source source = Source::here());
/// The first (only) output of apply().
Tensor apply1(std::string_view op, std::vector<Tensor> inputs, Attrs attrs = {},
              Source source = Source::here());

/// `x` as a tensor; a plain number becomes a 0-d tensor of `dtype`.
Tensor to_tensor(const Arg& x, DType dtype);
/// Applies a pointwise op of two operands, promoted to their common type first (numbers take the tensor's
/// type; an integer tensor with a fractional number becomes f32).
Tensor apply_binary(std::string_view op, const Arg& a, const Arg& b);

}  // namespace fovea
