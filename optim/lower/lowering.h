// The working state of lowering one graph: views of storages, and the launches that fill them.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "framework/backend/abi.h"
#include "framework/runtime/plan.h"
#include "graph/ir/graph.h"
#include "graph/ir/op.h"
#include "optim/lower/layouts.h"
#include "optim/lower/lower.h"

namespace fovea {

enum class StorageKind : uint8_t { arena, input, output, constant };

/// Memory of one value (and of the views of it).
struct Storage {
  StorageKind kind = StorageKind::arena;
  int32_t index = 0;  ///< of the input, output or constant
  int64_t bytes = 0;
  int32_t merged = -1;  ///< this value took over the memory of that storage
  int32_t first = 0, last = -1;
};

/// A typed, strided window on a storage.
struct View {
  int32_t storage = -1, layout = -1;
  int64_t offset = 0;  ///< in elements
};

struct Launch {
  const OpDecl* op = nullptr;
  std::shared_ptr<const PreparedOp> prepared;
  std::unique_ptr<PreparedKernel> host;
  std::vector<std::shared_ptr<const Plan>> bodies;  // of control flow
  int64_t workspace = 0;
  int64_t first_operand = 0;  ///< in Lowering::operands_: views read, then views written
  int32_t inputs = 0, outputs = 0;
  int32_t node = -1;
  Source source;
};

struct RematLaunch;
struct RematSchedule;

/// What was found out about one op with fixed attributes and operand layouts.
struct KnownOp {
  std::shared_ptr<const PreparedOp> prepared;
  uint64_t contiguous = 0;         ///< these inputs must be made row-major first
  std::string reason;              ///< why there is no kernel
  std::shared_ptr<Module> module;  ///< of the decomposition
  std::shared_ptr<Graph> decomposition;
  std::vector<int32_t> folded;  ///< the results as constants, of an op without operands
  bool asked = false;
};

class Lowering {
 public:
  Lowering(std::shared_ptr<Module> module, const CompileOptions& options);
  /// `budget`: bytes to fit into as far as that goes, by computing values again; 0: any number.
  std::shared_ptr<Plan> run(const Graph& graph, const std::vector<PlanOperand>& in, int64_t budget);

 private:
  using Ids = std::vector<int32_t>;
  using IdSpan = std::span<const int32_t>;
  // emit.cpp: from nodes to launches. What is emitted appends its results to `out`.
  void emit_graph(const Module& module, const Graph& graph, IdSpan args, const Bindings& bindings,
                  bool outermost, Ids& out);
  void emit_node(const Module& module, const Node& node, IdSpan in, const Bindings& bindings, Ids& out);
  void emit_op(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in, IdSpan out_layouts,
               const Node& origin, Ids& out);
  void emit_launch(const OpDecl& op, KnownOp& known, IdSpan in, IdSpan out_layouts, const Source& source,
                   Ids& out);
  void emit_decomposition(const OpDecl& op, KnownOp& known, const Attrs& attrs, const Bindings& bindings,
                          IdSpan in, IdSpan out_layouts, const Node& origin, Ids& out);
  void emit_control(const Node& node, const Attrs& attrs, IdSpan in, const Bindings& bindings, Ids& out);
  bool emit_view(const Node& node, const Bindings& bindings, int32_t in, int32_t out_layout, Ids& out);
  KernelRequest request_of(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                           IdSpan out_layouts) const;
  void ask_backend(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                   IdSpan out_layouts, KnownOp& known);
  KnownOp& known_op(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                    IdSpan out_layouts);
  int32_t contiguous(int32_t view, const Node& origin);
  int32_t copy_of(int32_t view, const Node& origin);
  int32_t layout_of(const TensorType& type, const Bindings& bindings);
  int32_t add_view(View view);
  int32_t add_storage(Storage storage);
  int32_t add_constant(Array array);
  int32_t fresh(int32_t layout);
  bool fold(const OpDecl& op, const PreparedOp& prepared, IdSpan in, IdSpan out);
  const Layout& layout(int32_t view) const { return layouts_[views_[view].layout]; }
  Storage& storage(int32_t view) { return storages_[views_[view].storage]; }
  IdSpan inputs(const Launch& l) const {
    return {operands_.data() + l.first_operand, static_cast<size_t>(l.inputs)};
  }
  IdSpan outputs(const Launch& l) const {
    return {operands_.data() + l.first_operand + l.inputs, static_cast<size_t>(l.outputs)};
  }
  // budget.cpp: launches that compute values again
  void fit_budget(int64_t budget, const Ids& results);
  RematLaunch remat_launch(const Launch& launch) const;
  void take_schedule(const RematSchedule& schedule, std::vector<int32_t> storage_of);
  // finish.cpp: from launches to a plan
  int32_t root(int32_t storage) const;
  bool whole(int32_t view) const;
  void bind_outputs(const Ids& results);
  void find_lifetimes();
  void reuse_in_place();
  bool may_take_over(const Launch& launch, int32_t step, size_t output, size_t input) const;
  void copy_rest(Ids results);
  int32_t copy_for_output(int32_t view);
  std::shared_ptr<Plan> finish(const Ids& results, const std::vector<PlanOperand>& in);
  PlanRef ref(int32_t view) const;

  std::shared_ptr<Module> module_;
  const CompileOptions& options_;
  const Backend& backend_;
  Layouts layouts_;
  const bool verbose_;  ///< FOVEA_VERBOSE=dispatch
  std::vector<View> views_;
  std::vector<Storage> storages_;
  std::vector<Launch> launches_;
  Ids operands_;
  std::vector<Array> constants_;
  std::map<int32_t, int32_t> made_contiguous_;
  std::unordered_map<std::string, KnownOp, TextHash, std::equal_to<>> known_;
  std::string key_;     // of the op being looked up
  Dims shape_;          // of the value being looked up
  Ids output_source_;   ///< donated input for output o, or -1
  Ids donated_output_;  ///< the output that input i was donated to, or -1
  Recomputed recomputed_;
  int32_t current_node_ = -1;
  int depth_ = 0;
  size_t input_count_ = 0, output_count_ = 0;
};

/// An attribute list with every symbol replaced by its number. `as_ints` turns shapes into integers for
/// kernels.
Attrs concrete(const Attrs& attrs, const Bindings& bindings);
Attrs for_kernel(const Attrs& attrs);

}  // namespace fovea
