// A pointwise expression as plain data: what a fused region and the score of an attention compute for each
// element. One list is evaluated on tiles by the CPU, turned into tensor ops for reference and for second
// derivatives, differentiated symbolically, and handed to other backends as text.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "framework/tensor/dtype.h"
#include "graph/build/tensor.h"

namespace fovea::tiles {

/// Numbers of the computing type (f32 or f64), 64-bit integers, or bools.
enum class Kind : uint8_t { real, integer, boolean };

enum class Code : uint8_t {
  input,     ///< operand `index`, broadcast over the iteration space
  constant,  ///< `number` (reals) or `index` (integers, bools)
  iota,      ///< logical index along axis `index` of the iteration space, an integer; -1 is the last axis
  random,    ///< 32 random bits as a signed integer: stream `index`, key in operand `a`, element's logical
             ///< index
  // one operand
  neg,
  abs,
  sign,
  exp,
  expm1,
  log,
  log1p,
  sqrt,
  rsqrt,
  reciprocal,
  tanh,
  sigmoid,
  erf,
  sin,
  cos,
  floor,
  ceil,
  round,
  is_nan,
  is_inf,
  logical_not,
  to_real,
  to_integer,
  to_boolean,
  // two operands
  add,
  sub,
  mul,
  div,
  maximum,
  minimum,
  pow,
  mod,
  floor_div,
  less,
  less_equal,
  equal,
  not_equal,
  logical_and,
  logical_or,
  logical_xor,
  // three: a ? b : c
  select,
};

/// One instruction: what it computes, from which earlier values.
struct Instr {
  Code code = Code::constant;
  Kind kind = Kind::real;          ///< of the result
  int32_t a = -1, b = -1, c = -1;  ///< earlier values; of `random`: a is the operand that holds the key
  int64_t index = 0;
  double number = 0;
  /// Numbers are compared by their bits: NaN equals itself and 0 is not -0.
  friend bool operator==(const Instr& x, const Instr& y) {
    return x.code == y.code && x.kind == y.kind && x.a == y.a && x.b == y.b && x.c == y.c &&
           x.index == y.index && std::bit_cast<uint64_t>(x.number) == std::bit_cast<uint64_t>(y.number);
  }
};

/// Values in order; value k is made by code[k]. The same instruction is never listed twice.
class Program {
 public:
  /// Adds an instruction, or finds the equal one. Constant operands are folded; x*1, x+0 (where exact),
  /// select of a constant and double negation are simplified. Returns its value number. The kind follows from
  /// the operands (that of inputs and constants is taken as given); InvalidArgument where they do not fit.
  int32_t add(Instr instr);
  int32_t input(int64_t operand, Kind kind = Kind::real);
  int32_t constant(double number);
  int32_t integer(int64_t number);
  int32_t boolean(bool truth);
  int32_t iota(int64_t axis);
  /// Stream `ordinal`, keyed by operand `key` (i64 [2]: the user's key and a step).
  int32_t random(int64_t ordinal, int64_t key);
  int32_t unary(Code code, int32_t a);
  int32_t binary(Code code, int32_t a, int32_t b);
  int32_t select(int32_t condition, int32_t yes, int32_t no);
  /// Copies `other` into this one, input k of it standing for value inputs[k] here (-1: stays input k);
  /// returns the values of its results.
  std::vector<int32_t> append(const Program& other, std::span<const int32_t> inputs);

  std::vector<Instr> code;
  std::vector<int32_t> results;

  bool empty() const { return code.empty(); }
  /// True if value v depends on operand `operand` (a key of random counts).
  bool reads_input(int32_t v, int64_t operand) const;
  /// Values that no result needs are dropped and the rest renumbered.
  void compact();
  /// "v0 = input 0; v1 = constant 0.125; v2 = mul v0 v1; return v2" (integers: "integer 3", "input 2
  /// integer")
  std::string str() const;
  /// Reads what str() writes; InvalidArgument with the position where the text is no program. Bounded by its
  /// length.
  static Program parse(std::string_view text);
  friend bool operator==(const Program& x, const Program& y) {
    return x.code == y.code && x.results == y.results;
  }

 private:
  int32_t find_or_add(const Instr& instr);
  // Value numbers by hash of the instruction, for long lists only; `code` is public, so this may lag behind.
  std::unordered_multimap<uint64_t, int32_t> known_;
  size_t known_count_ = 0;
};

/// Operands that an instruction of this code takes: 0 to 3.
int arity(Code code);

/// The names of codes are those of the ops ("logical_and"); nullptr-free lookup both ways.
std::string_view name_of(Code code);
/// The code of a pointwise op of the graph that means the same for elements of this kind, or false.
bool code_of_op(std::string_view op, Code& code);

/// Reverse-mode derivative: from a program with one real result r, the program whose results are g *
/// dr/d(input k) for each k of `wrt`; g is the new operand `gradient`. Comparisons, integers, iotas and
/// random have none. At kinks as the ops' own gradients do (maximum, abs, select, ...).
Program derivative(const Program& program, std::span<const int64_t> wrt, int64_t gradient);

/// The program as tensor ops on `inputs` (broadcast as NumPy does) over an iteration space of shape `space`.
/// Undefined tensors are allowed for operands that are not read.
std::vector<Tensor> build(const Program& program, std::span<const Tensor> inputs, const Shape& space,
                          DType compute);

/// Bounds of a value over a box of the iteration space. `finite_inputs`: real operands without bounds of
/// their own count as finite, unknown numbers.
struct Interval {
  double low, high;
  bool constant() const { return low == high; }
};
/// Bounds of every value of the program where axis d runs over [begin[d], end[d]) and operand k lies in
/// operand[k]. Bools are 0 and 1. Unknown: (-inf, inf) open at both ends, written low = -DBL_MAX, high =
/// DBL_MAX, so that low = high = -inf means: every element is minus infinity.
void intervals(const Program& program, std::span<const Interval> operands, std::span<const int64_t> begin,
               std::span<const int64_t> end, std::span<Interval> out);

}  // namespace fovea::tiles
