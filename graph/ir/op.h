// Op declarations: everything the framework knows about an op follows from one of these.
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir/graph.h"

namespace fovea {

class Tensor;
class OpDecl;

/// Which element types an operand may have.
enum class Types {
  any,
  floating,
  integer,
  index,
  boolean,
  numeric
};  // index: i32 or i64; numeric: all but bool
/// True where the type is one of them.
bool matches(Types types, DType t);

/// Shape inference of one node: reads operand types and attributes, appends output types, throws on bad
/// input.
class InferContext {
 public:
  InferContext(const OpDecl& op, Attrs& attrs, std::span<const TensorType> in, const Module* module)
      : op(op), attrs(attrs), in(in), module(module) {}
  const OpDecl& op;
  Attrs& attrs;  ///< may be normalised here (a negative axis made positive)
  std::span<const TensorType> in;
  const Module* module;  ///< for ops that call functions
  std::vector<TensorType> out;
  std::vector<Guard> guards;

  const Shape& shape(size_t i) const { return in[i].shape; }
  int64_t rank(size_t i) const { return static_cast<int64_t>(in[i].shape.size()); }
  DType dtype(size_t i) const { return in[i].dtype; }
  void output(DType dtype, Shape shape) { out.push_back({dtype, std::move(shape)}); }
  void output(const TensorType& type) { out.push_back(type); }

  /// Reads integer attribute `name` as an axis of a tensor of `rank` dims, makes it non-negative and stores
  /// it.
  int64_t axis(std::string_view name, int64_t rank);
  /// The same for a list of axes: sorted, unique; an empty list means all where `empty_is_all`.
  const Ints& axes(std::string_view name, int64_t rank, bool empty_is_all = true);
  /// a == b, or an error with both numbers; unprovable equality becomes a guard. `what` says what a and b
  /// are: "inner dimensions differ: a[1]={a}, b[0]={b}".
  void same(const Dim& a, const Dim& b, std::string_view what);
  /// NumPy broadcasting; a symbol broadcasts only against itself or 1.
  Shape broadcast(const Shape& a, const Shape& b);
  /// Equal shapes for operands i and j (unprovable equalities become guards), or an error naming both.
  void same_shape(size_t i, size_t j);
  /// Same dtype for operands i and j, or an error.
  void same_dtype(size_t i, size_t j);
  /// Throws InvalidArgument: "op: message", with every operand's type behind it.
  [[noreturn]] void fail(std::string_view message) const;
};

/// What a decomposition is given: inputs and attributes of the node.
struct OpArgs {
  std::span<const Tensor> in;
  const Attrs& attrs;
};

/// What a gradient rule is given. It returns one tensor an input: its gradient, or an undefined Tensor for
/// none.
struct GradArgs {
  std::span<const Tensor> in;    ///< the node's inputs
  std::span<const Tensor> out;   ///< its outputs
  std::span<const Tensor> grad;  ///< gradients of its outputs; undefined where an output has none
  const Attrs& attrs;
  std::span<const bool> needs;  ///< needs[i]: the gradient of input i is wanted
};

using Tensors = std::vector<Tensor>;
using InferFn = std::function<void(InferContext&)>;
using DecomposeFn = std::function<std::vector<Tensor>(const OpArgs&)>;
using GradientFn = std::function<std::vector<Tensor>(const GradArgs&)>;

/// A sample operand: shape, type, and the range its random values come from.
struct In {
  Dims shape;
  DType type = DType::f32;
  double low = -1, high = 1;
  bool distinct = false;  ///< values keep a distance from one another (for max, sort)
  In(std::initializer_list<int64_t> s, DType t = DType::f32) : shape(s), type(t) {}
  In range(double lo, double hi) const {
    In x = *this;
    x.low = lo;
    x.high = hi;
    return x;
  }
  In separate() const {
    In x = *this;
    x.distinct = true;
    return x;
  }
};
/// Integer operand with values in [low, high).
inline In ints(std::initializer_list<int64_t> shape, double low, double high, DType t = DType::i64) {
  return In(shape, t).range(low, high);
}
inline In bools(std::initializer_list<int64_t> shape) { return In(shape, DType::boolean).range(0, 2); }

/// An example call of an op: what tests, gradient checks and documentation run.
struct Sample {
  std::vector<In> in;
  Attrs attrs;
  std::string error;  ///< for error samples: text that the message must contain
};

/// One operand of an op.
struct OperandDecl {
  std::string name;
  Types types = Types::any;
  bool optional = false;
  bool variadic = false;  ///< the last operand may be repeated
};

/// One attribute of an op; `fallback` also tells its type.
struct AttrDecl {
  std::string name;
  AttrValue fallback;
  bool required = false;
  std::string doc;
};

/// A node of this op is a strided view of its first operand: lowering aliases memory instead of launching a
/// kernel. Fills shape and strides (in elements) and adds to offset; returns false where this case takes a
/// copy.
using ViewFn = std::function<bool(const Attrs& attrs, const Dims& in_shape, const Dims& in_strides,
                                  const Dims& out_shape, Dims& out_strides, int64_t& offset)>;

/// The declaration of one op, filled in by FOVEA_OP.
class OpDecl {
 public:
  explicit OpDecl(std::string name) : name_(std::move(name)) {}

