#include "optim/attention/emit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/shared/tile/scalar.h"

namespace fovea::match {
namespace {

// The axes of the node's space, each the labels that it is the product of.
std::vector<Labels> space_axes(const Region& r) {
  std::vector<Labels> axes;
  for (LabelId l : r.batch) axes.push_back({l});
  axes.push_back(r.query);
  axes.push_back(r.keys);
  return axes;
}
std::vector<Labels> operand_axes(const Region& r, const Labels& second_last, const Labels& last) {
  std::vector<Labels> axes;
  for (LabelId l : r.batch) axes.push_back({l});
  axes.push_back(second_last);
  axes.push_back(last);
  return axes;
}

Labels long_labels(const LabelTable& table, const Labels& labels) {
  Labels out;
  for (LabelId l : table.resolve(labels))
    if (table.size(l) != Dim(1)) out.push_back(l);
  return out;
}

// True where the numbers of a stream come in the order of the node's own space.
bool in_space_order(const Region& r, const Stream& s) {
  Labels space;
  for (const Labels& axis : space_axes(r)) space.insert(space.end(), axis.begin(), axis.end());
  const Shape& shape = r.view.shape(s.ref.value);
  for (size_t d = 0; d < shape.size(); ++d)
    if (!whole_axis(r.table, s.ref.layout[d], shape[d])) return false;
  return long_labels(r.table, flat(s.ref.layout)) == long_labels(r.table, space);
}

// Expressions as a tile program over the node's space.
class Writer {
 public:
  Writer(Region& r, std::vector<int64_t>& leaves) : r_(r), leaves_(leaves), axes_(space_axes(r)) {}

  tiles::Program write(int32_t root) {
    if (root < 0) return {};
    p_ = {};
    name(root);
    std::vector<int32_t> value(static_cast<size_t>(root) + 1, -1), open{root};
    while (!open.empty()) {
      const int32_t e = open.back();
      if (value[static_cast<size_t>(e)] >= 0) {
        open.pop_back();
        continue;
      }
      const size_t before = open.size();
      const std::vector<int32_t> in = operands(e);
      for (size_t k = in.size(); k-- > 0;)
        if (value[static_cast<size_t>(in[k])] < 0) open.push_back(in[k]);
      if (open.size() > before) continue;
      open.pop_back();
      value[static_cast<size_t>(e)] = instruction(r_.e.at(e), in, value);
    }
    p_.results = {value[static_cast<size_t>(root)]};
    p_.compact();
    return std::move(p_);
  }

 private:
  // Operands in an order that does not depend on how the expression was built.
  std::vector<int32_t> operands(int32_t e) const {
    const Expr& x = r_.e.at(e);
    std::vector<int32_t> in;
    // The scores and what masks them come first, conditions behind.
    if (x.code == Code::select) return {x.b, x.a, x.c};
    for (int32_t y : {x.a, x.b})
      if (y >= 0) in.push_back(y);
    if (in.size() == 2 && tiles::commutes(x.code)) {
      const auto rank = [&](int32_t y) {
        return std::make_pair(r_.e.is_constant(y)      ? 2
                              : r_.e.at(y).has_product ? 0
                                                       : 1,
                              names_[static_cast<size_t>(y)]);
      };
      if (rank(in[1]) < rank(in[0])) std::swap(in[0], in[1]);
    }
    return in;
  }
  // Numbers for expressions by what they are: equal ones in any order of building.
  void name(int32_t root) {
    names_.assign(static_cast<size_t>(root) + 1, {});
    for (int32_t e : r_.e.reachable({root})) {
      const Expr& x = r_.e.at(e);
      uint64_t h = static_cast<uint64_t>(x.code) * 64 + static_cast<uint64_t>(x.kind);
      const auto mix = [&h](uint64_t y) { h = (h ^ y) * 0x9E3779B97F4A7C15u + (h >> 29); };
      if (x.code == Code::constant)
        mix(std::bit_cast<uint64_t>(x.number)), mix(static_cast<uint64_t>(x.index));
      if (x.code == Code::input) {
        const Leaf& leaf = r_.e.leaves[static_cast<size_t>(x.index)];
        mix(leaf.what == Leaf::What::extent ? 1 : static_cast<uint64_t>(leaf.ref.value.node) + 2);
      }
      if (x.code == Code::iota)
        for (const Labels& axis : axes_)
          mix(contains_any(r_.table.resolve(r_.e.places[static_cast<size_t>(x.index)].labels), axis));
      for (int32_t y : operands(e)) mix(names_[static_cast<size_t>(y)]);
      names_[static_cast<size_t>(e)] = h;
    }
  }
  // A mask's fill that was multiplied out may leave the computing type, where the user's row maximum had been
  // subtracted first: it stays the lowest number, not minus infinity.
  double representable(double x) const {
    constexpr double kMost = std::numeric_limits<float>::max();
    return r_.dtype == DType::f64 || !std::isfinite(x) ? x : std::clamp(x, -kMost, kMost);
  }

