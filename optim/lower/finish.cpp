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

std::shared_ptr<const Plan> Lowering::run(const Graph& graph, const std::vector<PlanOperand>& in) {
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
    storages_.push_back(
        {StorageKind::input, static_cast<int32_t>(i),
         checked_mul(product(in[i].shape), size_of(in[i].dtype), "the bytes of an argument")});
    args.push_back(
        add_view({static_cast<int32_t>(storages_.size()) - 1, 0, in[i].dtype, in[i].shape, in[i].strides}));
  }
  const Ids results = emit_graph(*module_, graph, args, bindings, true);
  bind_outputs(results);
  find_lifetimes();
  reuse_in_place();
  copy_rest(results);
  return finish(results, in);
}

int32_t Lowering::root(int32_t storage) const {
  while (storages_[storage].merged >= 0) storage = storages_[storage].merged;
  return storage;
}

bool Lowering::whole(const View& v) const {
  return v.offset == 0 && is_contiguous(v.shape, v.strides) &&
         product(v.shape) == storages_[v.storage].bytes / size_of(v.dtype);
}

// Results that are computed into memory of their own are computed into the caller's. Those that take over an
// input wait for reuse_in_place: until the input has been read for the last time, its memory is not free.
void Lowering::bind_outputs(const Ids& results) {
  for (size_t o = 0; o < results.size(); ++o) {
    Storage& s = storages_[views_[results[o]].storage];
    if (output_source_[o] < 0 && s.kind == StorageKind::arena && whole(views_[results[o]])) {
      s.kind = StorageKind::output;
      s.index = static_cast<int32_t>(o);
    }
  }
  for (int32_t r : results) storages_[views_[r].storage].last = INT_MAX;
}

void Lowering::find_lifetimes() {
  for (size_t k = 0; k < launches_.size(); ++k) {
    const int32_t step = static_cast<int32_t>(k);
    for (int32_t v : launches_[k].in) {
      Storage& s = storages_[views_[v].storage];
      s.last = std::max(s.last, step);
    }
    for (int32_t v : launches_[k].out) {
      Storage& s = storages_[views_[v].storage];
      s.first = step;
      s.last = std::max(s.last, step);
    }
  }
}

void Lowering::reuse_in_place() {
  std::vector<int32_t> donated_output(input_count_, -1);
  for (size_t o = 0; o < output_count_; ++o)
    if (output_source_[o] >= 0) donated_output[output_source_[o]] = static_cast<int32_t>(o);
  for (size_t k = 0; k < launches_.size(); ++k) {
    Launch& launch = launches_[k];
    if (!launch.prepared) continue;  // loops write into memory of their own
    for (size_t o = 0; o < launch.out.size() && o < 8; ++o) {
      const View& out = views_[launch.out[o]];
      if (storages_[out.storage].merged >= 0) continue;
      for (size_t i = 0; i < launch.in.size() && i < 64; ++i) {
        if (!(launch.prepared->in_place[o] >> i & 1)) continue;
        const View& in = views_[launch.in[i]];
        const int32_t target = root(in.storage);
        Storage &to = storages_[target], &from = storages_[out.storage];
        if (to.last != static_cast<int32_t>(k) &&
            !(to.kind == StorageKind::input && to.last <= static_cast<int32_t>(k)))
          continue;
        if (!whole(in) || to.bytes != from.bytes || size_of(in.dtype) != size_of(out.dtype)) continue;
        if (to.kind == StorageKind::constant || to.kind == StorageKind::output) continue;
        // An input's memory is given up only to the result it was donated to.
        if (to.kind == StorageKind::input &&
            (from.last != INT_MAX || donated_output[to.index] < 0 || from.kind == StorageKind::output))
          continue;
        bool shared = false;  // another operand reads the same memory in another order
        for (size_t j = 0; j < launch.in.size(); ++j) {
          const View& other = views_[launch.in[j]];
          shared = shared ||
                   (j != i && root(other.storage) == target &&
                    (other.offset != in.offset || other.strides != in.strides || other.shape != in.shape));
        }
        for (size_t p = 0; p < o; ++p) shared = shared || root(views_[launch.out[p]].storage) == target;
        if (shared) continue;
        from.merged = target;
        to.last = from.last;
        if (from.kind == StorageKind::output) to.kind = StorageKind::output, to.index = from.index;
        break;
      }
    }
  }
}

