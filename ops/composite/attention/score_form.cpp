#include "ops/composite/attention/score_form_internal.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace fovea::attend {
namespace {

using tiles::Code;
using tiles::Instr;
using tiles::Kind;
using tiles::Program;

constexpr size_t kMostBounds = 8;
constexpr int64_t kMostNumber = int64_t{1} << 40;  // products of such numbers with lengths stay exact
constexpr double kLowFill = -1000;                 // fills above are scores like others

// j key + i query + constant + leaf_factor * leaf.
struct Affine {
  int64_t key = 0, query = 0, constant = 0, leaf = -1, leaf_factor = 0;
};
using Line = std::optional<Affine>;

bool small(int64_t x) { return x > -kMostNumber && x < kMostNumber; }
bool small(const Affine& x) {
  return small(x.key) && small(x.query) && small(x.constant) && small(x.leaf_factor);
}

Line sum(const Line& a, const Line& b, int64_t sign) {
  if (!a || !b || (a->leaf >= 0 && b->leaf >= 0)) return {};
  Affine x = *a;
  x.key += sign * b->key;
  x.query += sign * b->query;
  x.constant += sign * b->constant;
  if (b->leaf >= 0) x.leaf = b->leaf, x.leaf_factor = sign * b->leaf_factor;
  if (!small(x)) return {};
  return x;
}

Line product(const Line& a, const Line& b) {
  const auto plain = [](const Line& x) { return x && x->key == 0 && x->query == 0 && x->leaf < 0; };
  if (!a || !b) return {};
  if (!plain(a) && !plain(b)) return {};
  const Affine& line = plain(a) ? *b : *a;
  const int64_t by = plain(a) ? a->constant : b->constant;
  if (std::abs(by) > 1024) return {};
  const Affine x{line.key * by, line.query * by, line.constant * by, line.leaf, line.leaf_factor * by};
  return small(x) ? Line(x) : Line();
}

Line whole_number(double x) {
  if (x != std::floor(x) || !(std::abs(x) < 1e9)) return {};
  return Affine{0, 0, static_cast<int64_t>(x), -1, 0};
}

class Analysis {
 public:
  Analysis(const Program& program, int64_t rank, const std::function<bool(int64_t)>& per_batch)
      : code_(program.code), rank_(rank), per_batch_(per_batch) {
    for (size_t v = 0; v < code_.size(); ++v) {
      lines_.push_back(line_of(code_[v]));
      conditions_.push_back(condition_of(code_[v]));
    }
  }

  ScoreForm form(int32_t root) const {
    ScoreForm f;
    f.inner = root;
    while (peel(f)) {
    }
    f.linear = linear(f);
    return f;
  }

 private:
  using Bounds = std::optional<std::vector<KeyBound>>;  // all of them hold
  struct Condition {
    Bounds when_true, when_false;
  };

  const Line& line(int32_t v) const { return lines_[static_cast<size_t>(v)]; }
  const Condition& condition(int32_t v) const { return conditions_[static_cast<size_t>(v)]; }
  const Instr& at(int32_t v) const { return code_[static_cast<size_t>(v)]; }

  Line line_of(const Instr& in) const {
    switch (in.code) {
      case Code::constant:
        if (in.kind == Kind::real) return whole_number(in.number);
        if (in.kind == Kind::integer && small(in.index)) return Affine{0, 0, in.index, -1, 0};
        return {};
      case Code::iota: {
        const int64_t axis = in.index < 0 ? in.index : in.index - rank_;
        if (axis == -1) return Affine{1, 0, 0, -1, 0};
        if (axis == -2) return Affine{0, 1, 0, -1, 0};
        return {};
      }
      case Code::input:
        if (in.kind == Kind::integer && in.index > 0 && per_batch_(in.index))
          return Affine{0, 0, 0, in.index, 1};
        return {};
      case Code::to_real:
      case Code::to_integer:
        return at(in.a).kind == Kind::boolean ? Line() : line(in.a);
      case Code::neg:
        return sum(Affine{}, line(in.a), -1);
      case Code::add:
        return sum(line(in.a), line(in.b), 1);
      case Code::sub:
        return sum(line(in.a), line(in.b), -1);
      case Code::mul:
        return product(line(in.a), line(in.b));
      default:
        return {};
    }
  }