  int32_t instruction(const Expr& x, const std::vector<int32_t>& in, const std::vector<int32_t>& value) {
    const auto operand = [&](size_t k) { return value[static_cast<size_t>(in[k])]; };
    switch (x.code) {
      case Code::input:
        return x.index == r_.scores ? p_.input(0) : p_.input(number(x.index), x.kind);
      case Code::constant:
        return x.kind == Kind::real      ? p_.constant(representable(x.number))
               : x.kind == Kind::integer ? p_.integer(x.index)
                                         : p_.boolean(x.index != 0);
      case Code::iota:
        return place(r_.e.places[static_cast<size_t>(x.index)].labels);
      case Code::random: {
        const Stream& s = r_.e.streams[static_cast<size_t>(x.index)];
        if (in_space_order(r_, s)) return p_.random(s.ordinal, number(s.key));
        return p_.input(number(-1 - x.index), Kind::integer);
      }
      case Code::select:
        return p_.select(operand(1), operand(0), operand(2));
      default:
        return in.size() == 1 ? p_.unary(x.code, operand(0)) : p_.binary(x.code, operand(0), operand(1));
    }
  }
  int64_t number(int64_t leaf) {
    const auto at = std::find(leaves_.begin(), leaves_.end(), leaf);
    if (at != leaves_.end()) return at - leaves_.begin() + 1;
    leaves_.push_back(leaf);
    return static_cast<int64_t>(leaves_.size());
  }

  int64_t axis_name(size_t axis) const {
    const auto n = static_cast<int64_t>(axes_.size()), a = static_cast<int64_t>(axis);
    return a >= n - 2 ? a - n : a;
  }
  // The mixed radix number of labels, from the indices of the axes.
  int32_t place(const Labels& labels) {
    Labels left = long_labels(r_.table, labels);
    int32_t sum = p_.integer(0);
    while (!left.empty()) {
      Labels run{left[0]};
      const int32_t at = coordinate(left, run);
      sum = p_.binary(Code::add, p_.binary(Code::mul, sum, size(run)), at);
      left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(run.size()));
    }
    return sum;
  }
  // The index of the longest run of `labels` that lies in one axis.
  int32_t coordinate(const Labels& labels, Labels& run) {
    for (size_t a = 0; a < axes_.size(); ++a) {
      const Labels axis = long_labels(r_.table, axes_[a]);
      const auto from = std::find(axis.begin(), axis.end(), labels[0]);
      if (from == axis.end()) continue;
      auto to = from;
      size_t n = 0;
      while (to != axis.end() && n < labels.size() && *to == labels[n]) ++to, ++n;
      run.assign(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(n));
      int32_t index = p_.iota(axis_name(a));
      if (to != axis.end()) index = p_.binary(Code::floor_div, index, size(Labels(to, axis.end())));
      if (from != axis.begin()) index = p_.binary(Code::mod, index, size(run));
      return index;
    }
    return p_.integer(0);
  }
  int32_t size(const Labels& labels) {
    const Dim n = r_.table.size(labels);
    if (n.is_const()) return p_.integer(n.value());
    // Sizes that are symbols are leaves like offsets.
    return p_.input(number(r_.extent_leaf(n)), Kind::integer);
  }

  Region& r_;
  std::vector<int64_t>& leaves_;
  std::vector<Labels> axes_;
  std::vector<uint64_t> names_;
  tiles::Program p_;
};

class Emitter {
 public:
  Emitter(Region& r, const Add& add, const std::function<Value(Value)>& moved,
          const std::function<const TensorType&(Value)>& type)
      : r_(r), add_(add), moved_(moved), type_(type) {}

