// The working state of lowering one graph: views of storages, and the launches that fill them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/backend/abi.h"
#include "framework/runtime/plan.h"
#include "graph/ir/graph.h"
#include "graph/ir/op.h"
#include "optim/lower/lower.h"

namespace fovea {

enum class StorageKind { arena, input, output, constant };

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
  int32_t storage = -1;
  int64_t offset = 0;  ///< in elements
  DType dtype = DType::f32;
  Dims shape, strides;
};

struct Launch {
  std::string op, kernel;
  std::shared_ptr<const PreparedOp> prepared;
  std::unique_ptr<PreparedKernel> host;
  std::vector<std::shared_ptr<const Plan>> bodies;  // of control flow
  int64_t workspace = 0;
  std::vector<int32_t> in, out;  ///< views
  int32_t node = -1;
  Source source;
};

class Lowering {
 public:
  Lowering(std::shared_ptr<Module> module, const CompileOptions& options);
  std::shared_ptr<const Plan> run(const Graph& graph, const std::vector<PlanOperand>& in);

 private:
  using Ids = std::vector<int32_t>;
  // emit.cpp: from nodes to launches
  Ids emit_graph(const Module& module, const Graph& graph, const Ids& args, const Bindings& bindings,
                 bool outermost);
  Ids emit_node(const Module& module, const Node& node, const Ids& in, const Bindings& bindings);
  Ids emit_kernel(const std::string& op, const Attrs& attrs, Ids in, const std::vector<TensorType>& out,
                  const Node& origin);
  Ids emit_decomposition(const Node& node, const Attrs& attrs, const Ids& in);
  Ids emit_control(const Node& node, const Attrs& attrs, Ids in, const Bindings& bindings);
  bool emit_view(const Node& node, const Attrs& attrs, const Ids& in, const TensorType& out, Ids& result);
  int32_t contiguous(int32_t view, const Node& origin);
  int32_t add_view(View view);
  int32_t add_constant(Array array);
  int32_t fresh(const TensorType& type);
  bool fold(Launch& launch);
  OperandSpec spec(int32_t view) const;
  // finish.cpp: from launches to a plan
  int32_t root(int32_t storage) const;
  bool whole(const View& view) const;
  void bind_outputs(const Ids& results);
  void find_lifetimes();
  void reuse_in_place();
  void copy_rest(Ids results);
  std::shared_ptr<const Plan> finish(const Ids& results, const std::vector<PlanOperand>& in);
  PlanRef ref(int32_t view) const;

  std::shared_ptr<Module> module_;
  const CompileOptions& options_;
  const Backend& backend_;
  const bool verbose_;  ///< FOVEA_VERBOSE=dispatch
  std::vector<View> views_;
  std::vector<Storage> storages_;
  std::vector<Launch> launches_;
  std::vector<Array> constants_;
  std::map<int32_t, int32_t> made_contiguous_;
  std::map<std::string, std::pair<std::shared_ptr<Module>, std::shared_ptr<Graph>>> decompositions_;
  std::vector<int32_t> output_source_;  ///< donated input for output o, or -1
  int32_t current_node_ = -1;
  int depth_ = 0;
  size_t input_count_ = 0, output_count_ = 0;
};

/// An attribute list with every symbol replaced by its number. `as_ints` turns shapes into integers for
/// kernels.
Attrs concrete(const Attrs& attrs, const Bindings& bindings);
Attrs for_kernel(const Attrs& attrs);

}  // namespace fovea
