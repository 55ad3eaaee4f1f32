#include <algorithm>
#include <climits>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "optim/lower/dispatch.h"
#include "optim/lower/lowering.h"
#include "optim/lower/memory.h"

namespace fovea {

Lowering::Lowering(std::shared_ptr<Module> module, const CompileOptions& options)
    : module_(std::move(module)),
      options_(options),
      backend_(find_backend(options.backend)),
      verbose_(dispatch_is_verbose()) {}

std::shared_ptr<Plan> Lowering::run(const Graph& graph, const std::vector<PlanOperand>& in, int64_t budget) {
  const Bindings bindings = bind_symbols(graph, in);
  input_count_ = in.size();
  output_count_ = graph.outputs.size();
  output_source_.assign(output_count_, -1);
  for (const auto& [i, o] : options_.donate) {
    if (i < 0 || static_cast<size_t>(i) >= in.size() || o < 0 || static_cast<size_t>(o) >= output_count_)
      invalid("donation of argument " + std::to_string(i) + " to result " + std::to_string(o) +
              ": the function has " + std::to_string(in.size()) + " arguments and " +
              std::to_string(output_count_) + " results");
    output_source_[o] = i;
  }
  Ids args;
  for (size_t i = 0; i < in.size(); ++i) {
    const int32_t layout = layouts_.find(in[i].dtype, in[i].shape, in[i].strides);
    const int32_t storage = add_storage(
        {.kind = StorageKind::input, .index = static_cast<int32_t>(i), .bytes = layouts_[layout].bytes});
    args.push_back(add_view({storage, layout, 0}));
  }
  Ids results;
  emit_graph(*module_, graph, args, bindings, true, results);
  bind_outputs(results);
  if (budget > 0) fit_budget(budget, results);
  find_lifetimes();
  reuse_in_place();
  copy_rest(results);
  return finish(results, in);
}

int32_t Lowering::root(int32_t storage) const {
  while (storages_[storage].merged >= 0) storage = storages_[storage].merged;
  return storage;
}

bool Lowering::whole(int32_t view) const {
  const View& v = views_[view];
  const Layout& l = layouts_[v.layout];
  return v.offset == 0 && l.contiguous && l.bytes == storages_[v.storage].bytes;
}

// Results that are computed into memory of their own are computed into the caller's. Those that take over an
// input wait for reuse_in_place: until the input has been read for the last time, its memory is not free.
void Lowering::bind_outputs(const Ids& results) {
  for (size_t o = 0; o < results.size(); ++o) {
    Storage& s = storage(results[o]);
    if (output_source_[o] < 0 && s.kind == StorageKind::arena && whole(results[o])) {
      s.kind = StorageKind::output;
      s.index = static_cast<int32_t>(o);
    }
  }
  for (int32_t r : results) storage(r).last = INT_MAX;
}

void Lowering::find_lifetimes() {
  for (size_t k = 0; k < launches_.size(); ++k) {
    const int32_t step = static_cast<int32_t>(k);
    for (int32_t v : inputs(launches_[k])) storage(v).last = std::max(storage(v).last, step);
    for (int32_t v : outputs(launches_[k])) {
      Storage& s = storage(v);
      s.first = step;
      s.last = std::max(s.last, step);
    }
  }
}

// Whether output o of the launch may be written over its input i, which nothing reads any more.
bool Lowering::may_take_over(const Launch& launch, int32_t step, size_t o, size_t i) const {
  const IdSpan in = inputs(launch), out = outputs(launch);
  const int32_t target = root(views_[in[i]].storage);
  const Storage &to = storages_[target], &from = storages_[views_[out[o]].storage];
  if (to.last != step && !(to.kind == StorageKind::input && to.last <= step)) return false;
  if (to.kind == StorageKind::constant || to.kind == StorageKind::output) return false;
  if (!whole(in[i]) || to.bytes != from.bytes ||
      size_of(layout(in[i]).spec.dtype) != size_of(layout(out[o]).spec.dtype))
    return false;
  // An input's memory is given up only to the result it was donated to.
  if (to.kind == StorageKind::input &&
      (from.last != INT_MAX || donated_output_[to.index] < 0 || from.kind == StorageKind::output))
    return false;
  // Another operand may read the same memory in another order, or at another time than it is written.
  for (size_t j = 0; j < in.size(); ++j) {
    const View &v = views_[in[j]], &mine = views_[in[i]];
    if (j == i || root(v.storage) != target) continue;
    const bool in_step = j < 64 && (launch.prepared->in_place[o] >> j & 1);
    if (!in_step || v.offset != mine.offset || v.layout != mine.layout) return false;
  }
  for (size_t p = 0; p < o; ++p)
    if (root(views_[out[p]].storage) == target) return false;
  return true;
}

void Lowering::reuse_in_place() {
  donated_output_.assign(input_count_, -1);
  for (size_t o = 0; o < output_count_; ++o)
    if (output_source_[o] >= 0) donated_output_[output_source_[o]] = static_cast<int32_t>(o);
  for (size_t k = 0; k < launches_.size(); ++k) {
    const Launch& launch = launches_[k];
    if (!launch.prepared) continue;  // loops write into memory of their own
    for (size_t o = 0; o < std::min<size_t>(8, outputs(launch).size()); ++o) {
      Storage& from = storage(outputs(launch)[o]);
      if (from.merged >= 0) continue;
      for (size_t i = 0; i < std::min<size_t>(64, inputs(launch).size()); ++i) {
        if (!(launch.prepared->in_place[o] >> i & 1) || !may_take_over(launch, static_cast<int32_t>(k), o, i))
          continue;
        const int32_t target = root(views_[inputs(launch)[i]].storage);
        Storage& to = storages_[target];
        from.merged = target;
        to.last = from.last;
        if (from.kind == StorageKind::output) to.kind = StorageKind::output, to.index = from.index;
        break;
      }
    }
  }
}

// A copy that is made on every run, even of a constant.
int32_t Lowering::copy_for_output(int32_t view) {
  const Node origin;
  const size_t before = launches_.size();
  int32_t copy = copy_of(view, origin);
  if (launches_.size() == before) {  // it was folded
    const int32_t to = views_[copy].layout;
    KernelRequest request{"copy", {}, {layout(copy).spec}, {layouts_[to].spec}};
    Launch launch;
    launch.op = &find_op("copy");
    launch.prepared = prepare_op(backend_, request).op;
    launch.first_operand = static_cast<int64_t>(operands_.size());
    launch.inputs = launch.outputs = 1;
    operands_.push_back(copy);
    copy = fresh(to);
    operands_.push_back(copy);
    launches_.push_back(std::move(launch));
  }
  storage(copy).first = static_cast<int32_t>(before);
  return copy;
}

// What is not yet where the caller wants it is copied there behind the last step.
void Lowering::copy_rest(Ids results) {
  current_node_ = -1;
  auto in_place = [&](size_t o) {
    const Storage& s = storages_[root(views_[results[o]].storage)];
    return whole(results[o]) && ((s.kind == StorageKind::output && s.index == static_cast<int32_t>(o)) ||
                                 (s.kind == StorageKind::input && s.index == output_source_[o]));
  };
  // Results that read an input whose memory another result is about to take over leave it first.
  for (size_t o = 0; o < results.size(); ++o) {
    const Storage& s = storages_[root(views_[results[o]].storage)];
    const bool given_away = s.kind == StorageKind::input && donated_output_[s.index] >= 0;
    if (given_away && !in_place(o)) {
      results[o] = copy_for_output(results[o]);
      storage(results[o]).last = INT_MAX;
    }
  }
  for (size_t o = 0; o < results.size(); ++o) {
    if (in_place(o)) continue;
    Storage& to = storage(copy_for_output(results[o]));
    to.kind = StorageKind::output;
    to.index = static_cast<int32_t>(o);
    to.last = INT_MAX;
  }
}

PlanRef Lowering::ref(int32_t view) const {
  const View& v = views_[view];
  const Storage& s = storages_[root(v.storage)];
  const int64_t offset = v.offset * size_of(layouts_[v.layout].spec.dtype);
  const int32_t inputs = static_cast<int32_t>(input_count_), outputs = static_cast<int32_t>(output_count_);
  switch (s.kind) {
    case StorageKind::arena:
      return {0, offset};  // the caller adds where in the arena
    case StorageKind::input:
      return {1 + s.index, offset};
    case StorageKind::output:
      return {1 + inputs + s.index, offset};
    case StorageKind::constant:
      break;
  }
  return {1 + inputs + outputs + s.index, offset};
}

std::shared_ptr<Plan> Lowering::finish(const Ids& results, const std::vector<PlanOperand>& in) {
  auto plan = std::make_shared<Plan>();
  std::vector<Lifetime> blocks;
  std::vector<int32_t> block_of(storages_.size(), -1), workspace_of(launches_.size(), -1);
  auto add = [&blocks](int64_t bytes, int32_t first, int32_t last) {
    blocks.push_back({bytes, first, last, 0});
    return static_cast<int32_t>(blocks.size()) - 1;
  };
  for (size_t s = 0; s < storages_.size(); ++s) {
    const Storage& storage = storages_[s];
    if (storage.merged >= 0 || storage.kind != StorageKind::arena) continue;
    const int32_t last = std::min<int32_t>(storage.last, static_cast<int32_t>(launches_.size()));
    block_of[s] = add(storage.bytes, storage.first, std::max(storage.first, last));
  }
  for (size_t k = 0; k < launches_.size(); ++k)
    if (launches_[k].workspace > 0)
      workspace_of[k] = add(launches_[k].workspace, static_cast<int32_t>(k), static_cast<int32_t>(k));
  plan->live_bytes = largest_live_set(blocks);
  plan->arena_bytes = plan_memory(blocks);
  plan->steps.reserve(launches_.size());
  plan->refs.reserve(operands_.size());
  for (size_t k = 0; k < launches_.size(); ++k) {
    Launch& launch = launches_[k];
    PlanStep step;
    step.bodies = std::move(launch.bodies);
    step.first_ref = static_cast<int32_t>(plan->refs.size());
    step.inputs = launch.inputs;
    step.outputs = launch.outputs;
    for (const IdSpan list : {inputs(launch), outputs(launch)})
      for (int32_t v : list) {
        PlanRef r = ref(v);
        if (r.slot == 0) r.offset += blocks[block_of[root(views_[v].storage)]].offset;
        plan->refs.push_back(r);
      }
    if (workspace_of[k] >= 0) step.workspace_offset = blocks[workspace_of[k]].offset;
    step.op = launch.op->name();
    if (launch.prepared) step.kernel = launch.prepared->kernel;
    step.prepared = std::move(launch.prepared);
    step.host = std::move(launch.host);
    step.node = launch.node;
    step.source = launch.source;
    plan->steps.push_back(std::move(step));
  }
  plan->inputs = in;
  for (size_t o = 0; o < results.size(); ++o) {
    const OperandSpec& s = layout(results[o]).spec;
    plan->outputs.push_back({s.dtype, s.shape, contiguous_strides(s.shape), -1, output_source_[o]});
    if (output_source_[o] >= 0) plan->inputs[output_source_[o]].donated_to = static_cast<int32_t>(o);
  }
  plan->constants = std::move(constants_);
  plan->recomputed = recomputed_;
  return plan;
}

}  // namespace fovea