  Value run() {
    Programs p = programs_of(r_);
    // Values that are equal for all keys are repeated: the node counts keys in both.
    std::vector<Value> in{queries(), keys(),
                          typed(arranged(moved_(r_.v.value), r_.v.layout, value_axes(), r_.keys))};
    for (int64_t leaf : p.leaves) in.push_back(leaf_tensor(leaf));
    const auto text = [](const tiles::Program& q) { return q.empty() ? std::string() : q.str(); };
    const Ints order = memory_order();
    Value y = add_("attention", std::move(in),
                   {{"score", is_plain(p.score) ? std::string() : text(p.score)},
                    {"factor", text(p.factor)},
                    {"sink", text(p.sink)},
                    {"guard", r_.guard},
                    {"order", order}});
    std::vector<Labels> axes = operand_axes(r_, r_.query, r_.channels);
    Layout layout;
    for (int64_t a : order) layout.push_back({axes[static_cast<size_t>(a)], 0, 1});
    if (r_.hides_rows) y = without_empty_rows(y, order);
    for (const Factor& f : r_.row_factors) y = times(y, f, order);
    const DType wanted = r_.view.dtype(r_.root.value);
    if (type_(y).dtype != wanted) y = add_("cast", {y}, {{"dtype", wanted}});
    std::vector<Labels> result;
    for (const AxisMap& m : r_.table.resolve(r_.root.layout)) result.push_back(m.labels);
    return arranged(y, layout, result, Labels(flat(r_.table.resolve(r_.root.layout))));
  }

 private:
  static bool is_plain(const tiles::Program& p) {
    return p.code.size() == 1 && p.code[0].code == Code::input && p.code[0].index == 0;
  }
  std::vector<Labels> value_axes() const { return operand_axes(r_, r_.keys, r_.channels); }
  Value typed(Value v) { return type_(v).dtype == r_.dtype ? v : add_("cast", {v}, {{"dtype", r_.dtype}}); }

  // Labels of the space that some queries (or keys) have: all parts of a concatenation need them.
  Value joined(bool query) {
    const auto part = [&](const Pair& p) -> const Ref& { return query ? p.q : p.k; };
    Labels needed;
    for (const Pair& p : r_.pairs)
      for (LabelId l : long_labels(r_.table, flat(part(p).layout)))
        if (contains(r_.batch, l) || contains(query ? r_.query : r_.keys, l)) needed.push_back(l);
    if (!query) needed.insert(needed.end(), r_.keys.begin(), r_.keys.end());
    if (query) {
      // Batch axes that neither queries nor keys have are made by the queries.
      Labels all = needed;
      for (const Pair& p : r_.pairs) {
        const Labels k = long_labels(r_.table, flat(p.k.layout));
        all.insert(all.end(), k.begin(), k.end());
      }
      needed.insert(needed.end(), r_.query.begin(), r_.query.end());
      for (LabelId l : r_.batch)
        if (!contains(all, l)) needed.push_back(l);
    }
    std::vector<Value> parts;
    for (const Pair& p : r_.pairs) {
      const Labels inner = long_labels(r_.table, p.inner);
      Labels full = needed;
      full.insert(full.end(), inner.begin(), inner.end());
      Value x = typed(arranged(moved_(part(p).value), part(p).layout,
                               operand_axes(r_, query ? r_.query : r_.keys, inner), full));
      if (query && p.scale != 1) x = scaled(x, p.scale);
      parts.push_back(x);
    }
    if (parts.size() == 1) return parts[0];
    const auto last = static_cast<int64_t>(r_.batch.size()) + 1;
    return add_("concat", std::move(parts), {{"axis", last}});
  }
  Value queries() { return joined(true); }
  Value keys() { return joined(false); }
  Value number(double x, DType dtype) {
    return add_("full", {}, {{"shape", Shape{}}, {"value", x}, {"dtype", dtype}});
  }
  Value scaled(Value x, double by) { return add_("mul", {x, number(by, type_(x).dtype)}, {}); }

