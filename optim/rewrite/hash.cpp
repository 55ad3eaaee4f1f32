#include "optim/rewrite/hash.h"

#include <bit>
#include <functional>
#include <string_view>

namespace fovea {
namespace {

uint64_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

struct Hasher {
  uint64_t operator()(bool v) const { return v ? 3 : 5; }
  uint64_t operator()(int64_t v) const { return static_cast<uint64_t>(v); }
  uint64_t operator()(double v) const { return std::bit_cast<uint64_t>(v); }
  uint64_t operator()(const std::string& v) const { return hash_text(v); }
  uint64_t operator()(DType v) const { return static_cast<uint64_t>(v); }
  uint64_t operator()(const FunctionRef& v) const { return hash_text(v.name); }
  uint64_t operator()(const Dim& v) const {
    return v.is_const() ? static_cast<uint64_t>(v.value()) : hash_text(v.str());
  }
  template <class T>
  uint64_t operator()(const std::vector<T>& list) const {
    uint64_t h = list.size();
    for (const T& v : list) h = hash_combine(h, (*this)(v));
    return h;
  }
};

}  // namespace

uint64_t hash_combine(uint64_t seed, uint64_t value) {
  // The finaliser of a 64-bit multiplicative hash: every bit of both reaches every bit of the result.
  uint64_t x = seed ^ (value + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2));
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

uint64_t hash_of(const Attrs& attrs) {
  uint64_t h = attrs.size();
  for (const auto& [name, value] : attrs) {
    h = hash_combine(h, hash_text(name));
    h = hash_combine(h, value.index());
    h = hash_combine(h, std::visit(Hasher{}, value));
  }
  return h;
}

}  // namespace fovea
