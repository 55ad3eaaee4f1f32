#include "framework/tensor/attrs.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "framework/base/error.h"

namespace fovea {
namespace {

struct Writer {
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(int64_t v) const { return fmt::format("{}", v); }
  std::string operator()(double v) const {
    std::string s = fmt::format("{}", v);  // shortest text that reads back to the same bits
    return s.find_first_of(".einf") == std::string::npos ? s + ".0" : s;
  }
  std::string operator()(const std::string& v) const {
    std::string out = "\"";
    for (unsigned char c : v) {
      if (c == '"' || c == '\\')
        (out += '\\') += static_cast<char>(c);
      else if (c < 0x20 || c == 0x7F)
        out += fmt::format("\\x{:02x}", c);
      else
        out += static_cast<char>(c);
    }
    return out + "\"";
  }
  std::string operator()(DType v) const { return std::string(to_string(v)); }
  std::string operator()(const Ints& v) const { return fmt::format("[{}]", fmt::join(v, ", ")); }
  std::string operator()(const Floats& v) const {
    std::string out = "[";
    for (size_t i = 0; i < v.size(); ++i) out += (i ? ", " : "") + (*this)(v[i]);
    return out + (v.empty() ? ".]" : "]");  // "[.]" keeps an empty list of numbers apart from one of integers
  }
  std::string operator()(const Shape& v) const {
    std::string s = to_string(v);
    return "<" + s.substr(1, s.size() - 2) + ">";
  }
  std::string operator()(const FunctionRef& v) const { return "@" + v.name; }
};

template <class T>
const T& get(const Attrs& attrs, std::string_view name, const char* kind) {
  const AttrValue* v = attrs.find(name);
  if (!v) invalid(fmt::format("attribute '{}' is missing", name));
  if (const T* t = std::get_if<T>(v)) return *t;
  invalid(fmt::format("attribute '{}' = {} is not {}", name, to_string(*v), kind));
}

}  // namespace

std::string to_string(const AttrValue& value) { return std::visit(Writer{}, value); }

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [n, v] : list_)
    if (n == name) return &v;
  return nullptr;
}

void Attrs::set(std::string_view name, AttrValue value) {
  auto at = std::lower_bound(list_.begin(), list_.end(), name,
                             [](auto& a, std::string_view b) { return a.first < b; });
  if (at != list_.end() && at->first == name)
    at->second = std::move(value);
  else
    list_.insert(at, {std::string(name), std::move(value)});
}

void Attrs::erase(std::string_view name) {
  std::erase_if(list_, [&](const auto& a) { return a.first == name; });
}

namespace {

bool same_bits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

bool same(const AttrValue& a, const AttrValue& b) {
  if (a.index() != b.index()) return false;
  if (const double* x = std::get_if<double>(&a)) return same_bits(*x, std::get<double>(b));
  if (const Floats* x = std::get_if<Floats>(&a)) {
    const Floats& y = std::get<Floats>(b);
    return std::equal(x->begin(), x->end(), y.begin(), y.end(), same_bits);
  }
  return a == b;
}

}  // namespace

bool operator==(const Attrs& a, const Attrs& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same(x.second, y.second);
  });
}

bool Attrs::flag(std::string_view name) const { return get<bool>(*this, name, "true or false"); }
int64_t Attrs::integer(std::string_view name) const { return get<int64_t>(*this, name, "an integer"); }
double Attrs::number(std::string_view name) const {
  const AttrValue* v = find(name);
  if (v)
    if (const int64_t* i = std::get_if<int64_t>(v)) return static_cast<double>(*i);
  return get<double>(*this, name, "a number");
}
const std::string& Attrs::text(std::string_view name) const { return get<std::string>(*this, name, "text"); }
DType Attrs::dtype(std::string_view name) const { return get<DType>(*this, name, "an element type"); }
const Ints& Attrs::ints(std::string_view name) const { return get<Ints>(*this, name, "a list of integers"); }
const Floats& Attrs::floats(std::string_view name) const {
  return get<Floats>(*this, name, "a list of numbers");
}
const Shape& Attrs::shape(std::string_view name) const { return get<Shape>(*this, name, "a shape"); }
const std::string& Attrs::function(std::string_view name) const {
  return get<FunctionRef>(*this, name, "a function").name;
}

}  // namespace fovea