  // What a declaration says.
  OpDecl& doc(std::string_view text);  ///< meaning, formula, shapes, errors, source
  OpDecl& since(int version);
  OpDecl& input(std::string_view name, Types types = Types::any);
  OpDecl& optional_input(std::string_view name, Types types = Types::any);
  OpDecl& variadic_input(std::string_view name, Types types = Types::any);
  OpDecl& output(std::string_view name);
  OpDecl& attr(std::string_view name, AttrValue fallback, std::string_view doc = "");
  template <std::same_as<int> T>  // exactly int: a bool or a double keeps its own type
  OpDecl& attr(std::string_view name, T fallback, std::string_view doc = "") {
    return attr(name, AttrValue(static_cast<int64_t>(fallback)), doc);
  }
  OpDecl& attr(std::string_view name, const char* fallback, std::string_view doc = "") {
    return attr(name, AttrValue(std::string(fallback)), doc);
  }
  /// An attribute without a fallback; `example` only tells its type.
  OpDecl& required_attr(std::string_view name, AttrValue example, std::string_view doc = "");
  OpDecl& infer(InferFn fn);
  /// The op in terms of other ops; every op without one is core.
  OpDecl& decompose(DecomposeFn fn);
  OpDecl& gradient(GradientFn fn);
  /// Elementwise with NumPy broadcasting over all operands; sets infer. `result`: output dtype where it is
  /// not the operands' (comparisons give bool).
  OpDecl& pointwise();
  OpDecl& pointwise(DType result);
  OpDecl& commutative();
  OpDecl& view(ViewFn fn);
  /// Names the bool attribute that is set where gradients flow through the op: it then has more outputs,
  /// which its gradient rule reads.
  OpDecl& keeps(std::string_view flag);
  OpDecl& random();              ///< never folded, never merged
  OpDecl& side_effect();         ///< never removed
  OpDecl& not_differentiable();  ///< gradients stop here (comparisons, argmax, ...)
  OpDecl& sample(std::vector<In> in, Attrs attrs = {});
  OpDecl& sample_error(std::vector<In> in, Attrs attrs, std::string_view message_part);

  // What is read from it.
  const std::string& name() const { return name_; }
  int version() const { return version_; }
  const std::string& doc() const { return doc_; }
  const std::vector<OperandDecl>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }
  const std::vector<AttrDecl>& attrs() const { return attrs_; }
  const std::vector<Sample>& samples() const { return samples_; }
  const std::vector<Sample>& error_samples() const { return error_samples_; }
  const InferFn& infer_fn() const { return infer_; }
  const DecomposeFn& decompose_fn() const { return decompose_; }
  const GradientFn& gradient_fn() const { return gradient_; }
  const ViewFn& view_fn() const { return view_; }
  const std::string& keeps_flag() const { return keeps_; }
  bool is_core() const { return !decompose_; }
  bool is_pointwise() const { return pointwise_; }
  bool is_commutative() const { return commutative_; }
  bool is_view() const { return static_cast<bool>(view_); }
  bool is_random() const { return random_; }
  bool has_side_effect() const { return side_effect_; }
  bool is_differentiable() const { return differentiable_; }

  /// Full type check of a node: arity, operand types, attributes (fallbacks filled in, unknown names
  /// refused), infer.
  std::vector<TensorType> check(Attrs& attrs, std::span<const TensorType> in, const Module* module,
                                std::vector<Guard>* guards) const;

 private:
  std::string name_, doc_, keeps_;
  int version_ = 1;
  std::vector<OperandDecl> inputs_;
  std::vector<std::string> outputs_;
  std::vector<AttrDecl> attrs_;
  std::vector<Sample> samples_, error_samples_;
  InferFn infer_;
  DecomposeFn decompose_;
  GradientFn gradient_;
  ViewFn view_;
  bool pointwise_ = false, commutative_ = false, random_ = false, side_effect_ = false,
       differentiable_ = true;
};

using OpFn = void (*)(OpDecl&);

/// Adds an op of the user's own program; built-in ops are added by themselves. InvalidArgument if the name is
/// taken. Use: FOVEA_OP(my_op) { op.... }   and at start   register_op("my_op", fovea_op_my_op);
const OpDecl& register_op(std::string_view name, OpFn fn);
/// The op; InvalidArgument with the nearest names where there is none.
const OpDecl& find_op(std::string_view name);
/// The op or nullptr.
const OpDecl* lookup_op(std::string_view name);
/// All ops, sorted by name.
std::vector<const OpDecl*> all_ops();

/// Declares an op: FOVEA_OP(softmax) { op.input("x", Types::floating)...; }
#define FOVEA_OP(name) void fovea_op_##name([[maybe_unused]] ::fovea::OpDecl& op)

}  // namespace fovea