// What is not yet where the caller wants it is copied there behind the last step.
void Lowering::copy_rest(Ids results) {
  Node origin;
  current_node_ = -1;
  auto copy_of = [&](int32_t view) {
    const TensorType type{views_[view].dtype, to_shape(views_[view].shape)};
    const size_t before = launches_.size();
    const int32_t copy = emit_kernel("copy", {}, {view}, {type}, origin)[0];
    if (launches_.size() > before) {
      storages_[views_[copy].storage].first = static_cast<int32_t>(before);
      return copy;
    }
    // A constant was folded: its copy still has to be made on every run.
    Launch launch;
    launch.op = "copy";
    KernelRequest request{"copy", {}, {spec(copy)}, {spec(copy)}};
    launch.prepared = prepare_op(backend_, request).op;
    launch.in = {copy};
    launch.out = {fresh(type)};
    storages_[views_[launch.out[0]].storage].first = static_cast<int32_t>(launches_.size());
    launches_.push_back(std::move(launch));
    return launches_.back().out[0];
  };
  auto in_place = [&](size_t o) {
    const View& v = views_[results[o]];
    const Storage& s = storages_[root(v.storage)];
    return whole(v) && ((s.kind == StorageKind::output && s.index == static_cast<int32_t>(o)) ||
                        (s.kind == StorageKind::input && s.index == output_source_[o]));
  };
  // Results that read an input whose memory another result is about to take over leave it first.
  for (size_t o = 0; o < results.size(); ++o) {
    const Storage& s = storages_[root(views_[results[o]].storage)];
    const bool given_away =
        s.kind == StorageKind::input &&
        std::find(output_source_.begin(), output_source_.end(), s.index) != output_source_.end();
    if (given_away && !in_place(o)) {
      results[o] = copy_of(results[o]);
      storages_[views_[results[o]].storage].last = INT_MAX;
    }
  }
  for (size_t o = 0; o < results.size(); ++o) {
    if (in_place(o)) continue;
    Storage& to = storages_[views_[copy_of(results[o])].storage];
    to.kind = StorageKind::output;
    to.index = static_cast<int32_t>(o);
    to.last = INT_MAX;
  }
}

PlanRef Lowering::ref(int32_t view) const {
  const View& v = views_[view];
  const Storage& s = storages_[root(v.storage)];
  const int64_t offset = v.offset * size_of(v.dtype);
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

std::shared_ptr<const Plan> Lowering::finish(const Ids& results, const std::vector<PlanOperand>& in) {
  auto plan = std::make_shared<Plan>();
  std::vector<Lifetime> blocks;
  std::vector<int32_t> owner;
  for (size_t s = 0; s < storages_.size(); ++s) {
    const Storage& storage = storages_[s];
    if (storage.merged >= 0 || storage.kind != StorageKind::arena) continue;
    const int32_t last = std::min<int32_t>(storage.last, static_cast<int32_t>(launches_.size()));
    blocks.push_back({storage.bytes, storage.first, std::max(storage.first, last), 0});
    owner.push_back(static_cast<int32_t>(s));
  }
  const size_t values = blocks.size();
  for (size_t k = 0; k < launches_.size(); ++k)
    blocks.push_back({launches_[k].workspace, static_cast<int32_t>(k), static_cast<int32_t>(k), 0});
  plan->live_bytes = largest_live_set(blocks);
  plan->arena_bytes = plan_memory(blocks);
  std::vector<int64_t> offsets(storages_.size(), 0);
  for (size_t b = 0; b < values; ++b) offsets[owner[b]] = blocks[b].offset;
  for (size_t k = 0; k < launches_.size(); ++k) {
    Launch& launch = launches_[k];
    PlanStep step;
    step.prepared = std::move(launch.prepared);
    step.host = std::move(launch.host);
    step.bodies = std::move(launch.bodies);
    step.first_ref = static_cast<int32_t>(plan->refs.size());
    step.inputs = static_cast<int32_t>(launch.in.size());
    step.outputs = static_cast<int32_t>(launch.out.size());
    for (const Ids* list : {&launch.in, &launch.out})
      for (int32_t v : *list) {
        PlanRef r = ref(v);
        if (r.slot == 0) r.offset += offsets[root(views_[v].storage)];
        plan->refs.push_back(r);
      }
    step.workspace_offset = blocks[values + k].offset;
    step.op = std::move(launch.op);
    step.kernel = std::move(launch.kernel);
    step.node = launch.node;
    step.source = launch.source;
    plan->steps.push_back(std::move(step));
  }
  plan->inputs = in;
  for (size_t o = 0; o < results.size(); ++o) {
    const View& v = views_[results[o]];
    plan->outputs.push_back({v.dtype, v.shape, contiguous_strides(v.shape), -1, output_source_[o]});
    if (output_source_[o] >= 0) plan->inputs[output_source_[o]].donated_to = static_cast<int32_t>(o);
  }
  plan->constants = std::move(constants_);
  return plan;
}

std::shared_ptr<const Plan> lower(const std::shared_ptr<Module>& module, const Graph& graph,
                                  const std::vector<PlanOperand>& in, const CompileOptions& options) {
  return Lowering(module, options).run(graph, in);
}

}  // namespace fovea