  Value leaf_tensor(int64_t leaf) {
    const Shape ones(r_.batch.size() + 2, Dim(1));
    if (leaf < 0) {
      const Stream& s = r_.e.streams[static_cast<size_t>(-1 - leaf)];
      const Value key = moved_(r_.e.leaves[static_cast<size_t>(s.key)].ref.value);
      const Value bits =
          add_("rand_bits", {key}, {{"shape", r_.view.shape(s.ref.value)}, {"ordinal", s.ordinal}});
      return arranged(bits, s.ref.layout, space_axes(r_));
    }
    const Leaf& l = r_.e.leaves[static_cast<size_t>(leaf)];
    if (l.what == Leaf::What::key) return moved_(l.ref.value);
    if (l.what == Leaf::What::extent) {
      const Value n = add_("extent", {}, {{"sizes", Shape{l.extent}}, {"dtype", DType::i64}});
      return add_("reshape", {n}, {{"shape", ones}});
    }
    return arranged(moved_(l.ref.value), l.ref.layout, space_axes(r_));
  }

  // Reads `v` through `layout` as a tensor whose axes are `axes`; labels that it lacks are axes of size 1,
  // but those in `full` are repeated.
  Value arranged(Value v, Layout layout, const std::vector<Labels>& axes, const Labels& full = {}) {
    layout = r_.table.resolve(std::move(layout));
    v = sliced(padded(v, layout), layout);
    const Labels has = long_labels(r_.table, flat(layout));
    v = shaped(v, sizes(has));
    Labels wanted, order;
    Shape repeated, shape;
    bool repeat = false;
    for (const Labels& axis : axes) {
      const Labels labels = long_labels(r_.table, axis);
      const bool any = contains_any(has, labels) || contains_any(labels, long_labels(r_.table, full));
      Dim n = 1;
      for (LabelId l : labels) {
        if (!any) continue;
        n = n * r_.table.size(l);
        wanted.push_back(l);
        repeated.push_back(r_.table.size(l));
        if (contains(has, l)) order.push_back(l);
        repeat = repeat || !contains(has, l);
      }
      shape.push_back(n);
    }
    v = permuted(v, has, order);
    if (repeat) {
      Shape gaps;
      for (LabelId l : wanted) gaps.push_back(contains(has, l) ? r_.table.size(l) : Dim(1));
      v = shaped(v, gaps);
      v = add_("broadcast_to", {v}, {{"shape", repeated}});
    }
    return shaped(v, shape);
  }
  Shape sizes(const Labels& labels) const {
    Shape out;
    for (LabelId l : labels) out.push_back(r_.table.size(l));
    return out;
  }
  Value shaped(Value v, const Shape& shape) {
    return type_(v).shape == shape ? v : add_("reshape", {v}, {{"shape", shape}});
  }
  Value permuted(Value v, const Labels& has, const Labels& order) {
    Ints axes;
    for (LabelId l : order) axes.push_back(std::find(has.begin(), has.end(), l) - has.begin());
    if (std::is_sorted(axes.begin(), axes.end())) return v;
    return add_("permute", {v}, {{"axes", axes}});
  }
  // What lies outside a tensor is read only where a condition leaves it out: zeros stand there.
  Value padded(Value v, Layout& layout) {
    const Shape shape = type_(v).shape;
    Shape low(shape.size(), Dim(0)), high = low;
    bool any = false;
    for (size_t d = 0; d < shape.size(); ++d) {
      AxisMap& m = layout[d];
      if (m.step < 1) continue;
      const Dim beyond = m.start + Dim(m.step) * (r_.table.size(m.labels) - Dim(1)) + Dim(1) - shape[d];
      if (beyond.is_const() && beyond.value() > 0) high[d] = beyond, any = true;
      if (m.start.is_const() && m.start.value() < 0) {
        low[d] = Dim(0) - m.start;
        m.start = 0;
        any = true;
      }
    }
    return any ? add_("pad", {v}, {{"low", low}, {"high", high}, {"value", 0.0}}) : v;
  }
  Value sliced(Value v, const Layout& layout) {
    const Shape shape = type_(v).shape;
    Shape starts, stops;
    Ints steps;
    bool any = false;
    for (size_t d = 0; d < shape.size(); ++d) {
      const AxisMap& m = layout[d];
      const Dim n = r_.table.size(m.labels);
      any = any || !whole_axis(r_.table, m, shape[d]);
      starts.push_back(m.start);
      steps.push_back(m.step);
      stops.push_back(m.step > 0 ? m.start + Dim(m.step) * (n - Dim(1)) + Dim(1)
                                 : m.start + Dim(m.step) * (n - Dim(1)) - Dim(1));
    }
    if (!any) return v;
    return add_("slice", {v}, {{"starts", starts}, {"stops", stops}, {"steps", steps}});
  }

