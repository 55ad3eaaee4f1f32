// Which pointwise nodes run together.
#pragma once

#include <memory>
#include <vector>

#include "ops/composite/fused_map/fused_map.h"
#include "optim/passes/regions_forms.h"
#include "optim/rewrite/pass.h"

namespace fovea {

/// A sum of a group's value that is taken on the way.
struct RegionSum {
  NodeId sum = -1;
  Value of;
  MapResult kind = MapResult::sum_first;
};

/// Nodes that run as one. `time`: all that the group reads is there at that time, what it makes is there one
/// later; a node outside between two of its members would have to be at both, so there is none.
struct Region {
  std::vector<NodeId> members;  ///< in order
  std::vector<RegionSum> sums;
  std::vector<Value> operands;  ///< values from outside
  DType compute = DType::f32;
  bool typed = false;  ///< compute is known: some member has real numbers
  int32_t time = 0;
  bool read = false;  ///< a node outside has seen its time, which stays
  int64_t columns = 0, outer = 0;
  int64_t instructions = 0;
  const Shape* space = nullptr;
};

/// The nodes of `graph` in groups.
class RegionGroups {
 public:
  RegionGroups(const Graph& graph, const Module& module);
  /// Number of the node's group, or -1.
  int32_t of(NodeId id) const { return group_[id] < 0 ? -1 : root(group_[id]); }
  const Region& region(int32_t number) const { return regions_[number]; }
  /// The group that computes the sum `id` on its way, or -1.
  int32_t of_sum(NodeId id) const { return sum_group_[id] < 0 ? -1 : root(sum_group_[id]); }
  const tiles::Program& form(NodeId id) const { return *forms_of_[id]; }
  /// What a member reads in the place of v: what lies behind views that only repeat elements.
  Value behind(Value v) const;
  const Module& module() const { return module_; }

 private:
  int32_t root(int32_t g) const;
  void visit(NodeId id);
  bool try_member(NodeId id);
  bool try_sum(NodeId id);
  bool may_join(const Region& g, const Shape& space, DType compute, bool typed) const;
  void outside(NodeId id);
  int32_t available(Value v) const;
  bool join(NodeId id, const std::vector<Value>& inputs, std::vector<int32_t> groups, DType compute,
            bool typed);

  const Graph& graph_;
  const Module& module_;
  PointwiseForms forms_;
  std::vector<const tiles::Program*> forms_of_;
  std::vector<int32_t> group_, sum_group_;
  std::vector<int32_t> time_;  // of nodes outside
  mutable std::vector<int32_t> parent_;
  std::vector<Region> regions_;
};

}  // namespace fovea
