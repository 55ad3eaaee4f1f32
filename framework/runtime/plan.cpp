#include "framework/runtime/plan.h"

#include <chrono>

#include "framework/backend/abi.h"
#include "framework/base/error.h"
#include "framework/runtime/arena.h"

namespace fovea {

// The addresses of one run; kept between runs so that a steady step allocates nothing.
struct Plan::Context {
  std::vector<char*> slots;
  std::vector<fovea_ref> refs;
  std::vector<void*> pointers;  // for host steps
};

Plan::Plan() = default;
Plan::~Plan() = default;

std::unique_ptr<Plan::Context> Plan::take_context() const {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto c = std::move(idle_.back());
      idle_.pop_back();
      return c;
    }
  }
  auto c = std::make_unique<Context>();
  c->slots.resize(1 + inputs.size() + outputs.size() + constants.size());
  c->refs.resize(refs.size());
  size_t most = 0;
  for (const PlanStep& s : steps) most = std::max<size_t>(most, static_cast<size_t>(s.inputs + s.outputs));
  c->pointers.resize(most);
  for (size_t i = 0; i < constants.size(); ++i)
    c->slots[1 + inputs.size() + outputs.size() + i] = static_cast<char*>(constants[i].raw());
  return c;
}

void Plan::give_back(std::unique_ptr<Context> context) const {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(context));
}

namespace {

thread_local std::vector<LaunchTime>* recorder = nullptr;
thread_local int recorder_depth = 0;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string describe(const PlanStep& step) {
  std::string text = "in " + step.op + (step.kernel.empty() ? "" : " (kernel " + step.kernel + ")");
  if (*step.source.file)
    text += std::string(" at ") + step.source.file + ":" + std::to_string(step.source.line);
  return text;
}

// Enters a launch in the recorder, if there is one, when it is over.
class Timer {
 public:
  explicit Timer(const PlanStep& step) : step_(step), recorder_(recorder) {
    if (!recorder_) return;
    ++recorder_depth;
    begin_ = now();
  }
  ~Timer() {
    if (!recorder_) return;
    const double end = now();
    const Source& at = step_.source;
    recorder_->push_back({step_.op, step_.kernel,
                          *at.file ? std::string(at.file) + ":" + std::to_string(at.line) : "", begin_, end,
                          step_.prepared, step_.node, --recorder_depth});
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  const PlanStep& step_;
  std::vector<LaunchTime>* const recorder_;
  double begin_ = 0;
};

}  // namespace

std::vector<LaunchTime> record_launches(const std::function<void()>& body) {
  std::vector<LaunchTime> times;
  recorder = &times;
  recorder_depth = 0;
  try {
    body();
  } catch (...) {
    recorder = nullptr;
    throw;
  }
  recorder = nullptr;
  return times;
}

void Plan::run(const void* const* in, void* const* out) const {
  const Arena arena(arena_bytes);
  auto context = take_context();
  struct GiveBack {
    const Plan* plan;
    std::unique_ptr<Context>& context;
    ~GiveBack() { plan->give_back(std::move(context)); }
  } give_back_at_end{this, context};
  char** slots = context->slots.data();
  slots[0] = arena.data();
  for (size_t i = 0; i < inputs.size(); ++i) slots[1 + i] = static_cast<char*>(const_cast<void*>(in[i]));
  for (size_t i = 0; i < outputs.size(); ++i) slots[1 + inputs.size() + i] = static_cast<char*>(out[i]);
  for (size_t i = 0; i < refs.size(); ++i) {
    context->refs[i].buffer = reinterpret_cast<fovea_buffer*>(slots[refs[i].slot]);
    context->refs[i].offset = static_cast<uint64_t>(refs[i].offset);
  }
  for (const PlanStep& step : steps) {
    const fovea_ref* r = context->refs.data() + step.first_ref;
    const Timer timer(step);
    if (step.prepared) {
      const fovea_launch launch{
          sizeof(fovea_launch),
          r,
          r + step.inputs,
          {reinterpret_cast<fovea_buffer*>(arena.data()), static_cast<uint64_t>(step.workspace_offset)}};
      const fovea_status status =
          step.prepared->backend->table->op_launch(nullptr, step.prepared->handle, &launch);
      if (status.code != FOVEA_OK) [[unlikely]]
        check(status, describe(step));
      continue;
    }
    void** p = context->pointers.data();
    for (int i = 0; i < step.inputs + step.outputs; ++i)
      p[i] = reinterpret_cast<char*>(r[i].buffer) + r[i].offset;
    step.host->launch({p, p + step.inputs, arena.data() + step.workspace_offset, default_pool()});
  }
}

std::vector<Array> Plan::run(std::span<const Array> in) const {
  if (in.size() != inputs.size())
    invalid("the program takes " + std::to_string(inputs.size()) + " arguments, got " +
            std::to_string(in.size()));
  std::vector<const void*> from(in.size());
  std::vector<Array> rows(in.begin(), in.end()), result;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype() != inputs[i].dtype || in[i].shape() != inputs[i].shape)
      invalid("argument " + std::to_string(i) + " is " + std::string(to_string(in[i].dtype())) +
              to_string(in[i].shape()) + ", the plan was made for " +
              std::string(to_string(inputs[i].dtype)) + to_string(inputs[i].shape));
    if (in[i].strides() != inputs[i].strides) rows[i] = in[i].contiguous();
    from[i] = rows[i].raw();
  }
  std::vector<void*> to(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const PlanOperand& o = outputs[i];
    if (o.alias_of >= 0) {
      const Array& a = rows[o.alias_of];
      result.emplace_back(a.buffer(), o.dtype, o.shape, o.strides, a.offset());
    } else {
      result.emplace_back(o.dtype, o.shape);
    }
    to[i] = result[i].raw();
  }
  run(from.data(), to.data());
  // Only now are the arguments gone: a run that failed has left them as they were.
  for (size_t i = 0; i < outputs.size(); ++i)
    if (const int32_t source = outputs[i].alias_of; source >= 0) {
      const Array& a = rows[source];
      const int64_t offset = a.offset();
      result[i] =
          Array(a.buffer()->hand_over(), outputs[i].dtype, outputs[i].shape, outputs[i].strides, offset);
    }
  return result;
}

}  // namespace fovea
