// Labels: every axis of a tensor in score space is an ordered product of atomic labels, so that reshapes
// regroup, permutations permute, and broadcasting drops what nobody reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/ir/graph.h"

namespace fovea::match {

using LabelId = int32_t;
using Labels = std::vector<LabelId>;

/// How one axis of a tensor is read: coordinate = start + step * (mixed radix number of the labels).
struct AxisMap {
  Labels labels;
  Dim start = 0;
  int64_t step = 1;
};
/// One map an axis.
using Layout = std::vector<AxisMap>;

/// A tensor read through an index map.
struct Ref {
  Value value;
  Layout layout;
};

/// Labels with their sizes. A label may turn out to be a product of others, or the same as another one.
class LabelTable {
 public:
  LabelId add(Dim size);
  /// The labels of an axis of this size: none where the size is 1.
  Labels axis(const Dim& size);
  const Dim& size(LabelId l) const { return table_[l].size; }
  Dim size(const Labels& labels) const;
  /// Replaces labels that were split or unified by what they are now.
  Labels resolve(const Labels& labels) const;
  Layout resolve(Layout layout) const;
  /// Splits a label in `outer` and the rest; false where that does not divide.
  bool split(LabelId l, const Dim& outer);
  /// Makes `a` the same labels as `b` (each a row-major product). False where sizes do not agree.
  bool unify(const Labels& a, const Labels& b);
  /// Where a label comes from: the one that was split into it, or itself.
  LabelId root(LabelId l) const;
  /// Grows whenever a label becomes others, which gives new names to what was read by it.
  int64_t changes() const { return changes_; }

 private:
  struct Entry {
    Dim size;
    Labels parts;  // what it was split into, or the one label that it is
    LabelId parent = -1;
  };
  std::vector<Entry> table_;
  int64_t changes_ = 0;
};

/// All labels of a layout, axis by axis.
Labels flat(const Layout& layout);
bool contains(const Labels& labels, LabelId l);
bool contains_any(const Labels& labels, const Labels& of);
bool contains_all(const Labels& labels, const Labels& of);
/// `labels` without those in `out`.
Labels without(const Labels& labels, const Labels& out);
/// One string for equal references (labels resolved).
std::string key_of(const LabelTable& table, Value value, const Layout& layout);

/// Layouts of an operand from the layout of the result. Nothing where the reshape cuts across labels.
std::optional<Layout> before_reshape(LabelTable& table, const Shape& in, const Shape& out, Layout layout);
Layout before_permute(const Ints& axes, const Layout& layout);
Layout before_broadcast(const Shape& in, const Shape& out, const Layout& layout);
Layout before_slice(const Attrs& attrs, const Layout& layout);

/// True where the map walks a whole axis of this size.
bool whole_axis(const LabelTable& table, const AxisMap& map, const Dim& size);

}  // namespace fovea::match
