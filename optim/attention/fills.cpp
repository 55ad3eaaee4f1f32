#include "optim/attention/fills.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace fovea::match {
namespace {

// For tensors that are added to the scores.
double size_of_leaf(const View& view, const Expressions& e, const Expr& at) {
  if (at.code != Code::input || at.kind != Kind::real || at.has_product) return 0;
  const Leaf& leaf = e.leaves[static_cast<size_t>(at.index)];
  return leaf.what == Leaf::What::value ? view.largest_number(leaf.ref.value) : 0;
}

// True where numbers within the score, sums of fills among them, are multiplied to more than `most`.
// A change of base is no growth: log2(e) * ln(2), rounded to two bytes, is 1.002.
bool grows_beyond(const View& view, const Expressions& e, int32_t score, double most) {
  std::unordered_map<int32_t, double> size;
  bool beyond = false;
  for (int32_t x : e.reachable({score})) {
    const Expr& at = e.at(x);
    const auto of = [&](int32_t y) { return y < 0 ? 0 : size[y]; };
    double n = 0;
    if (at.code == Code::constant && at.kind == Kind::real && std::isfinite(at.number))
      n = std::min(std::fabs(at.number), most);
    if (at.code == Code::input) n = std::min(size_of_leaf(view, e, at), most);
    if (at.code == Code::add || at.code == Code::sub) n = of(at.a) + of(at.b);
    if (at.code == Code::neg) n = of(at.a);
    if (at.code == Code::select) n = std::max(of(at.b), of(at.c));
    if (at.code == Code::mul && e.is_constant(at.b)) n = of(at.a) * std::fabs(e.at(at.b).number);
    beyond = beyond || (at.code == Code::mul && n > of(at.a) * 1.01 && n > most);
    size[x] = n;
  }
  return beyond;
}

}  // namespace

bool may_fall_low(const Expressions& e, const LabelTable& table, int32_t score, const Labels& keys) {
  const std::vector<int32_t> all = e.reachable({score});
  return std::any_of(all.begin(), all.end(), [&](int32_t x) {
    const Expr& at = e.at(x);
    if (at.code == Code::select) return e.is_fill(at.b) || e.is_fill(at.c);
    if (at.code == Code::mul && e.is_fill(at.b)) return e.at(at.a).code == Code::to_real;
    if (at.code != Code::input || at.kind != Kind::real || at.has_product) return false;
    const Leaf& leaf = e.leaves[static_cast<size_t>(at.index)];
    return leaf.what == Leaf::What::value &&
           contains_any(table.resolve(flat(leaf.ref.layout)), table.resolve(keys));
  });
}

bool holds_fill(const View& view, const Expressions& e, int32_t x) {
  const std::vector<int32_t> all = e.reachable({x});
  return std::any_of(all.begin(), all.end(),
                     [&](int32_t y) { return e.is_fill(y) || size_of_leaf(view, e, e.at(y)) > kLowFill; });
}

bool mixes_fills(const View& view, const Expressions& e, int32_t score) {
  bool chosen = false, added = false;
  for (int32_t x : e.reachable({score})) {
    const Expr& at = e.at(x);
    added = added || size_of_leaf(view, e, at) > kLowFill;
    if (at.code == Code::mul && e.is_fill(at.b) && !e.at(at.a).has_product) added = true;
    if (at.code == Code::select && (e.is_fill(at.b) || e.is_fill(at.c)))
      (at.has_product ? chosen : added) = true;
  }
  return chosen && added;
}

bool has_infinite_fill(const Expressions& e, int32_t score) {
  const std::vector<int32_t> all = e.reachable({score});
  return std::any_of(all.begin(), all.end(),
                     [&](int32_t x) { return e.is_number(x, -std::numeric_limits<double>::infinity()); });
}

bool holds_no_number(const Expressions& e, const std::vector<int32_t>& results) {
  const std::vector<int32_t> all = e.reachable(results);
  return std::any_of(all.begin(), all.end(), [&](int32_t x) {
    return e.is_constant(x) && e.at(x).kind == Kind::real && std::isnan(e.at(x).number);
  });
}

bool fills_stay_equal(const Expressions& e, int32_t score) {
  std::unordered_map<float, double> known;
  for (int32_t x : e.reachable({score})) {
    const Expr& at = e.at(x);
    if (at.code != Code::constant || at.kind != Kind::real || !(at.number < -kLowFill)) continue;
    const auto [first, fresh] = known.try_emplace(static_cast<float>(at.number), at.number);
    if (!fresh && first->second != at.number) return false;
  }
  return true;
}

bool fills_stay_apart(const View& view, const Expressions& e, int32_t score, bool shifted) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (shifted && grows_beyond(view, e, score, kMost)) return false;
  bool beyond = false;
  int64_t large = 0;
  for (int32_t x : e.reachable({score})) {
    const Expr& at = e.at(x);
    const bool number = e.is_constant(x) && at.kind == Kind::real && std::isfinite(at.number);
    const double size = number ? std::fabs(at.number) : size_of_leaf(view, e, at);
    beyond = beyond || size > kMost;
    large += size > kMost * 1e-8;
  }
  return !beyond || large < 2;
}

bool multiplies_infinity(const Expressions& e, int32_t score) {
  std::unordered_map<int32_t, bool> infinite;
  bool found = false;
  for (int32_t x : e.reachable({score})) {
    const Expr& at = e.at(x);
    const bool a = at.a >= 0 && infinite[at.a], b = at.b >= 0 && infinite[at.b];
    if (at.code == Code::constant) infinite[x] = at.kind == Kind::real && std::isinf(at.number);
    if (at.code == Code::select) infinite[x] = b || infinite[at.c];
    if (at.code == Code::add || at.code == Code::mul) infinite[x] = a || b;
    found = found || (at.code == Code::mul && ((a && e.at(at.b).has_index) || (b && e.at(at.a).has_index)));
  }
  return found;
}

}  // namespace fovea::match