  // Rows without keys are no numbers again, where the node gave 0.
  Value without_empty_rows(Value y, const Ints& order) {
    const Value lse{y.node, 1};
    const DType type = type_(lse).dtype;
    Value empty = add_("equal", {lse, number(-std::numeric_limits<double>::infinity(), type)}, {});
    Shape shape = type_(lse).shape;
    shape.emplace_back(1);
    empty = add_("reshape", {empty}, {{"shape", shape}});
    if (!std::is_sorted(order.begin(), order.end())) empty = add_("permute", {empty}, {{"axes", order}});
    const Value nothing = number(std::numeric_limits<double>::quiet_NaN(), type_(y).dtype);
    return add_("where", {empty, nothing, y}, {});
  }

  // where(f, y, 0), y f or y / f over whole rows, or channels of them.
  Value times(Value y, const Factor& f, const Ints& order) {
    Value c = arranged(moved_(f.ref.value), f.ref.layout, operand_axes(r_, r_.query, r_.channels));
    if (!std::is_sorted(order.begin(), order.end())) c = add_("permute", {c}, {{"axes", order}});
    const bool masks = f.what != Factor::What::plain;
    const DType wanted = masks ? DType::boolean : type_(y).dtype;
    if (type_(c).dtype != wanted) c = add_("cast", {c}, {{"dtype", wanted}});
    if (!masks) return add_(f.sign > 0 ? "mul" : "div", {y, c}, {});
    const Value zero = number(0, type_(y).dtype);
    return f.what == Factor::What::keep ? add_("where", {c, y, zero}, {}) : add_("where", {c, zero, y}, {});
  }

  // The node's axes as they should lie in memory.
  Ints memory_order() const {
    const std::vector<Labels> axes = operand_axes(r_, r_.query, r_.channels);
    const Labels wanted = r_.table.resolve(r_.result_order);
    std::vector<size_t> place(axes.size(), 0);
    for (size_t a = 0; a < axes.size(); ++a)
      for (size_t i = 0; i < wanted.size(); ++i)
        if (contains(r_.table.resolve(axes[a]), wanted[i])) {
          place[a] = i + 1;
          break;
        }
    Ints order(axes.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return place[static_cast<size_t>(a)] < place[static_cast<size_t>(b)];
    });
    return order;
  }

  Region& r_;
  const Add& add_;
  const std::function<Value(Value)>& moved_;
  const std::function<const TensorType&(Value)>& type_;
};

}  // namespace

Programs programs_of(Region& r) {
  Programs p;
  Writer writer(r, p.leaves);
  p.score = writer.write(r.score);
  p.factor = writer.write(r.factor);
  p.sink = writer.write(r.sink);
  return p;
}

std::vector<Value> values_read(const Region& r) {
  std::vector<Value> out{r.v.value};
  for (const Pair& p : r.pairs) out.insert(out.end(), {p.q.value, p.k.value});
  for (const Factor& f : r.row_factors) out.push_back(f.ref.value);
  for (int32_t e : r.e.reachable(r.results())) {
    const Expr& x = r.e.at(e);
    const auto leaf = [&](int64_t i) {
      const Leaf& l = r.e.leaves[static_cast<size_t>(i)];
      if (i != r.scores && l.what != Leaf::What::extent) out.push_back(l.ref.value);
    };
    if (x.code == Code::input) leaf(x.index);
    if (x.code == Code::random) leaf(r.e.streams[static_cast<size_t>(x.index)].key);
  }
  return out;
}

Value emit(Region& region, const Add& add, const std::function<Value(Value)>& moved,
           const std::function<const TensorType&(Value)>& type) {
  return Emitter(region, add, moved, type).run();
}

}  // namespace fovea::match
