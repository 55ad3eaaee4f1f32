// Named, typed attributes of a node: plain data.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "framework/tensor/dim.h"
#include "framework/tensor/dtype.h"

namespace fovea {

/// The name of a function in the same module.
struct FunctionRef {
  std::string name;
  friend bool operator==(const FunctionRef&, const FunctionRef&) = default;
};

using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;
using AttrValue = std::variant<bool, int64_t, double, std::string, DType, Ints, Floats, Shape, FunctionRef>;

/// "2", "0.5", "\"text\"", "f32", "[1, 2]", "[1.0]", "<B, 4>", "@body": what the text form writes and reads.
std::string to_string(const AttrValue& value);

/// One `name = value`, with the conversions that make {"axis", -1} readable.
struct Attr {
  std::string name;
  AttrValue value;
  Attr(std::string_view n, AttrValue v) : name(n), value(std::move(v)) {}
  template <std::integral T>  // a bool stays a bool, every other integer is an int64_t
  Attr(std::string_view n, T v)
      : name(n), value(static_cast<std::conditional_t<std::same_as<T, bool>, bool, int64_t>>(v)) {}
  Attr(std::string_view n, const char* v) : name(n), value(std::string(v)) {}
};

/// A small sorted list of attributes.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<Attr> list) {
    for (const Attr& a : list) set(a.name, a.value);
  }

  const AttrValue* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  void set(std::string_view name, AttrValue value);
  void erase(std::string_view name);

  // Typed reading; InvalidArgument naming the attribute where it is missing or of another type.
  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;  ///< an integer is read as a number, too
  const std::string& text(std::string_view name) const;
  DType dtype(std::string_view name) const;
  const Ints& ints(std::string_view name) const;
  const Floats& floats(std::string_view name) const;
  const Shape& shape(std::string_view name) const;
  const std::string& function(std::string_view name) const;

  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }
  size_t size() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  /// Equal names, kinds and values; numbers by their bits, so that NaN equals itself and 0.0 is not -0.0.
  friend bool operator==(const Attrs& a, const Attrs& b);

 private:
  std::vector<std::pair<std::string, AttrValue>> list_;
};

}  // namespace fovea
