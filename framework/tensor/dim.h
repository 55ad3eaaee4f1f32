// One dimension of a shape: a number, or an expression over named symbols (B, L).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea {

/// Values for symbols, as found by matching declared shapes against real ones.
using Bindings = std::vector<std::pair<std::string, int64_t>>;

/// A size: an integer, or a polynomial over symbols with integer coefficients whose atoms are symbols and
/// floor quotients. Kept in one normal form, so == means "provably equal for all values of the symbols".
class Dim {
 public:
  Dim() = default;
  Dim(int64_t value) : value_(value) {}                       // NOLINT: sizes are written as plain numbers
  Dim(int value) : value_(value) {}                           // NOLINT
  Dim(size_t value) : value_(static_cast<int64_t>(value)) {}  // NOLINT
  /// The size called `name` (letters, digits, underscore and dot; not starting with a digit).
  static Dim symbol(std::string_view name);
  /// Reads what str() writes. InvalidArgument where the text is not an expression.
  static Dim parse(std::string_view text);

  bool is_const() const { return !poly_; }
  /// The number; InvalidArgument naming the expression if it holds a symbol.
  int64_t value() const;
  /// True for a lone symbol.
  bool is_symbol() const;

  /// The number under these bindings; nothing where a symbol is unbound. InvalidArgument on overflow.
  std::optional<int64_t> eval(const Bindings& bindings) const;
  /// The same expression with bound symbols replaced by numbers.
  Dim substitute(const std::vector<std::pair<std::string, Dim>>& replacements) const;
  /// Appends the names of all symbols in it.
  void symbols(std::vector<std::string>& out) const;
  std::string str() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  /// floor(a / b); exact quotients of products cancel symbolically.
  friend Dim floor_div(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  struct Poly;

 private:
  static Dim from(Poly&& poly);
  int64_t value_ = 0;
  std::shared_ptr<const Poly> poly_;
};

/// a / b where that is exact; nothing where it cannot be shown.
std::optional<Dim> exact_div(const Dim& a, const Dim& b);

/// Shape whose dims may be symbols; concrete sizes and strides are Dims (below).
using Shape = std::vector<Dim>;
/// Concrete sizes, or strides in elements.
using Dims = std::vector<int64_t>;

/// Product of all sizes; 1 for rank 0.
Dim product(const Shape& shape);
/// Product of sizes, checked against overflow.
int64_t product(const Dims& dims);
/// "[B, 4, L]"
std::string to_string(const Shape& shape);
std::string to_string(const Dims& dims);
/// All dims as numbers; InvalidArgument naming the unbound symbol.
Dims evaluate(const Shape& shape, const Bindings& bindings);
/// True if no dim holds a symbol.
bool is_concrete(const Shape& shape);
Shape to_shape(const Dims& dims);

}  // namespace fovea
