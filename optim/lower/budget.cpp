// Fitting a lowered graph into a memory budget: its launches as a schedule (remat.h), and back.
#include <algorithm>
#include <climits>
#include <map>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "optim/lower/lowering.h"
#include "optim/lower/remat.h"

namespace fovea {
namespace {

constexpr double kFlopsPerSecond = 150e9, kBytesPerSecond = 15e9, kLaunchSeconds = 2e-6;

int64_t elements(const Dims& shape, size_t from = 0) {
  return product(
      Dims(shape.begin() + static_cast<std::ptrdiff_t>(std::min(from, shape.size())), shape.end()));
}

// What a value is multiplied with on the way to a result: 2 m n k for a product.
int64_t flops_of(const std::string& op, const std::vector<const OperandSpec*>& in,
                 const std::vector<const OperandSpec*>& out) {
  auto times = [](int64_t a, int64_t b) { return checked_mul(2, checked_mul(a, b)); };
  if (op == "matmul" || op == "linear") return times(out[0]->size(), in[0]->shape.back());
  if (op == "conv1d" || op == "conv2d" || op == "conv3d")
    return times(out[0]->size(), elements(in[1]->shape, 1));
  if (op == "attention" || op == "attention_backward") {
    const int64_t keys = in[1]->rank() >= 2 ? in[1]->shape[static_cast<size_t>(in[1]->rank()) - 2] : 1;
    return checked_mul(op == "attention" ? 2 : 5, times(in[0]->size(), keys));
  }
  if (op == "linear_cross_entropy")
    return checked_mul(out.size() > 2 ? 3 : 1, times(in[0]->size(), in[1]->shape[0]));
  int64_t all = 0;
  for (const auto* list : {&in, &out})
    for (const OperandSpec* s : *list) all = checked_add(all, s->size());
  return all;
}

}  // namespace

// A launch as remat.h sees it.
RematLaunch Lowering::remat_launch(const Launch& launch) const {
  RematLaunch out;
  std::vector<const OperandSpec*> in, made;
  double bytes = 0;
  for (int32_t v : inputs(launch))
    in.push_back(&layout(v).spec), bytes += static_cast<double>(layout(v).bytes);
  for (int32_t v : outputs(launch))
    made.push_back(&layout(v).spec), bytes += static_cast<double>(layout(v).bytes);
  out.workspace = round_up(launch.workspace, 64);
  out.flops = flops_of(launch.op->name(), in, made);
  out.seconds = static_cast<double>(out.flops) / kFlopsPerSecond + bytes / kBytesPerSecond + kLaunchSeconds;
  out.repeatable = launch.prepared && !launch.op->has_side_effect();
  if (!launch.prepared) return out;
  for (size_t o = 0; o < std::min<size_t>(8, made.size()); ++o)
    for (size_t i = 0; i < std::min<size_t>(64, in.size()); ++i)
      if (launch.prepared->in_place[o] >> i & 1 && whole(inputs(launch)[i]))
        out.in_place.emplace_back(static_cast<int32_t>(o), static_cast<int32_t>(i));
  return out;
}

// Adds launches that compute values again until at most `budget` bytes are alive at once, as far as that
// goes.
void Lowering::fit_budget(int64_t budget, const Ids& results) {
  std::vector<bool> over_input(storages_.size(), false);  // takes no memory of the plan in the end
  for (size_t o = 0; o < results.size(); ++o)
    if (output_source_[o] >= 0) over_input[views_[results[o]].storage] = true;
  RematSchedule schedule;
  std::vector<int32_t> value_of(storages_.size(), -1), storage_of;
  for (size_t s = 0; s < storages_.size(); ++s) {
    const Storage& storage = storages_[s];
    if (storage.kind != StorageKind::arena || over_input[s]) continue;
    value_of[s] = static_cast<int32_t>(storage_of.size());
    storage_of.push_back(static_cast<int32_t>(s));
    schedule.values.push_back({round_up(storage.bytes, 64), storage.last == INT_MAX, -1});
  }
  auto value = [&](int32_t view) { return value_of[views_[view].storage]; };
  for (size_t k = 0; k < launches_.size(); ++k) {
    schedule.launches.push_back(remat_launch(launches_[k]));
    RematStep step{static_cast<int32_t>(k), {}, {}};
    for (int32_t v : inputs(launches_[k])) step.reads.push_back(value(v));
    for (int32_t v : outputs(launches_[k])) step.writes.push_back(value(v));
    schedule.steps.push_back(std::move(step));
  }
  const size_t steps = schedule.steps.size();
  fit_into(schedule, budget);
  if (schedule.steps.size() > steps) take_schedule(schedule, std::move(storage_of));
}

// The launches in the order of the schedule, those that run again on storages of their own.
void Lowering::take_schedule(const RematSchedule& schedule, std::vector<int32_t> storage_of) {
  for (size_t v = storage_of.size(); v < schedule.values.size(); ++v)
    storage_of.push_back(add_storage({.bytes = storages_[storage_of[schedule.values[v].origin]].bytes}));
  std::map<std::pair<int32_t, int32_t>, int32_t> views;  // (view, storage): the view on that storage
  auto moved = [&](int32_t view, int32_t value) {
    if (value < 0 || storage_of[value] == views_[view].storage) return view;
    auto [at, fresh] = views.try_emplace({view, storage_of[value]}, 0);
    if (fresh) at->second = add_view({storage_of[value], views_[view].layout, views_[view].offset});
    return at->second;
  };
  std::vector<Launch> launches;
  std::vector<bool> seen(launches_.size(), false);
  for (const RematStep& step : schedule.steps) {
    Launch& old = launches_[step.launch];
    Launch launch;
    launch.op = old.op;
    launch.prepared = old.prepared;
    launch.workspace = old.workspace;
    launch.inputs = old.inputs;
    launch.outputs = old.outputs;
    launch.node = old.node;
    launch.source = old.source;
    launch.first_operand = static_cast<int64_t>(operands_.size());
    if (seen[step.launch]) {
      recomputed_.launches += 1;
      recomputed_.flops += schedule.launches[step.launch].flops;
    } else {
      launch.host = std::move(old.host);
    }
    seen[step.launch] = true;
    for (size_t i = 0; i < step.reads.size(); ++i)
      operands_.push_back(moved(operands_[old.first_operand + static_cast<int64_t>(i)], step.reads[i]));
    for (size_t o = 0; o < step.writes.size(); ++o)
      operands_.push_back(
          moved(operands_[old.first_operand + old.inputs + static_cast<int64_t>(o)], step.writes[o]));
    launches.push_back(std::move(launch));
  }
  launches_ = std::move(launches);
}

std::shared_ptr<const Plan> lower(const std::shared_ptr<Module>& module, const Graph& graph,
                                  const std::vector<PlanOperand>& in, const CompileOptions& options) {
  auto plan = Lowering(module, options).run(graph, in, 0);
  const int64_t budget = options.memory_budget;
  if (budget < 0) invalid("memory_budget is " + std::to_string(budget) + ", less than 0");
  if (budget == 0 || plan->arena_bytes <= budget) return plan;
  const int64_t before = plan->arena_bytes;
  int64_t least = before;
  // What is alive at once is not quite what the arena takes.
  for (const double share : {1.0, 0.96, 0.92}) {
    auto smaller =
        Lowering(module, options).run(graph, in, static_cast<int64_t>(share * static_cast<double>(budget)));
    smaller->recomputed.bytes = before - smaller->arena_bytes;
    least = std::min(least, smaller->arena_bytes);
    if (static_cast<double>(smaller->arena_bytes) <= 1.05 * static_cast<double>(budget)) return smaller;
  }
  fail(ErrorKind::ResourceExhausted,
       "memory_budget: '" + graph.name + "' cannot run in " + std::to_string(budget) +
           " bytes; the least that can be "
           "reached is " +
           std::to_string(least) + ", without a budget it takes " + std::to_string(before));
}

}  // namespace fovea
