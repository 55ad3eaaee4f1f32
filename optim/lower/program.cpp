#include "optim/lower/program.h"

#include "framework/base/error.h"
#include "graph/autodiff/vjp.h"
#include "graph/build/builder.h"
#include "optim/explain/launches.h"
#include "optim/lower/lower.h"
#include "optim/rewrite/optimise.h"

namespace fovea {
namespace {

// A digest of types and layouts of arguments. Looking a plan up allocates nothing.
uint64_t key_of(std::span<const Array> in) {
  uint64_t key = in.size();
  auto put = [&key](uint64_t x) {
    key = (key ^ x) * 0x9E3779B97F4A7C15u;
    key ^= key >> 29;
  };
  for (const Array& a : in) {
    const bool contiguous = a.is_contiguous();
    put(static_cast<uint64_t>(a.dtype()) << 8 | static_cast<uint64_t>(a.rank()) << 1 | contiguous);
    for (int64_t d : a.shape()) put(static_cast<uint64_t>(d));
    if (!contiguous)
      for (int64_t s : a.strides()) put(static_cast<uint64_t>(s));
  }
  return key;
}

bool made_for(const Plan& plan, std::span<const Array> in) {
  if (plan.inputs.size() != in.size()) return false;
  for (size_t i = 0; i < in.size(); ++i) {
    const PlanOperand& o = plan.inputs[i];
    if (o.dtype != in[i].dtype() || o.shape != in[i].shape()) return false;
    if (in[i].is_contiguous() ? !is_contiguous(o.shape, o.strides) : o.strides != in[i].strides())
      return false;
  }
  return true;
}

std::vector<PlanOperand> operands(std::span<const Array> in) {
  std::vector<PlanOperand> out;
  for (const Array& a : in)
    out.push_back(
        {a.dtype(), a.shape(), a.is_contiguous() ? contiguous_strides(a.shape()) : a.strides(), -1, -1});
  return out;
}

}  // namespace

Program::Program(std::shared_ptr<Module> module, const std::string& function, CompileOptions options)
    : source_(std::make_shared<Module>(*module)),
      function_(function),
      module_(std::make_shared<Module>(*module)),
      options_(std::move(options)) {
  if (options_.numerics != "default" && options_.numerics != "strict")
    invalid("numerics is '" + options_.numerics + "', it can be default or strict");
  differentiates_ = asks_for_gradient(*module_, function);
  if (options_.optimise.value_or(options_.backend != "reference")) {
    PassContext context{module_, options_.backend, &records_};
    context.recomputes = options_.memory_budget > 0;
    context.strict = options_.numerics == "strict";
    graph_ = optimise(function, context);
  } else {
    graph_ = expand_functions(module_, module_->function(function));
  }
}

std::shared_ptr<const Plan> Program::find_plan(uint64_t key, std::span<const Array> in) {
  for (auto [at, end] = by_key_.equal_range(key); at != end; ++at)
    if (made_for(*at->second->second, in)) {
      recent_.splice(recent_.begin(), recent_, at->second);
      return at->second->second;
    }
  return nullptr;
}

std::shared_ptr<const Plan> Program::plan(std::span<const Array> in) {
  const uint64_t key = key_of(in);
  {
    std::lock_guard lock(mutex_);
    if (auto known = find_plan(key, in)) return known;
  }
  auto plan = lower(module_, *graph_, operands(in), options_);
  std::lock_guard lock(mutex_);
  if (auto known = find_plan(key, in)) return known;
  recent_.emplace_front(key, plan);
  by_key_.emplace(key, recent_.begin());
  if (recent_.size() > options_.max_plans) {
    const auto oldest = std::prev(recent_.end());
    auto [at, end] = by_key_.equal_range(oldest->first);
    while (at != end && at->second != oldest) ++at;
    by_key_.erase(at);
    recent_.erase(oldest);
  }
  return plan;
}

Program::Written Program::as_written() const {
  auto module = std::make_shared<Module>(*source_);
  auto graph = expand_functions(module, module->function(function_));
  return {std::move(module), std::move(graph)};
}

std::shared_ptr<const Plan> Program::last_plan() const {
  std::lock_guard lock(mutex_);
  return recent_.empty() ? nullptr : recent_.front().second;
}

std::shared_ptr<const Plan> Program::plan_for(const Bindings& sizes) const {
  std::vector<PlanOperand> in;
  for (const NodeId id : graph_->inputs) {
    const TensorType& type = graph_->nodes[static_cast<size_t>(id)].outputs[0];
    Dims shape = evaluate(type.shape, sizes);
    Dims strides = contiguous_strides(shape);
    in.push_back({type.dtype, std::move(shape), std::move(strides), -1, -1});
  }
  return lower(module_, *graph_, in, options_);
}

std::vector<Array> Program::run(std::span<const Array> in) { return plan(in)->run(in); }

size_t Program::plans() const {
  std::lock_guard lock(mutex_);
  return recent_.size();
}

}  // namespace fovea
