// Every op's gradients, of first and second order, against central differences in fp64.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "graph/build/builder.h"
#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

// Ops with floating operands and results that are not compared with differences, and why.
const std::map<std::string, std::string> kExempt = {
    {"stop_gradient", "its gradient is zero by definition"},
    {"ceil", "constant between jumps"},
    {"floor", "constant between jumps"},
    {"floor_div", "constant between jumps"},
    {"round", "constant between jumps"},
    {"sign", "constant but for the jump at 0"},
};

/// f: the op. g: its gradients, given cotangents. h: the gradients of g, given cotangents of those.
class Derivatives {
 public:
  explicit Derivatives(const OpCase& c) {
    in_ = c.types();
    auto f = Builder::make(module_, "f");
    Ints wrt;
    for (size_t i = 0; i < in_.size(); ++i)
      if (is_floating(in_[i].dtype)) wrt.push_back(static_cast<int64_t>(i));
    std::vector<TensorType> seeds;
    Ints seed_indices;
    const auto ys = f->add(*c.op, inputs(*f, in_), c.attrs, {});
    for (size_t i = 0; i < ys.size(); ++i) {
      f->output("", ys[i]);
      if (!is_floating(ys[i].dtype())) continue;
      seed_indices.push_back(static_cast<int64_t>(i));
      seeds.push_back(ys[i].type());
    }
    f->finish();
    g_in_ = in_;
    g_in_.insert(g_in_.end(), seeds.begin(), seeds.end());
    for (size_t i = 0; i < g_in_.size(); ++i)
      if (is_floating(g_in_[i].dtype)) second_wrt_.push_back(static_cast<int64_t>(i));
    first_wrt_ = wrt;
    first_ = vjp("g", "f", g_in_, wrt, seed_indices, ys.size());
    Ints all;
    for (size_t i = 0; i < first_.size(); ++i) all.push_back(static_cast<int64_t>(i));
    auto h_in = g_in_;
    h_in.insert(h_in.end(), first_.begin(), first_.end());
    vjp("h", "g", h_in, second_wrt_, all, first_.size());
    seed_types_ = seeds;
    seed_indices_ = seed_indices;
  }

  const Ints& wrt(bool second) const { return second ? second_wrt_ : first_wrt_; }
  const std::vector<TensorType>& cotangents(bool second) const { return second ? first_ : seed_types_; }

  /// Runs "f", "g" or "h".
  std::vector<Array> run(const std::string& function, const std::vector<Array>& args,
                         const std::string& backend) {
    auto& program = programs_[function + backend];
    if (!program) {
      CompileOptions options;
      options.backend = backend;
      program = std::make_unique<Program>(module_, function, options);
    }
    return program->run(args);
  }
  /// The floating results only: those that get cotangents.
  std::vector<Array> forward(bool second, const std::vector<Array>& args) {
    auto all = run(second ? "g" : "f", args, "reference");
    if (second) return all;
    std::vector<Array> out;
    for (int64_t i : seed_indices_) out.push_back(all[static_cast<size_t>(i)]);
    return out;
  }

 private:
  static std::vector<Tensor> inputs(Builder& b, const std::vector<TensorType>& types) {
    std::vector<Tensor> out;
    for (const TensorType& t : types) out.push_back(b.input("", t));
    return out;
  }
  std::vector<TensorType> vjp(const std::string& name, const std::string& of,
                              const std::vector<TensorType>& in, const Ints& wrt, const Ints& seeds,
                              size_t skip) {
    auto b = Builder::make(module_, name);
    const auto out = b->add(find_op("vjp"), inputs(*b, in),
                            {{"function", FunctionRef{of}}, {"wrt", wrt}, {"seeds", seeds}}, {});
    std::vector<TensorType> types;
    for (size_t i = skip; i < out.size(); ++i) {
      b->output("", out[i]);
      types.push_back(out[i].type());
    }
    b->finish();
    return types;
  }

  std::shared_ptr<Module> module_ = std::make_shared<Module>();
  std::map<std::string, std::unique_ptr<Program>> programs_;
  std::vector<TensorType> in_, g_in_, seed_types_, first_;
  Ints first_wrt_, second_wrt_, seed_indices_;
};

