// scan, while_loop and cond: plans inside plans.
#include <cstring>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "graph/autodiff/vjp.h"
#include "optim/lower/lowering.h"

namespace fovea {
namespace {

PlanOperand operand(const OperandSpec& s) { return {s.dtype, s.shape, contiguous_strides(s.shape), -1, -1}; }

int64_t bytes_of(const PlanOperand& o) {
  return checked_mul(product(o.shape), size_of(o.dtype), "the bytes of a value");
}

// Two copies of every carried tensor, used in turns.
struct CarryBuffers {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
  CarryBuffers(const std::vector<PlanOperand>& operands, size_t carry) {
    for (int copy = 0; copy < 2; ++copy)
      for (size_t i = 0; i < carry; ++i) {
        offsets.push_back(bytes);
        bytes = checked_add(bytes, round_up(bytes_of(operands[i]), 64), "the workspace of a loop");
      }
  }
};

class Scan final : public PreparedKernel {
 public:
  Scan(std::shared_ptr<const Plan> plan, size_t carry, size_t xs, int64_t length, bool reverse, bool save)
      : plan_(std::move(plan)),
        carry_(carry),
        xs_(xs),
        length_(length),
        reverse_(reverse),
        save_(save),
        buffers_(plan_->inputs, carry) {}
  int64_t workspace_bytes() const override { return buffers_.bytes; }

  void launch(const KernelArgs& args) const override {
    const size_t inputs = plan_->inputs.size(), ys = plan_->outputs.size() - carry_;
    std::vector<const void*> in(inputs);
    std::vector<void*> out(plan_->outputs.size());
    char* work = static_cast<char*>(args.workspace);
    for (size_t i = 0; i < carry_; ++i) in[i] = args.in[i];
    for (size_t i = carry_ + xs_; i < inputs; ++i) in[i] = args.in[i];
    for (int64_t k = 0; k < length_; ++k) {
      const int64_t t = reverse_ ? length_ - 1 - k : k;
      auto at = [&](const void* base, const PlanOperand& o) {
        return static_cast<char*>(const_cast<void*>(base)) + t * bytes_of(o);
      };
      for (size_t i = 0; i < xs_; ++i) in[carry_ + i] = at(args.in[carry_ + i], plan_->inputs[carry_ + i]);
      for (size_t i = 0; i < carry_; ++i) out[i] = work + buffers_.offsets[(k % 2) * carry_ + i];
      for (size_t i = 0; i < ys; ++i) out[carry_ + i] = at(args.out[carry_ + i], plan_->outputs[carry_ + i]);
      if (save_)
        for (size_t i = 0; i < carry_; ++i)
          std::memcpy(at(args.out[carry_ + ys + i], plan_->inputs[i]), in[i], bytes_of(plan_->inputs[i]));
      plan_->run(in.data(), out.data());
      for (size_t i = 0; i < carry_; ++i) in[i] = out[i];
    }
    for (size_t i = 0; i < carry_; ++i) std::memcpy(args.out[i], in[i], bytes_of(plan_->inputs[i]));
  }

 private:
  std::shared_ptr<const Plan> plan_;
  size_t carry_, xs_;
  int64_t length_;
  bool reverse_, save_;
  CarryBuffers buffers_;
};

class While final : public PreparedKernel {
 public:
  While(std::shared_ptr<const Plan> condition, std::shared_ptr<const Plan> body, int64_t limit)
      : condition_(std::move(condition)),
        body_(std::move(body)),
        limit_(limit),
        buffers_(body_->inputs, body_->outputs.size()) {}
  int64_t workspace_bytes() const override { return buffers_.bytes; }

  void launch(const KernelArgs& args) const override {
    const size_t carry = body_->outputs.size();
    std::vector<const void*> in(args.in, args.in + body_->inputs.size());
    std::vector<void*> out(carry);
    char* work = static_cast<char*>(args.workspace);
    for (int64_t k = 0;; ++k) {
      bool more = false;
      void* answer = &more;
      condition_->run(in.data(), &answer);
      if (!more) break;
      if (k >= limit_)
        invalid("while_loop: the condition still holds after " + std::to_string(limit_) +
                " iterations (max_iterations)");
      for (size_t i = 0; i < carry; ++i) out[i] = work + buffers_.offsets[(k % 2) * carry + i];
      body_->run(in.data(), out.data());
      for (size_t i = 0; i < carry; ++i) in[i] = out[i];
    }
    for (size_t i = 0; i < carry; ++i) std::memcpy(args.out[i], in[i], bytes_of(body_->inputs[i]));
  }

 private:
  std::shared_ptr<const Plan> condition_, body_;
  int64_t limit_;
  CarryBuffers buffers_;
};

class Cond final : public PreparedKernel {
 public:
  Cond(std::shared_ptr<const Plan> yes, std::shared_ptr<const Plan> no)
      : yes_(std::move(yes)), no_(std::move(no)) {}
  void launch(const KernelArgs& args) const override {
    (*args.input<bool>(0) ? yes_ : no_)->run(args.in + 1, args.out);
  }

 private:
  std::shared_ptr<const Plan> yes_, no_;
};

}  // namespace

void Lowering::emit_control(const Node& node, const Attrs& attrs, IdSpan given, const Bindings& bindings,
                            Ids& out) {
  Ids in(given.begin(), given.end());
  for (int32_t& v : in) v = contiguous(v, node);
  Launch launch;
  auto plan_of = [&](const std::string& attr, const std::vector<PlanOperand>& operands) {
    const Graph expanded = *expand_functions(module_, module_->function(attrs.function(attr)));
    CompileOptions options = options_;
    options.donate.clear();
    launch.bodies.push_back(lower(module_, expanded, operands, options));
    return launch.bodies.back();
  };
  std::vector<PlanOperand> operands;
  for (int32_t v : in) operands.push_back(operand(layout(v).spec));
  launch.op = node.op;
  const std::string& name = node.op->name();
  launch.node = current_node_;
  launch.source = node.source;
  if (name == "scan") {
    const size_t carry = static_cast<size_t>(attrs.integer("carry")),
                 xs = static_cast<size_t>(attrs.integer("xs"));
    for (size_t i = carry; i < carry + xs; ++i) {
      operands[i].shape.erase(operands[i].shape.begin());
      operands[i].strides = contiguous_strides(operands[i].shape);
    }
    launch.host =
        std::make_unique<Scan>(plan_of("function", operands), carry, xs, attrs.shape("length")[0].value(),
                               attrs.flag("reverse"), attrs.flag("save_carries"));
  } else if (name == "while_loop") {
    // One after the other: Plan::bodies has an order.
    const auto condition = plan_of("condition", operands), body = plan_of("function", operands);
    launch.host = std::make_unique<While>(condition, body, attrs.integer("max_iterations"));
  } else {
    operands.erase(operands.begin());
    const auto yes = plan_of("then", operands), no = plan_of("otherwise", operands);
    launch.host = std::make_unique<Cond>(yes, no);
  }
  launch.workspace = launch.host->workspace_bytes();
  launch.first_operand = static_cast<int64_t>(operands_.size());
  launch.inputs = static_cast<int32_t>(in.size());
  launch.outputs = static_cast<int32_t>(node.outputs.size());
  operands_.insert(operands_.end(), in.begin(), in.end());
  for (const TensorType& t : node.outputs) {
    const int32_t view = fresh(layout_of(t, bindings));
    operands_.push_back(view);
    out.push_back(view);
  }
  launches_.push_back(std::move(launch));
}

}  // namespace fovea
