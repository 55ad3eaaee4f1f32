// Score expressions while they are being recognised: instructions of tile programs whose operands are
// references into the graph. Construction brings them to one normal form.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ops/shared/tile/program.h"
#include "optim/attention/view.h"

namespace fovea::match {

constexpr double kLowFill = 80;  ///< exp of minus as much is 0, or nearly

using tiles::Code;
using tiles::Kind;

/// What an input instruction reads.
struct Leaf {
  enum class What : uint8_t {
    value,    ///< a tensor of the graph
    product,  ///< a contraction that may become the products q k of the node
    extent,   ///< a size, as an integer
    key,      ///< the key of a random stream
  };
  What what = What::value;
  Ref ref;                  ///< value, product, key
  Contraction contraction;  ///< product
  Dim extent;
};

/// A random stream read in some layout: its numbers depend on the order of the labels.
struct Stream {
  Ref ref;  ///< the value that consumes the bits, whose row-major order numbers them
  int32_t key = -1;
  int64_t ordinal = 0;
};

/// One instruction. `index`: leaf of an input, map of an iota, stream of a random.
struct Expr {
  Code code = Code::constant;
  Kind kind = Kind::real;
  int32_t a = -1, b = -1, c = -1;
  int64_t index = 0;
  double number = 0;
  bool has_product = false;  ///< depends on a contraction
  bool has_place = false;    ///< compares an index (iota)
  bool has_index = false;    ///< reads an index
  bool has_value = false;    ///< reads a tensor
  bool has_random = false;   ///< reads random bits
};

/// Instructions, each made once.
class Expressions {
 public:
  explicit Expressions(LabelTable& table) : table_(table) {}

  int32_t constant(double number);
  int32_t integer(int64_t number);
  int32_t boolean(bool truth);
  int32_t leaf(const Ref& ref, Kind kind);
  int32_t product(const Contraction& contraction, const Ref& ref);
  int32_t extent(const Dim& size);
  /// The coordinate that a map yields.
  int32_t place(const AxisMap& map);
  int32_t random(const Value& key, int64_t ordinal, const Ref& consumer);
  int32_t unary(Code code, int32_t a);
  int32_t binary(Code code, int32_t a, int32_t b);
  int32_t select(int32_t condition, int32_t yes, int32_t no);
  /// True where x reads bits below a threshold, as dropout does.
  int32_t below(int32_t bits, double p);

  const Expr& at(int32_t e) const { return code_[static_cast<size_t>(e)]; }
  bool is_constant(int32_t e) const { return at(e).code == Code::constant; }
  bool is_number(int32_t e, double number) const;
  /// True for a finite constant that stands for masked scores.
  bool is_fill(int32_t e) const;
  /// `root` with `what` replaced by `with`.
  int32_t replaced(int32_t root, int32_t what, int32_t with);
  /// Values that e reads, in order of their making.
  std::vector<int32_t> reachable(const std::vector<int32_t>& from) const;

  /// Fills are multiplied with the scores beside them, not by themselves in double: others that are added to
  /// scores have to stay equal to them.
  bool keeps_fills = false;

  std::vector<Leaf> leaves;
  std::vector<AxisMap> places;
  std::vector<Stream> streams;

 private:
  int32_t intern(Expr e);
  std::optional<int32_t> fold(Code code, int32_t a, int32_t b);
  std::optional<int32_t> simplify(Code code, int32_t a, int32_t b);
  std::optional<int32_t> branchwise(Code code, int32_t a, int32_t b);
  bool constant_branches(int32_t e) const;
  bool inverts(int32_t e) const;
  bool rounds_fill(int32_t fill, int32_t by) const;
  int32_t keep_if(int32_t condition, int32_t yes, int32_t no);

  LabelTable& table_;
  std::vector<Expr> code_;
  std::unordered_map<std::string, int32_t> known_;
  std::unordered_map<std::string, int64_t> leaf_keys_;
};

}  // namespace fovea::match
