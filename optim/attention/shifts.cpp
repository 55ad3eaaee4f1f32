#include "optim/attention/shifts.h"

#include <algorithm>
#include <cmath>

#include "optim/attention/fills.h"
#include "optim/attention/reader.h"

namespace fovea::match {
namespace {

constexpr size_t kMostRead = 64;

bool reduces(Role r) { return r == Role::max || r == Role::shift || r == Role::sum || r == Role::logsumexp; }

Reduced reduced_at(const View& view, LabelTable& table, const Ref& ref) {
  Reduced r{ref.value.node, before_sum(view, table, ref), {}};
  for (int64_t axis : view.node(ref.value).attrs.ints("axes")) {
    const Labels& labels = r.of.layout[static_cast<size_t>(axis)].labels;
    r.over.insert(r.over.end(), labels.begin(), labels.end());
  }
  return r;
}

// The value behind a view, a cast or a stopped gradient.
std::optional<Ref> behind(const View& view, LabelTable& table, const Ref& ref) {
  const Role r = view.role(ref.value);
  if (r == Role::cast || r == Role::stop_gradient || r == Role::same)
    return Ref{view.node(ref.value).inputs[0], ref.layout};
  return behind_view(view, table, ref);
}

// Numbers that are moved along an axis: those of several rows may come to one.
std::vector<Ref> moved_from(const View& view, LabelTable& table, const Ref& ref) {
  const Node& n = view.node(ref.value);
  const std::string& op = n.op->name();
  std::vector<Ref> out;
  if (view.role(ref.value) == Role::concat || op == "flip" || op == "gather")
    for (const Value& v : n.inputs)
      if (is_floating(view.dtype(v))) out.push_back({v, fresh_layout(table, view.shape(v))});
  return out;
}

bool is_product(const View& view, Value v) {
  for (;;) {
    const Role r = view.role(v);
    if (is_contraction(r)) return true;
    if (r != Role::same && r != Role::reshape && r != Role::permute && r != Role::broadcast &&
        r != Role::slice && r != Role::unstack && r != Role::cast)
      return false;
    v = view.node(v).inputs[0];
  }
}

// Two tensors multiplied and summed, neither of them a number.
bool is_sum_of_products(const View& view, LabelTable& table, const Ref& ref) {
  if (view.role(ref.value) != Role::sum) return false;
  const auto c = contraction_at(view, table, ref);
  return c && !view.number(c->a.value) && !view.number(c->b.value);
}

// Labels without those of one element, which an axis may have or not.
Labels long_ones(const LabelTable& table, const Labels& labels) {
  Labels out;
  for (LabelId l : table.resolve(labels))
    if (table.size(l) != Dim(1)) out.push_back(l);
  return out;
}

}  // namespace

std::vector<Reduced> reductions_of(const View& view, LabelTable& table, const Ref& ref) {
  std::vector<Reduced> found;
  std::vector<Ref> open{ref};
  for (size_t steps = 0; !open.empty() && steps < kMostRead; ++steps) {
    const Ref at = open.back();
    open.pop_back();
    const Role r = view.role(at.value);
    if (reduces(r)) {
      if (!is_sum_of_products(view, table, at)) found.push_back(reduced_at(view, table, at));
    } else if (auto next = behind(view, table, at)) {
      open.push_back(std::move(*next));
    } else if (auto parts = moved_from(view, table, at); !parts.empty()) {
      open.insert(open.end(), parts.begin(), parts.end());
    } else if (view.node(at.value).op->is_pointwise()) {
      for (size_t i = 0; i < view.node(at.value).inputs.size(); ++i) open.push_back(operand(view, at, i));
    }
  }
  return found;
}

Reduced reduction_at(const View& view, LabelTable& table, Ref ref) {
  for (size_t steps = 0; steps < kMostRead; ++steps) {
    if (reduces(view.role(ref.value))) return reduced_at(view, table, ref);
    auto next = behind(view, table, ref);
    if (!next) break;
    ref = std::move(*next);
  }
  return {};
}

bool covers_row(const LabelTable& table, const Ref& a, const Labels& over, const Ref& b, const Labels& keys) {
  const Labels reduced = table.resolve(over), of_keys = table.resolve(keys);
  if (a.layout.size() != b.layout.size()) return false;
  for (size_t d = 0; d < a.layout.size(); ++d) {
    const AxisMap &x = a.layout[d], &y = b.layout[d];
    if (x.start != y.start || x.step != y.step) return false;
    const Labels p = long_ones(table, x.labels), q = long_ones(table, y.labels);
    if (p.size() != q.size()) {  // one of them was cut
      if (!contains_all(reduced, p)) return false;
      continue;
    }
    for (size_t k = 0; k < p.size(); ++k)
      if (!contains(reduced, p[k]) && (p[k] != q[k] || contains(of_keys, q[k]))) return false;
  }
  return true;
}

namespace {

// What a reduction reads; of tensors side by side along what it reduces, each for itself.
std::vector<Reduced> parts_of(const View& view, LabelTable& table, const Reduced& whole) {
  std::vector<Reduced> open{whole}, parts;
  for (size_t steps = 0; !open.empty(); ++steps) {
    Reduced r = std::move(open.back());
    open.pop_back();
    if (auto next = steps < kMostRead ? behind(view, table, r.of) : std::nullopt) {
      open.push_back({r.node, std::move(*next), std::move(r.over)});
      continue;
    }
    const Node& n = view.node(r.of.value);
    const bool joined = steps < kMostRead && view.role(r.of.value) == Role::concat;
    const auto axis = joined ? static_cast<size_t>(n.attrs.integer("axis")) : 0;
    if (!joined || !contains_all(table.resolve(r.over), table.resolve(r.of.layout[axis].labels))) {
      parts.push_back(std::move(r));
      continue;
    }
    for (const Value& v : n.inputs) {
      Reduced part{r.node, {v, r.of.layout}, r.over};
      part.over.push_back(table.add(view.shape(v)[axis]));
      part.of.layout[axis] = {{part.over.back()}, 0, 1};
      open.push_back(std::move(part));
    }
  }
  return parts;
}

bool part_reads_masked(const View& view, LabelTable& table, ConstantForms& forms, const Reduced& reduced,
                       const Ref& scores, const Labels& keys, bool infinite, bool& own, bool& others) {
  Expressions e(table);
  Reader reader(view, table, e, forms, reduced.over, {}, {}, /*leaves_outside=*/false);
  const std::vector<int32_t> all = e.reachable({reader.read(reduced.of)});
  const auto large = [&](int32_t x) {
    const Expr& at = e.at(x);
    if (at.code != Code::constant || at.kind != Kind::real) return false;
    return infinite ? !std::isfinite(at.number) : !(std::fabs(at.number) <= kLowFill);
  };
  for (const Leaf& leaf : e.leaves) {
    if (leaf.what == Leaf::What::extent || leaf.what == Leaf::What::key) continue;
    if (view.canonical(leaf.ref.value) == view.canonical(scores.value))
      (covers_row(table, leaf.ref, reduced.over, scores, keys) ? own : others) = true;
  }
  return std::any_of(all.begin(), all.end(), [&](int32_t x) {
    const Expr& at = e.at(x);
    if (at.code == Code::log) return true;
    if (at.code == Code::select) return large(at.b) || large(at.c);
    if (at.code == Code::mul) return large(at.b) && !e.at(at.a).has_product;
    if (infinite || at.code != Code::input || at.kind != Kind::real || at.has_product) return false;
    const Leaf& leaf = e.leaves[static_cast<size_t>(at.index)];
    return leaf.what == Leaf::What::value && !is_product(view, leaf.ref.value) &&
           contains_any(table.resolve(flat(leaf.ref.layout)), table.resolve(reduced.over));
  });
}

}  // namespace

bool reads_masked(const View& view, LabelTable& table, ConstantForms& forms, const Reduced& reduced,
                  const Ref& scores, const Labels& keys, bool infinite) {
  bool masked = false, own = false, others = false;
  for (const Reduced& part : parts_of(view, table, reduced))
    masked = part_reads_masked(view, table, forms, part, scores, keys, infinite, own, others) || masked;
  return masked && (view.role(reduced.node) != Role::max || !own || others);
}

}  // namespace fovea::match
