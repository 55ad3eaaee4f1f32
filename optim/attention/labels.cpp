#include "optim/attention/labels.h"

#include <algorithm>

namespace fovea::match {

LabelId LabelTable::add(Dim size) {
  table_.push_back({std::move(size), {}, -1});
  return static_cast<LabelId>(table_.size()) - 1;
}

Labels LabelTable::axis(const Dim& size) { return size == Dim(1) ? Labels{} : Labels{add(size)}; }

Dim LabelTable::size(const Labels& labels) const {
  Dim n = 1;
  for (LabelId l : labels) n = n * table_[l].size;
  return n;
}

Labels LabelTable::resolve(const Labels& labels) const {
  Labels out, open(labels.rbegin(), labels.rend());
  while (!open.empty()) {
    const LabelId l = open.back();
    open.pop_back();
    const Labels& parts = table_[l].parts;
    if (parts.empty())
      out.push_back(l);
    else
      open.insert(open.end(), parts.rbegin(), parts.rend());
  }
  return out;
}

Layout LabelTable::resolve(Layout layout) const {
  for (AxisMap& m : layout) m.labels = resolve(m.labels);
  return layout;
}

bool LabelTable::split(LabelId l, const Dim& outer) {
  const auto inner = exact_div(table_[l].size, outer);
  if (!inner) return false;
  const LabelId first = add(outer), second = add(*inner);
  table_[first].parent = table_[second].parent = l;
  table_[l].parts = {first, second};
  ++changes_;
  return true;
}

bool LabelTable::unify(const Labels& a, const Labels& b) {
  Labels x = resolve(a), y = resolve(b);
  std::reverse(x.begin(), x.end());
  std::reverse(y.begin(), y.end());
  while (!x.empty() && !y.empty()) {
    const LabelId l = x.back(), m = y.back();
    if (l == m || size(l) == size(m)) {
      if (l != m) table_[l].parts = {m}, ++changes_;
      x.pop_back();
      y.pop_back();
      continue;
    }
    const bool first = exact_div(size(l), size(m)).has_value();
    Labels& longer = first ? x : y;
    const LabelId cut = longer.back();
    if (!split(cut, first ? size(m) : size(l))) return false;
    longer.pop_back();
    longer.push_back(table_[cut].parts[1]);
    longer.push_back(table_[cut].parts[0]);
  }
  const auto ones = [this](const Labels& rest) {
    return std::all_of(rest.begin(), rest.end(), [this](LabelId l) { return size(l) == Dim(1); });
  };
  return ones(x) && ones(y);
}

LabelId LabelTable::root(LabelId l) const {
  while (table_[l].parent >= 0) l = table_[l].parent;
  return l;
}

Labels flat(const Layout& layout) {
  Labels out;
  for (const AxisMap& m : layout) out.insert(out.end(), m.labels.begin(), m.labels.end());
  return out;
}

bool contains(const Labels& labels, LabelId l) {
  return std::find(labels.begin(), labels.end(), l) != labels.end();
}
bool contains_any(const Labels& labels, const Labels& of) {
  return std::any_of(of.begin(), of.end(), [&](LabelId l) { return contains(labels, l); });
}
bool contains_all(const Labels& labels, const Labels& of) {
  return std::all_of(of.begin(), of.end(), [&](LabelId l) { return contains(labels, l); });
}
Labels without(const Labels& labels, const Labels& out) {
  Labels rest;
  for (LabelId l : labels)
    if (!contains(out, l)) rest.push_back(l);
  return rest;
}

std::string key_of(const LabelTable& table, Value value, const Layout& layout) {
  std::string key = std::to_string(value.node) + ":" + std::to_string(value.index);
  for (const AxisMap& m : layout) {
    key += '|';
    for (LabelId l : table.resolve(m.labels))
      if (table.size(l) != Dim(1)) key += std::to_string(l) + ",";
    if (m.start != Dim(0) || m.step != 1) key += "@" + m.start.str() + "*" + std::to_string(m.step);
  }
  return key;
}

bool whole_axis(const LabelTable& table, const AxisMap& map, const Dim& size) {
  return map.start == Dim(0) && map.step == 1 && table.size(map.labels) == size;
}

namespace {

// Gives labels from `labels` (reversed, so that the next one is last) to an axis of this size.
bool take(LabelTable& table, Labels& labels, const Dim& size, Labels& out) {
  Dim left = size;
  while (left != Dim(1)) {
    if (labels.empty()) return false;
    const LabelId l = labels.back();
    labels.pop_back();
    if (const auto rest = exact_div(left, table.size(l))) {
      out.push_back(l);
      left = *rest;
      continue;
    }
    if (!table.split(l, left)) return false;
    const Labels parts = table.resolve(Labels{l});
    labels.push_back(parts[1]);
    out.push_back(parts[0]);
    left = 1;
  }
  return true;
}

// Axes that are not 1, each with its place.
std::vector<size_t> long_axes(const Shape& shape) {
  std::vector<size_t> out;
  for (size_t d = 0; d < shape.size(); ++d)
    if (shape[d] != Dim(1)) out.push_back(d);
  return out;
}

// A label of size 1 stays with an axis of size 1 that has as many longer axes behind it.
void keep_single_labels(const LabelTable& table, const Shape& in, const Shape& out, const Layout& layout,
                        Layout& before) {
  size_t behind = 0, at = in.size(), passed = 0;
  for (size_t d = out.size(); d-- > 0;) {
    if (out[d] != Dim(1)) {
      ++behind;
      continue;
    }
    if (layout[d].labels.empty() || table.size(layout[d].labels) != Dim(1)) continue;
    while (at > 0 && (passed < behind || in[at - 1] != Dim(1))) {
      --at;
      if (in[at] != Dim(1)) ++passed;
      if (passed > behind) break;
    }
    if (at > 0 && passed == behind && in[at - 1] == Dim(1)) before[--at] = layout[d];
  }
}

bool all_whole(const LabelTable& table, const Shape& out, const std::vector<size_t>& to, size_t first,
               size_t last, const Layout& layout) {
  for (size_t d = first; d < last; ++d)
    if (!whole_axis(table, layout[to[d]], out[to[d]])) return false;
  return true;
}

// The map of one axis that a reshape splits into `out[to[first..last)]`, of which parts are read: heads 2 g +
// 1 are start 1, step 2. Nothing where its steps are no mixed radix number.
std::optional<AxisMap> merged(const LabelTable& table, const Shape& out, const std::vector<size_t>& to,
                              size_t first, size_t last, const Layout& layout) {
  AxisMap map;
  Dim stride = 1;
  std::optional<int64_t> next;  // the step that the next label must have
  for (size_t d = last; d-- > first;) {
    const AxisMap& m = layout[to[d]];
    if (!stride.is_const()) return std::nullopt;
    map.start = map.start + m.start * stride;
    const Dim size = table.size(m.labels);
    if (size != Dim(1)) {
      int64_t step = 0, after = 0;
      if (__builtin_mul_overflow(m.step, stride.value(), &step) || (next && step != *next))
        return std::nullopt;
      if (!next) map.step = step;
      map.labels.insert(map.labels.begin(), m.labels.begin(), m.labels.end());
      if (!size.is_const())
        next = 0;  // only the outermost label may have any size
      else if (__builtin_mul_overflow(step, size.value(), &after))
        return std::nullopt;
      else
        next = after;
    }
    stride = stride * out[to[d]];
  }
  return map;
}

}  // namespace

std::optional<Layout> before_reshape(LabelTable& table, const Shape& in, const Shape& out, Layout layout) {
  layout = table.resolve(std::move(layout));
  Layout before(in.size());
  const std::vector<size_t> from = long_axes(in), to = long_axes(out);
  size_t i = 0, o = 0;
  while (i < from.size() && o < to.size()) {
    // The shortest runs of axes whose sizes have equal products.
    size_t i_end = i + 1, o_end = o + 1;
    Dim a = in[from[i]], b = out[to[o]];
    while (a != b) {
      const bool can_in = i_end < from.size(), can_out = o_end < to.size();
      if (!can_in && !can_out) return std::nullopt;
      const bool grow_in = can_in && (!can_out || exact_div(b, a).has_value() || !exact_div(a, b));
      if (grow_in)
        a = a * in[from[i_end++]];
      else
        b = b * out[to[o_end++]];
    }
    if (i_end == i + 1 && o_end == o + 1) {
      before[from[i]] = layout[to[o]];
    } else if (i_end == i + 1 && !all_whole(table, out, to, o, o_end, layout)) {
      auto map = merged(table, out, to, o, o_end, layout);
      if (!map) return std::nullopt;
      before[from[i]] = std::move(*map);
    } else {
      Labels labels;
      for (size_t d = o; d < o_end; ++d) {
        const AxisMap& m = layout[to[d]];
        if (!whole_axis(table, m, out[to[d]])) return std::nullopt;
        labels.insert(labels.end(), m.labels.begin(), m.labels.end());
      }
      std::erase_if(labels, [&](LabelId l) { return table.size(l) == Dim(1); });
      std::reverse(labels.begin(), labels.end());
      for (size_t d = i; d < i_end; ++d)
        if (!take(table, labels, in[from[d]], before[from[d]].labels)) return std::nullopt;
    }
    i = i_end;
    o = o_end;
  }
  if (i < from.size() || o < to.size()) return std::nullopt;
  keep_single_labels(table, in, out, layout, before);
  return before;
}

Layout before_permute(const Ints& axes, const Layout& layout) {
  Layout before(layout.size());
  for (size_t d = 0; d < axes.size(); ++d) before[axes[d]] = layout[d];
  return before;
}

Layout before_broadcast(const Shape& in, const Shape& out, const Layout& layout) {
  Layout before(in.size());
  const size_t lead = out.size() - in.size();
  for (size_t d = 0; d < in.size(); ++d)
    if (in[d] != Dim(1) || out[lead + d] == Dim(1)) before[d] = layout[lead + d];
  return before;
}

Layout before_slice(const Attrs& attrs, const Layout& layout) {
  Layout before = layout;
  const Shape& starts = attrs.shape("starts");
  const Ints& steps = attrs.ints("steps");
  for (size_t d = 0; d < layout.size(); ++d) {
    before[d].start = starts[d] + Dim(steps[d]) * layout[d].start;
    before[d].step = steps[d] * layout[d].step;
  }
  return before;
}

}  // namespace fovea::match