double dot(const std::vector<Array>& a, const std::vector<Array>& b) {
  double sum = 0;
  for (size_t k = 0; k < a.size(); ++k)
    for (int64_t i = 0; i < a[k].size(); ++i) sum += a[k].get_flat(i) * b[k].get_flat(i);
  return sum;
}

// d <f(x), w> / dx by differences of one element at a time, against the gradients of both backends.
void check_order(Derivatives& d, bool second, std::vector<Array> x, const std::vector<Array>& w,
                 const OpCase& c) {
  constexpr double kStep = 1e-5, kAbsolute = 2e-6, kRelative = 2e-6;
  std::vector<Array> args = x;
  args.insert(args.end(), w.begin(), w.end());
  const char* function = second ? "h" : "g";
  const auto on_reference = d.run(function, args, "reference"), on_cpu = d.run(function, args, "cpu");
  ASSERT_EQ(on_reference.size(), d.wrt(second).size()) << c.str();
  for (size_t k = 0; k < on_reference.size(); ++k) {
    const auto operand = static_cast<size_t>(d.wrt(second)[k]);
    const Array original = x[operand];
    ASSERT_EQ(on_reference[k].shape(), original.shape()) << c.str();
    for (int64_t i = 0; i < original.size(); ++i) {
      double value[2];
      for (int side : {0, 1}) {
        x[operand] = original.copy();
        x[operand].set_flat(i, original.get_flat(i) + (side ? kStep : -kStep));
        value[side] = dot(d.forward(second, x), w);
      }
      const double slope = (value[1] - value[0]) / (2 * kStep);
      for (const auto* got : {&on_reference, &on_cpu})
        ASSERT_NEAR((*got)[k].get_flat(i), slope, kAbsolute + kRelative * std::abs(slope))
            << c.str() << ": " << (second ? "second" : "first") << " order, operand " << operand
            << ", element " << i << ", on " << (got == &on_cpu ? "cpu" : "reference");
    }
    x[operand] = original;
  }
}

std::vector<Array> random_like(const std::vector<TensorType>& types, unsigned seed) {
  OpCase c;
  for (const TensorType& t : types) {
    In in({}, t.dtype);
    in.shape = evaluate(t.shape, {});
    c.in.push_back(in);
  }
  return operands(c, seed);
}

class Gradients : public testing::TestWithParam<const OpDecl*> {};

TEST_P(Gradients, AgreeWithDifferences) {
  const OpDecl& op = *GetParam();
  if (is_structural(op)) return;  // the tests of the core differentiate through these
  const bool exempt = kExempt.count(op.name()) || !op.is_differentiable();
  int checked = 0, possible = 0;
  for (const OpCase& sample : sample_cases(op)) {
    const OpCase c = widened(sample);
    const auto x = operands(c, 17);
    const bool from = std::any_of(c.in.begin(), c.in.end(), [](const In& i) { return is_floating(i.type); });
    const auto out = c.infer();
    const bool to =
        std::any_of(out.begin(), out.end(), [](const TensorType& t) { return is_floating(t.dtype); });
    possible += from && to;
    if (exempt || !from || !to) continue;
    Derivatives d(c);
    const auto w = random_like(d.cotangents(false), 29);
    check_order(d, false, x, w, c);
    if (HasFatalFailure()) return;
    auto args = x;
    args.insert(args.end(), w.begin(), w.end());
    check_order(d, true, args, random_like(d.cotangents(true), 31), c);
    if (HasFatalFailure()) return;
    ++checked;
  }
  if (!op.is_differentiable() && possible) {
    EXPECT_TRUE(kExempt.count(op.name()))
        << op.name() << " stops gradients between floating tensors: say why in kExempt";
  }
  if (kExempt.count(op.name())) {
    EXPECT_TRUE(possible) << op.name() << " needs no exemption";
  }
  if (!exempt) {
    EXPECT_EQ(checked, possible) << op.name();
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Gradients, testing::ValuesIn(all_ops()), op_name);

}  // namespace
}  // namespace fovea::test
