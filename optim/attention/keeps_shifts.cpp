#include "optim/attention/keeps_shifts.h"

#include <algorithm>

#include "optim/attention/shifts.h"

namespace fovea::match {
namespace {

constexpr size_t kMostRead = 64;

class Shifts {
 public:
  Shifts(Region& region, const Probability& p, const Labels& keys, Refusal& why)
      : r_(region), view_(region.view), p_(p), keys_(keys), why_(why) {}

  bool kept() {
    return std::all_of(p_.shift.begin(), p_.shift.end(), [this](const Term& t) { return keeps(t); });
  }

  // What stays as it was written is NaN where it is infinite, which masks of probabilities then hide.
  bool written_kept(int32_t score) {
    for (int32_t x : r_.e.reachable({score})) {
      const Expr at = r_.e.at(x);
      if (at.code != Code::input || at.kind != Kind::real || at.has_product) continue;
      const Leaf leaf = r_.e.leaves[static_cast<size_t>(at.index)];
      if (leaf.what != Leaf::What::value || role(leaf.ref.value) != Role::shift) continue;
      for (const Reduced& r : reductions_of(view_, r_.table, leaf.ref))
        if (reads_masked(view_, r_.table, r_.forms, r, scores(), keys_, /*infinite=*/true))
          return refuse_mean(leaf.ref.value.node);
    }
    return true;
  }

 private:
  const Ref& scores() const { return r_.e.leaves[static_cast<size_t>(r_.scores)].ref; }
  bool guarded() const { return p_.nan_guard || p_.zero_guard; }
  bool is_row_maximum(const Term& t) {
    return match::is_row_maximum(view_, r_.table, {t.ref, -t.scale}, p_.terms, keys_);
  }

  bool keeps(const Term& t) {
    const Role by_role = role(t.ref.value);
    if (by_role == Role::max && is_row_maximum(t))
      return !guarded() || shifts_alike(view_, r_.table, t, p_.terms, p_.shift) ||
             refuse_mean(t.ref.value.node);
    const bool own = r_.depends_on_scores(t.ref.value);
    if (own && p_.nan_guard && by_role == Role::shift) return refuse_mean(t.ref.value.node);
    // A guard makes the whole row 0 where what is subtracted is infinite, no number, or too large.
    if (own && guarded() && by_role != Role::shift && !is_made_of_row_maximum(t))
      return refuse(
          t.ref.value.node,
          "what is subtracted is no maximum of the row's own scores; where it is infinite, no number "
          "or far from them, the guard behind it makes the whole row 0");
    for (const Reduced& r : reductions_of(view_, r_.table, t.ref)) {
      const Role by = view_.role(r.node);
      if (!own && by != Role::shift) continue;
      if (!reads_masked(view_, r_.table, r_.forms, r, scores(), keys_, /*infinite=*/false)) continue;
      if (by != Role::max) return refuse_mean(t.ref.value.node);
      return refuse(
          t.ref.value.node,
          "what is subtracted is the maximum of other scores, which may all be masked; the row's own "
          "are lost beside it");
    }
    return true;
  }

  // The row's maximum, or a choice between it and numbers that it makes itself: where(isfinite(m), m, 0).
  bool is_made_of_row_maximum(const Term& t) {
    std::vector<Ref> open{t.ref};
    bool found = false;
    for (size_t steps = 0; !open.empty(); ++steps) {
      if (steps == kMostRead) return false;
      const Ref at = open.back();
      open.pop_back();
      if (view_.number(at.value)) continue;
      if (reduction_at(view_, r_.table, at).node >= 0) {
        if (!is_row_maximum({at, t.scale})) return false;
        found = true;
        continue;
      }
      const Node& n = view_.node(at.value);
      const Role r = view_.role(at.value);
      if (auto next = behind_view(view_, r_.table, at, /*through_slices=*/false)) {
        open.push_back(std::move(*next));
      } else if (r == Role::cast || r == Role::stop_gradient) {
        open.push_back({n.inputs[0], at.layout});
      } else if (r == Role::where || r == Role::maximum || r == Role::clip || is_test(n.op->name())) {
        for (size_t i = 0; i < n.inputs.size(); ++i) open.push_back(operand(view_, at, i));
      } else {
        return false;
      }
    }
    return found;
  }
  static bool is_test(const std::string& op) {
    constexpr const char* kTests[] = {"is_nan",        "is_inf",      "is_finite",   "equal",
                                      "not_equal",     "less",        "less_equal",  "greater",
                                      "greater_equal", "logical_not", "logical_and", "logical_or"};
    return std::find(std::begin(kTests), std::end(kTests), op) != std::end(kTests);
  }

  // The role of what is moved, stretched or converted.
  Role role(Value v) const {
    for (;;) {
      const Role r = view_.role(v);
      const std::string& op = view_.node(v).op->name();
      if (r != Role::stop_gradient && r != Role::same && r != Role::reshape && r != Role::broadcast &&
          r != Role::permute && r != Role::slice && r != Role::cast && r != Role::concat && op != "flip" &&
          op != "gather")
        return r;
      v = view_.node(v).inputs[0];
    }
  }

  bool refuse_mean(NodeId node) {
    return refuse(node,
                  "the mean or minimum that is subtracted holds masked scores, beside which others are lost");
  }
  bool refuse(NodeId node, std::string sentence) {
    return why_.because(Reason::empty_row, node, std::move(sentence),
                        "softmax of the scores, or of the scores minus their maximum");
  }

  Region& r_;
  const View& view_;
  const Probability& p_;
  const Labels& keys_;
  Refusal& why_;
};

}  // namespace

bool keeps_shifts(Region& region, const Probability& p, const Labels& keys, int32_t as_read, Refusal& why) {
  Shifts shifts(region, p, keys, why);
  return shifts.kept() && shifts.written_kept(as_read);
}

}  // namespace fovea::match