  // a < b (or a <= b) as a bound of the key.
  static Bounds bound(const Line& a, const Line& b, bool strict) {
    const Line d = sum(a, b, -1);
    if (!d || std::abs(d->key) != 1) return {};
    KeyBound k;
    k.upper = d->key == 1;
    const int64_t sign = k.upper ? -1 : 1;
    k.query = sign * d->query;
    k.constant = sign * d->constant;
    k.leaf = d->leaf;
    k.leaf_factor = sign * d->leaf_factor;
    // upper: j + rest < 0 is j < -rest; lower: -j + rest < 0 is j >= rest + 1
    if (k.upper != strict) k.constant += 1;
    return std::vector<KeyBound>{k};
  }

  static Bounds both(const Bounds& a, const Bounds& b) {
    if (!a || !b || a->size() + b->size() > kMostBounds) return {};
    std::vector<KeyBound> all = *a;
    all.insert(all.end(), b->begin(), b->end());
    return all;
  }

  Condition condition_of(const Instr& in) const {
    switch (in.code) {
      case Code::less:
        return {bound(line(in.a), line(in.b), true), bound(line(in.b), line(in.a), false)};
      case Code::less_equal:
        return {bound(line(in.a), line(in.b), false), bound(line(in.b), line(in.a), true)};
      case Code::logical_not:
        return {condition(in.a).when_false, condition(in.a).when_true};
      case Code::logical_and:
        return {both(condition(in.a).when_true, condition(in.b).when_true), {}};
      case Code::logical_or:
        return {{}, both(condition(in.a).when_false, condition(in.b).when_false)};
      default:
        return {};
    }
  }

  // Takes one select with a low fill off the top.
  bool peel(ScoreForm& f) const {
    const Instr& in = at(f.inner);
    if (in.code != Code::select) return false;
    const auto low = [&](int32_t v) { return at(v).code == Code::constant && at(v).number <= kLowFill; };
    const bool swapped = low(in.b);
    if (swapped == low(in.c)) return false;
    const Bounds& own = swapped ? condition(in.a).when_false : condition(in.a).when_true;
    if (!own || f.bounds.size() + own->size() > kMostBounds) return false;
    f.bounds.insert(f.bounds.end(), own->begin(), own->end());
    f.fill = std::max(f.fill, at(swapped ? in.b : in.c).number);
    f.inner = swapped ? in.c : in.b;
    return true;
  }

  // A term that is a line of the positions, times a number or a leaf: ALiBi.
  bool take_line(int32_t term, double factor, ScoreForm& f) const {
    if (f.line.found || f.bias >= 0) return false;
    const Instr& in = at(term);
    const auto moving = [&](int32_t v) {
      const Line& x = line(v);
      return at(v).kind == Kind::real && x && x->leaf < 0 && (x->key != 0 || x->query != 0);
    };
    const auto slope = [&](int32_t v) {
      return at(v).code == Code::input && at(v).kind == Kind::real && at(v).index > 0 &&
             per_batch_(at(v).index);
    };
    ScoreLine found{true, 0, 0, 0, -1, factor};
    int32_t distance = term;
    if (!moving(term)) {
      if (in.code != Code::mul || std::abs(factor) != 1) return false;
      const bool left = slope(in.a);
      if (!(left ? moving(in.b) : slope(in.b) && moving(in.a))) return false;
      distance = left ? in.b : in.a;
      found.leaf = at(left ? in.a : in.b).index;
    }
    const Affine& x = *line(distance);
    found.key = x.key, found.query = x.query, found.constant = x.constant;
    f.line = found;
    return true;
  }

