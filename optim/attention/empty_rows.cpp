#include "optim/attention/empty_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::match {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int kMostViews = 64;

class Question {
 public:
  Question(const View& view, LabelTable& table, Expressions& e, Reader& reader, const Labels& keys)
      : view_(view), table_(table), e_(e), reader_(reader), keys_(keys) {}

  bool run(int32_t score, Ref condition, bool holds) {
    for (int steps = 0; steps < kMostViews; ++steps) {
      condition = behind(std::move(condition));
      const std::string& name = name_of(condition);
      if (name == "logical_not") {
        holds = !holds;
      } else if (view_.role(condition.value) != Role::cast ||
                 view_.dtype(condition.value) != DType::boolean) {
        break;
      }
      condition = operand(view_, condition, 0);
    }
    const auto kept = kept_where(condition, holds);
    if (!kept) return false;
    std::vector<int32_t> needed, asked;
    needed_by(score, needed);
    conjuncts(*kept, asked);
    return std::all_of(asked.begin(), asked.end(),
                       [&](int32_t x) { return std::find(needed.begin(), needed.end(), x) != needed.end(); });
  }

 private:
  const std::string& name_of(const Ref& ref) const { return view_.node(ref.value).op->name(); }

  Ref behind(Ref ref) {
    for (int steps = 0; steps < kMostViews; ++steps) {
      auto next = behind_view(view_, table_, ref);
      if (!next) break;
      ref = std::move(*next);
    }
    return ref;
  }

  // The condition on one key whose failure for all keys makes `condition` be `holds`.
  std::optional<int32_t> kept_where(const Ref& condition, bool holds) {
    const std::string& name = name_of(condition);
    // any(b), all(b), and the same with numbers for booleans.
    if ((name == "any" || name == "max" || name == "sum") && !holds) return of_each(condition, true);
    if ((name == "all" || name == "min") && holds) return of_each(condition, false);
    const bool equal = name == "equal" || name == "not_equal";
    if (!equal && name != "greater" && name != "less") return std::nullopt;
    if (holds != (name == "equal")) return std::nullopt;
    const size_t left = name == "less" ? 1 : 0;
    for (const size_t side : {left, 1 - left}) {
      const auto bound = view_.number(view_.node(condition.value).inputs[1 - side]);
      if (!bound) continue;
      const Ref reduced = behind(operand(view_, condition, side));
      const std::string& by = name_of(reduced);
      // max(x) == -inf; sum(b) == 0.
      if (by == "max" && *bound == -kInf) {
        const auto x = element(reduced);
        if (!x || e_.at(*x).kind != Kind::real) return std::nullopt;
        return e_.unary(Code::logical_not, e_.binary(Code::equal, *x, e_.constant(-kInf)));
      }
      if ((by == "max" || by == "sum") && *bound == 0) return of_each(reduced, true);
      if (!equal) break;
    }
    return std::nullopt;
  }

  // What is reduced, as a condition: itself or its opposite. Numbers must stand for booleans.
  std::optional<int32_t> of_each(const Ref& reduction, bool kept) {
    const auto x = element(reduction);
    if (!x) return std::nullopt;
    Expr at = e_.at(*x);
    int32_t b = *x;
    if (at.kind != Kind::boolean) {
      if (at.code == Code::select && is_number(at.b, 1) && is_number(at.c, 0))
        b = at.a;
      else if (at.code == Code::select && is_number(at.b, 0) && is_number(at.c, 1))
        b = e_.unary(Code::logical_not, at.a);
      else if ((at.code == Code::to_integer || at.code == Code::to_real) && e_.at(at.a).kind == Kind::boolean)
        b = at.a;
      else
        return std::nullopt;
    }
    return kept ? b : e_.unary(Code::logical_not, b);
  }
  bool is_number(int32_t x, int64_t n) const {
    const Expr& at = e_.at(x);
    if (at.code != Code::constant) return false;
    return at.kind == Kind::real ? at.number == static_cast<double>(n) : at.index == n;
  }

  // The operand of a reduction over the keys, of one key.
  std::optional<int32_t> element(const Ref& reduction) {
    const Ints& axes = view_.node(reduction.value).attrs.ints("axes");
    const Ref x = before_sum(view_, table_, reduction);
    Labels over;
    for (int64_t axis : axes) {
      const Labels& labels = x.layout[static_cast<size_t>(axis)].labels;
      over.insert(over.end(), labels.begin(), labels.end());
    }
    if (over.empty() || !table_.unify(over, table_.resolve(keys_))) return std::nullopt;
    return reader_.read(x);
  }

  // Conditions without any of which the score is minus infinity.
  void needed_by(int32_t score, std::vector<int32_t>& out) {
    std::vector<int32_t> open{score};
    for (size_t i = 0; i < open.size() && i < 256; ++i) {
      const Expr x = e_.at(open[i]);
      if (x.kind != Kind::real || x.code == Code::constant) continue;
      conjuncts(e_.unary(Code::logical_not, e_.binary(Code::equal, open[i], e_.constant(-kInf))), out);
      if (x.code == Code::select && e_.is_number(x.c, -kInf)) {
        conjuncts(x.a, out);
        open.push_back(x.b);
      } else if (x.code == Code::select && e_.is_number(x.b, -kInf)) {
        conjuncts(e_.unary(Code::logical_not, x.a), out);
        open.push_back(x.c);
      } else if (x.code == Code::add) {
        open.push_back(x.a);
        open.push_back(x.b);
      } else if (x.code == Code::mul && e_.is_constant(x.b) && e_.at(x.b).number > 0) {
        open.push_back(x.a);
      }
    }
  }

  void conjuncts(int32_t condition, std::vector<int32_t>& out) {
    std::vector<int32_t> open{condition};
    while (!open.empty()) {
      const int32_t c = open.back();
      open.pop_back();
      const Expr x = e_.at(c);
      if (x.code == Code::logical_and) {
        open.insert(open.end(), {x.a, x.b});
        continue;
      }
      const Expr inner = x.code == Code::logical_not ? e_.at(x.a) : Expr{};
      if (x.code == Code::logical_not && inner.code == Code::logical_or) {
        open.push_back(e_.unary(Code::logical_not, inner.a));
        open.push_back(e_.unary(Code::logical_not, inner.b));
      } else {
        out.push_back(c);
      }
    }
  }

  const View& view_;
  LabelTable& table_;
  Expressions& e_;
  Reader& reader_;
  const Labels& keys_;
};

}  // namespace

bool asks_for_empty_rows(const View& view, LabelTable& table, Expressions& e, Reader& reader, int32_t score,
                         const Labels& keys, Ref condition, bool holds) {
  return Question(view, table, e, reader, keys).run(score, std::move(condition), holds);
}

}  // namespace fovea::match
