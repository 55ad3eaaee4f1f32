#include "optim/attention/expression.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/shared/tile/scalar.h"

namespace fovea::match {
namespace {

using tiles::is_comparison;
using tiles::is_logical;

constexpr double kInf = std::numeric_limits<double>::infinity();

Kind result_kind(Code c, Kind a) {
  if (is_comparison(c) || is_logical(c) || c == Code::is_nan || c == Code::is_inf || c == Code::to_boolean)
    return Kind::boolean;
  if (c == Code::to_real) return Kind::real;
  if (c == Code::to_integer) return Kind::integer;
  return a;
}

}  // namespace

int32_t Expressions::intern(Expr e) {
  std::string key;
  const auto put = [&key](const auto& x) { key.append(reinterpret_cast<const char*>(&x), sizeof(x)); };
  put(e.code), put(e.kind), put(e.a), put(e.b), put(e.c), put(e.index), put(e.number);
  e.has_index = e.code == Code::iota;
  e.has_random = e.code == Code::random;
  e.has_value = e.code == Code::input;
  for (int32_t x : {e.a, e.b, e.c}) {
    if (x < 0) continue;
    e.has_product = e.has_product || at(x).has_product;
    e.has_place = e.has_place || at(x).has_place;
    e.has_index = e.has_index || at(x).has_index;
    e.has_value = e.has_value || at(x).has_value;
    e.has_random = e.has_random || at(x).has_random;
  }
  e.has_place = e.has_place || (is_comparison(e.code) && e.has_index);
  const auto [entry, fresh] = known_.emplace(std::move(key), static_cast<int32_t>(code_.size()));
  if (fresh) code_.push_back(e);
  return entry->second;
}

int32_t Expressions::constant(double number) {
  Expr e;
  e.number = number;
  return intern(e);
}
int32_t Expressions::integer(int64_t number) {
  Expr e;
  e.kind = Kind::integer;
  e.index = number;
  return intern(e);
}
int32_t Expressions::boolean(bool truth) {
  Expr e;
  e.kind = Kind::boolean;
  e.index = truth;
  return intern(e);
}

int32_t Expressions::leaf(const Ref& ref, Kind kind) {
  const auto [at, fresh] =
      leaf_keys_.emplace(key_of(table_, ref.value, ref.layout), static_cast<int64_t>(leaves.size()));
  if (fresh) leaves.push_back({Leaf::What::value, ref, {}, {}});
  Expr e;
  e.code = Code::input;
  e.kind = kind;
  e.index = at->second;
  return intern(e);
}

int32_t Expressions::product(const Contraction& contraction, const Ref& ref) {
  const auto [at, fresh] =
      leaf_keys_.emplace("p" + key_of(table_, ref.value, ref.layout), static_cast<int64_t>(leaves.size()));
  if (fresh) leaves.push_back({Leaf::What::product, ref, contraction, {}});
  Expr e;
  e.code = Code::input;
  e.index = at->second;
  e.has_product = true;
  return intern(e);
}

int32_t Expressions::extent(const Dim& size) {
  if (size.is_const()) return integer(size.value());
  const auto [at, fresh] = leaf_keys_.emplace("e" + size.str(), static_cast<int64_t>(leaves.size()));
  if (fresh) leaves.push_back({Leaf::What::extent, {}, {}, size});
  Expr e;
  e.code = Code::input;
  e.kind = Kind::integer;
  e.index = at->second;
  return intern(e);
}

int32_t Expressions::place(const AxisMap& map) {
  const Labels labels = table_.resolve(map.labels);
  int32_t index = integer(0);
  if (!labels.empty() && table_.size(labels) != Dim(1)) {
    Expr e;
    e.code = Code::iota;
    e.kind = Kind::integer;
    for (size_t i = 0; i < places.size(); ++i)
      if (table_.resolve(places[i].labels) == labels) e.index = static_cast<int64_t>(i) + 1;
    if (e.index == 0) {
      places.push_back({labels, 0, 1});
      e.index = static_cast<int64_t>(places.size());
    }
    --e.index;
    index = intern(e);
  }
  if (map.step != 1) index = binary(Code::mul, index, integer(map.step));
  return map.start == Dim(0) ? index : binary(Code::add, index, extent(map.start));
}

int32_t Expressions::random(const Value& key, int64_t ordinal, const Ref& consumer) {
  const std::string name = "k" + std::to_string(key.node) + ":" + std::to_string(key.index);
  const auto [at, fresh] = leaf_keys_.emplace(name, static_cast<int64_t>(leaves.size()));
  if (fresh) leaves.push_back({Leaf::What::key, {key, {}}, {}, {}});
  Expr e;
  e.code = Code::random;
  e.kind = Kind::integer;
  e.index = static_cast<int64_t>(streams.size());
  for (size_t i = 0; i < streams.size(); ++i)
    if (streams[i].key == at->second && streams[i].ordinal == ordinal &&
        key_of(table_, {}, streams[i].ref.layout) == key_of(table_, {}, consumer.layout))
      e.index = static_cast<int64_t>(i);
  if (e.index == static_cast<int64_t>(streams.size()))
    streams.push_back({consumer, static_cast<int32_t>(at->second), ordinal});
  return intern(e);
}

int32_t Expressions::below(int32_t bits, double p) {
  // Uniform numbers are the upper 24 bits of bits + 2^31, so uniform < p says bits < threshold.
  const auto steps = static_cast<int64_t>(std::ceil(static_cast<double>(static_cast<float>(p)) * (1 << 24)));
  return binary(Code::less, bits, integer(steps * 256 - (int64_t{1} << 31)));
}

bool Expressions::is_number(int32_t e, double number) const {
  return is_constant(e) && at(e).kind == Kind::real && at(e).number == number;
}

bool Expressions::constant_branches(int32_t e) const {
  return at(e).code == Code::select && is_constant(at(e).b) && is_constant(at(e).c);
}

bool Expressions::is_fill(int32_t e) const {
  return is_constant(e) && at(e).kind == Kind::real && std::isfinite(at(e).number) &&
         std::fabs(at(e).number) > kLowFill;
}

// True where the product is rounded, and must be as it was written.
bool Expressions::rounds_fill(int32_t fill, int32_t by) const {
  int exponent = 0;
  return keeps_fills && is_fill(fill) && is_constant(by) &&
         std::fabs(std::frexp(at(by).number, &exponent)) != 0.5;
}

// True where the opposite of a condition is as simple as the condition.
bool Expressions::inverts(int32_t condition) const {
  std::vector<int32_t> open{condition};
  for (size_t steps = 0; !open.empty(); ++steps) {
    const Expr& x = at(open.back());
    open.pop_back();
    if (steps > 64) return false;
    if (x.code == Code::logical_and || x.code == Code::logical_or) {
      open.insert(open.end(), {x.a, x.b});
      continue;
    }
    const bool ordered = (x.code == Code::less || x.code == Code::less_equal) && at(x.a).kind != Kind::real;
    if (!ordered && x.code != Code::equal && x.code != Code::not_equal && x.code != Code::logical_not &&
        x.code != Code::constant && x.code != Code::input)
      return false;
  }
  return true;
}

int32_t Expressions::unary(Code code, int32_t a) {
  const Expr x = at(a);
  if (code == Code::logical_not) {
    if (x.code == Code::constant) return boolean(x.index == 0);
    if (x.code == Code::logical_not) return x.a;
    const bool exact = (x.code == Code::less || x.code == Code::less_equal) && at(x.a).kind != Kind::real;
    if (exact) return binary(x.code == Code::less ? Code::less_equal : Code::less, x.b, x.a);
    if (x.code == Code::equal) return binary(Code::not_equal, x.a, x.b);
    if (x.code == Code::not_equal) return binary(Code::equal, x.a, x.b);
    if ((x.code == Code::logical_and || x.code == Code::logical_or) && inverts(a))
      return binary(x.code == Code::logical_and ? Code::logical_or : Code::logical_and,
                    unary(Code::logical_not, x.a), unary(Code::logical_not, x.b));
  }
  if (code == Code::to_real) {
    if (x.kind == Kind::real) return a;
    if (x.code == Code::constant) return constant(static_cast<double>(x.index));
    if (x.kind == Kind::boolean) return select(a, constant(1), constant(0));
  }
  if (code == Code::to_integer) {
    if (x.kind == Kind::integer) return a;
    if (x.kind == Kind::boolean)
      return x.code == Code::constant ? integer(x.index) : select(a, integer(1), integer(0));
    if (x.code == Code::constant && std::fabs(x.number) < 1e15)
      return integer(static_cast<int64_t>(std::trunc(x.number)));
    // An integer that only went through reals to come back.
    if (x.code == Code::to_real) return x.a;
  }
  if (code == Code::to_boolean) {
    if (x.kind == Kind::boolean) return a;
    return binary(Code::not_equal, a, x.kind == Kind::real ? constant(0) : integer(0));
  }
  if (code == Code::neg && x.code == Code::neg) return x.a;
  if (code == Code::neg && x.kind == Kind::real) return binary(Code::mul, a, constant(-1));
  if (code == Code::reciprocal) return binary(Code::div, constant(1), a);
  if (x.code == Code::constant && x.kind == Kind::real && code >= Code::neg && code <= Code::round)
    return constant(tiles::real_unary(code, x.number));
  if (code == Code::is_nan && x.code == Code::constant) return boolean(std::isnan(x.number));
  if (constant_branches(a)) return select(x.a, unary(code, x.b), unary(code, x.c));
  Expr e;
  e.code = code;
  e.kind = result_kind(code, x.kind);
  e.a = a;
  return intern(e);
}

std::optional<int32_t> Expressions::fold(Code code, int32_t a, int32_t b) {
  const Expr x = at(a), y = at(b);
  if (x.code != Code::constant || y.code != Code::constant) return std::nullopt;
  if (is_logical(code)) {
    const bool p = x.index != 0, q = y.index != 0;
    return boolean(tiles::logical(code, p, q));
  }
  if (is_comparison(code))
    return boolean(x.kind == Kind::real ? tiles::compare(code, x.number, y.number)
                                        : tiles::compare(code, x.index, y.index));
  if (x.kind == Kind::real && (code <= Code::minimum || code == Code::pow))
    return constant(tiles::real_binary(code, x.number, y.number));
  if (x.kind == Kind::integer && code <= Code::minimum && code != Code::div)
    return integer(tiles::integer_binary(code, x.index, y.index));
  return std::nullopt;
}

// Operations on a select between constants go into its branches.
std::optional<int32_t> Expressions::branchwise(Code code, int32_t a, int32_t b) {
  if (is_logical(code)) return std::nullopt;
  const Expr x = at(a), y = at(b);
  if (code == Code::mul && x.code == Code::select && (rounds_fill(x.b, b) || rounds_fill(x.c, b)))
    return std::nullopt;
  if (constant_branches(a) && is_constant(b)) return select(x.a, binary(code, x.b, b), binary(code, x.c, b));
  if (constant_branches(b) && is_constant(a)) return select(y.a, binary(code, a, y.b), binary(code, a, y.c));
  if (constant_branches(a) && constant_branches(b) && x.a == y.a)
    return select(x.a, binary(code, x.b, y.b), binary(code, x.c, y.c));
  // A scale behind a mask: (m ? s : fill) * c.
  if (code == Code::mul && x.code == Code::select && is_constant(b) && x.kind == Kind::real &&
      (is_constant(x.b) || is_constant(x.c)))
    return select(x.a, binary(code, x.b, b), binary(code, x.c, b));
  // s + (m ? 0 : -inf): where minus infinity is added, nothing else is left.
  if (code == Code::add && constant_branches(b) && x.kind == Kind::real) {
    if (at(y.c).number == -kInf) return select(y.a, binary(code, a, y.b), y.c);
    if (at(y.b).number == -kInf) return select(y.a, y.b, binary(code, a, y.c));
  }
  return std::nullopt;
}

std::optional<int32_t> Expressions::simplify(Code code, int32_t a, int32_t b) {
  const Expr x = at(a), y = at(b);
  const bool is_real = x.kind == Kind::real, number = y.code == Code::constant;
  const double n = is_real ? y.number : static_cast<double>(y.index);
  if (is_logical(code)) {
    if (a == b) return code == Code::logical_xor ? boolean(false) : a;
    if (!number) return std::nullopt;
    if (code == Code::logical_xor) return y.index ? unary(Code::logical_not, a) : a;
    return (y.index != 0) == (code == Code::logical_and) ? a : b;
  }
  if (x.kind == Kind::boolean && (code == Code::equal || code == Code::not_equal)) {
    if (!number) return std::nullopt;
    return (y.index != 0) == (code == Code::equal) ? a : unary(Code::logical_not, a);
  }
  if (code == Code::sub && number) return binary(Code::add, a, is_real ? constant(-n) : integer(-y.index));
  if (code == Code::add && number && n == 0) return a;
  if (code == Code::mul && number && n == 1) return a;
  if (code == Code::div && is_real && number && std::isfinite(1 / n))
    return binary(Code::mul, a, constant(1 / n));
  if (!number) return std::nullopt;
  if (code == Code::mul && x.code == code && is_constant(x.b) && rounds_fill(x.b, b)) return std::nullopt;
  // Constants gather: (x + 1) + 2, (x * 2) * 3.
  if ((code == Code::add || code == Code::mul) && x.code == code && is_constant(x.b))
    return binary(code, x.a, binary(code, x.b, b));
  // i + 1 <= j + 3 and the like: constants to one side.
  if (is_comparison(code) && x.kind == Kind::integer && x.code == Code::add && is_constant(x.b))
    return binary(code, x.a, integer(y.index - at(x.b).index));
  return std::nullopt;
}

int32_t Expressions::binary(Code code, int32_t a, int32_t b) {
  if (const auto known = fold(code, a, b)) return *known;
  if (tiles::commutes(code)) {
    // The side with the scores first, constants last.
    const auto rank = [this](int32_t e) { return is_constant(e) ? 2 : at(e).has_product ? 0 : 1; };
    if (rank(a) > rank(b) || (rank(a) == rank(b) && a > b)) std::swap(a, b);
  }
  if (const auto e = branchwise(code, a, b)) return *e;
  if (const auto e = simplify(code, a, b)) return *e;
  Expr e;
  e.code = code;
  e.kind = result_kind(code, at(a).kind);
  e.a = a;
  e.b = b;
  return intern(e);
}

int32_t Expressions::select(int32_t condition, int32_t yes, int32_t no) {
  const Expr c = at(condition);
  if (c.code == Code::constant) return c.index ? yes : no;
  // A choice that was made before.
  if (at(yes).code == Code::select && at(yes).a == condition) return select(condition, at(yes).b, no);
  if (at(no).code == Code::select && at(no).a == condition) return select(condition, yes, at(no).c);
  if (yes == no) return yes;
  const bool keeps = at(yes).has_product && !at(no).has_product;
  if (c.code == Code::logical_not && !keeps) return select(c.a, no, yes);
  if (at(yes).kind == Kind::boolean) {
    if (is_constant(yes) && is_constant(no))
      return at(yes).index ? condition : unary(Code::logical_not, condition);
    // Conditions as logic: c ? x : false.
    if (is_constant(no) && !at(no).index) return binary(Code::logical_and, condition, yes);
    if (is_constant(yes) && at(yes).index) return binary(Code::logical_or, condition, no);
    const int32_t other = unary(Code::logical_not, condition);
    if (is_constant(no)) return binary(Code::logical_or, other, yes);
    if (is_constant(yes)) return binary(Code::logical_and, other, no);
  }
  // The scores first: what is kept, then what masks.
  if (!at(yes).has_product && at(no).has_product && inverts(condition)) {
    const int32_t opposite = unary(Code::logical_not, condition);
    return keep_if(opposite, no, yes);
  }
  return keep_if(condition, yes, no);
}

int32_t Expressions::keep_if(int32_t condition, int32_t yes, int32_t no) {
  Expr e;
  e.code = Code::select;
  e.kind = at(yes).kind;
  e.a = condition;
  e.b = yes;
  e.c = no;
  return intern(e);
}

int32_t Expressions::replaced(int32_t root, int32_t what, int32_t with) {
  std::vector<int32_t> now(static_cast<size_t>(root) + 1, -1);
  for (int32_t e : reachable({root})) {
    const Expr x = at(e);
    const auto of = [&](int32_t y) { return now[static_cast<size_t>(y)]; };
    int32_t& to = now[static_cast<size_t>(e)];
    to = e;
    if (e == what)
      to = with;
    else if (x.a < 0 || (of(x.a) == x.a && (x.b < 0 || of(x.b) == x.b) && (x.c < 0 || of(x.c) == x.c)))
      continue;
    else if (x.c >= 0)
      to = select(of(x.a), of(x.b), of(x.c));
    else
      to = x.b >= 0 ? binary(x.code, of(x.a), of(x.b)) : unary(x.code, of(x.a));
  }
  return now[static_cast<size_t>(root)];
}

std::vector<int32_t> Expressions::reachable(const std::vector<int32_t>& from) const {
  std::vector<bool> seen(code_.size(), false);
  std::vector<int32_t> open = from, out;
  while (!open.empty()) {
    const int32_t e = open.back();
    open.pop_back();
    if (e < 0 || seen[static_cast<size_t>(e)]) continue;
    seen[static_cast<size_t>(e)] = true;
    out.push_back(e);
    for (int32_t x : {at(e).a, at(e).b, at(e).c})
      if (x >= 0) open.push_back(x);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace fovea::match
