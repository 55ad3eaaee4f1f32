#include "optim/lower/program.h"

#include "framework/base/error.h"
#include "graph/autodiff/vjp.h"
#include "graph/build/builder.h"
#include "optim/explain/launches.h"
#include "optim/lower/lower.h"
#include "optim/rewrite/optimise.h"

namespace fovea {
namespace {

// Types and layouts of arguments as a cache key.
std::string key_of(std::span<const Array> in) {
  std::string key;
  auto put = [&key](const void* p, size_t n) { key.append(static_cast<const char*>(p), n); };
  for (const Array& a : in) {
    key += static_cast<char>(a.dtype());
    key += static_cast<char>(a.rank());
    put(a.shape().data(), a.shape().size() * sizeof(int64_t));
    if (!a.is_contiguous()) put(a.strides().data(), a.strides().size() * sizeof(int64_t));
    key += a.is_contiguous() ? 'c' : 's';
  }
  return key;
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
    : module_(std::make_shared<Module>(*module)), options_(std::move(options)) {
  if (options_.numerics != "default" && options_.numerics != "strict")
    invalid("numerics is '" + options_.numerics + "', it can be default or strict");
  differentiates_ = asks_for_gradient(*module_, function);
  if (options_.optimise.value_or(options_.backend != "reference")) {
    PassContext context{module_, options_.backend, &records_};
    context.strict = options_.numerics == "strict";
    graph_ = optimise(function, context);
  } else {
    graph_ = expand_functions(module_, module_->function(function));
  }
}

std::shared_ptr<const Plan> Program::plan(std::span<const Array> in) {
  std::string key = key_of(in);
  {
    std::lock_guard lock(mutex_);
    if (auto at = by_key_.find(key); at != by_key_.end()) {
      recent_.splice(recent_.begin(), recent_, at->second);
      return at->second->plan;
    }
  }
  auto plan = lower(module_, *graph_, operands(in), options_);
  std::lock_guard lock(mutex_);
  if (auto at = by_key_.find(key); at != by_key_.end()) return at->second->plan;
  recent_.push_front({key, plan});
  by_key_[std::move(key)] = recent_.begin();
  if (recent_.size() > options_.max_plans) {
    by_key_.erase(recent_.back().key);
    recent_.pop_back();
  }
  return plan;
}

std::shared_ptr<const Plan> Program::last_plan() const {
  std::lock_guard lock(mutex_);
  return recent_.empty() ? nullptr : recent_.front().plan;
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