  // inner as a sum of terms.
  bool linear(ScoreForm& f) const {
    double scale = 0;
    struct Term {
      int32_t value;
      double factor;
    };
    std::vector<Term> terms{{f.inner, 1.0}};
    for (int steps = 0; !terms.empty(); ++steps) {
      if (steps == 64) return false;
      const Term t = terms.back();
      terms.pop_back();
      const Instr& in = at(t.value);
      const auto constant = [&](int32_t v) {
        return at(v).code == Code::constant && at(v).kind == Kind::real;
      };
      if (take_line(t.value, t.factor, f)) {
        continue;
      } else if (in.code == Code::add || in.code == Code::sub) {
        terms.push_back({in.a, t.factor});
        terms.push_back({in.b, in.code == Code::sub ? -t.factor : t.factor});
      } else if (in.code == Code::neg) {
        terms.push_back({in.a, -t.factor});
      } else if (in.code == Code::mul && (constant(in.a) || constant(in.b))) {
        const bool left = constant(in.a);
        terms.push_back({left ? in.b : in.a, t.factor * at(left ? in.a : in.b).number});
      } else if (in.code == Code::div && constant(in.b)) {
        terms.push_back({in.a, t.factor / at(in.b).number});
      } else if (in.code == Code::input && in.index == 0) {
        scale += t.factor;
      } else if (in.code == Code::input && in.kind == Kind::real && t.factor == 1 && f.bias < 0 &&
                 !f.line.found) {
        f.bias = in.index;
      } else {
        return false;
      }
    }
    f.scale = scale;
    return std::isfinite(scale) && scale != 0;
  }

  const std::vector<Instr>& code_;
  int64_t rank_;
  const std::function<bool(int64_t)>& per_batch_;
  std::vector<Line> lines_;
  std::vector<Condition> conditions_;
};

}  // namespace

ScoreForm analyse(const Program& program, int64_t rank, const std::function<bool(int64_t)>& per_batch) {
  if (program.empty()) {
    ScoreForm plain;
    plain.linear = true;
    return plain;
  }
  return Analysis(program, rank, per_batch).form(program.results[0]);
}

DropoutForm find_dropout(const Program& program) {
  DropoutForm f;
  if (program.results.size() != 1) return f;
  const auto at = [&](int32_t v) -> const Instr& { return program.code[static_cast<size_t>(v)]; };
  const auto number = [&](int32_t v) { return at(v).code == Code::constant && at(v).kind == Kind::real; };
  const Instr& select = at(program.results[0]);
  if (select.code != Code::select || !number(select.b) || !number(select.c)) return f;
  const Instr& compare = at(select.a);
  const bool strict = compare.code == Code::less;
  if (!strict && compare.code != Code::less_equal) return f;
  const auto integer = [&](int32_t v) { return at(v).code == Code::constant && at(v).kind == Kind::integer; };
  const bool bits_first = at(compare.a).code == Code::random && integer(compare.b);
  if (!bits_first && !(at(compare.b).code == Code::random && integer(compare.a))) return f;
  // bits < t, bits <= t, t < bits (not bits < t + 1), t <= bits (not bits < t)
  const int64_t threshold = at(bits_first ? compare.b : compare.a).index + (strict == bits_first ? 0 : 1);
  if (threshold < std::numeric_limits<int32_t>::min() || threshold > std::numeric_limits<int32_t>::max())
    return f;
  const Instr& random = at(bits_first ? compare.a : compare.b);
  f.found = true;
  f.stream = random.index;
  f.key = random.a;
  f.threshold = static_cast<int32_t>(threshold);
  f.below = at(bits_first ? select.b : select.c).number;
  f.above = at(bits_first ? select.c : select.b).number;
  return f;
}

}  // namespace fovea::attend
