// Every op states samples and errors, and survives bad calls derived from its declaration.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "graph/build/builder.h"
#include "optim/lower/lower.h"
#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();

class Samples : public testing::TestWithParam<const OpDecl*> {};
class BadCalls : public testing::TestWithParam<const OpDecl*> {};

TEST_P(Samples, AreValidGraphs) {
  const OpDecl& op = *GetParam();
  EXPECT_FALSE(op.doc().empty()) << op.name();
  if (is_structural(op)) return;
  EXPECT_FALSE(op.samples().empty()) << op.name() << " has no sample";
  for (const OpCase& c : sample_cases(op)) {
    auto module = std::make_shared<Module>();
    auto builder = Builder::make(module, "f");
    std::vector<Tensor> args;
    for (const TensorType& t : c.types()) args.push_back(builder->input("", t));
    for (const Tensor& y : builder->add(op, args, c.attrs, {})) builder->output("", y);
    builder->finish();
    EXPECT_NO_THROW(verify(*module)) << c.str();
    const auto declared = c.infer();
    const auto y = run_case(c, "cpu", operands(c, 3));
    ASSERT_EQ(y.size(), declared.size()) << c.str();
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(to_string(TensorType{y[i].dtype(), to_shape(y[i].shape())}), to_string(declared[i]))
          << c.str();
  }
}

TEST_P(Samples, OfErrorsSayWhatIsWrong) {
  const OpDecl& op = *GetParam();
  if (op.name() == "input") return;  // any type is an input
  EXPECT_FALSE(op.error_samples().empty()) << op.name() << " has no error sample";
  const Module empty;
  for (const Sample& s : op.error_samples()) {
    const OpCase c{&op, op.name() + ", error sample", s.in, s.attrs};
    Attrs attrs = s.attrs;
    EXPECT_FALSE(s.error.empty()) << c.str();
    try {
      op.check(attrs, c.types(), &empty, nullptr);
      ADD_FAILURE() << c.str() << " is accepted; expected: " << s.error;
    } catch (const Error& e) {
      const std::string text = e.what();
      EXPECT_TRUE(e.kind() == ErrorKind::InvalidArgument || e.kind() == ErrorKind::Unsupported)
          << c.str() << "\n"
          << text;
      EXPECT_NE(text.find(s.error), std::string::npos) << c.str() << "\n"
                                                       << text << "\nexpected: " << s.error;
      EXPECT_NE(text.find(op.name()), std::string::npos) << c.str() << "\n"
                                                         << text << "\ndoes not name the op";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Samples, testing::ValuesIn(all_ops()), op_name);

// One bad (or merely odd) call. `refused`: it must be an error; otherwise a valid result is fine, too.
struct Call {
  std::string what;
  OpCase c;
  bool refused = false;
};

void bad_operands(const OpCase& good, std::vector<Call>& calls) {
  const auto& declared = good.op->inputs();
  const auto add = [&](const std::string& what, const auto& change, bool refused = false) {
    calls.push_back({what, good, refused});
    change(calls.back().c);
  };
  size_t least = 0;
  for (const OperandDecl& o : declared) least += !o.optional && !o.variadic;
  if (least > 0)
    add(
        "no operands", [](OpCase& c) { c.in.clear(); }, true);
  if (!good.in.empty())
    add(
        "last operand missing", [](OpCase& c) { c.in.pop_back(); }, good.in.size() == least);
  const bool variadic = !declared.empty() && declared.back().variadic;
  add(
      "too many operands",
      [&](OpCase& c) {
        c.in.resize(variadic ? 70 : declared.size() + 1, In{2, 3});
      },
      !variadic);
  for (size_t i = 0; i < good.in.size(); ++i) {
    const std::string name = "operand " + std::to_string(i);
    const Types types = declared[std::min(i, declared.size() - 1)].types;
    for (int t = 0; t < kDTypeCount; ++t)
      add(
          name + " in " + std::string(to_string(static_cast<DType>(t))),
          [&](OpCase& c) {
            c.in[i].type = static_cast<DType>(t);
            if (!is_floating(c.in[i].type)) c.in[i] = c.in[i].range(0, 2);
          },
          !matches(types, static_cast<DType>(t)));
    add(
        name + " of rank 9", [&](OpCase& c) { c.in[i].shape = Dims(9, 1); }, true);
    add(name + " of rank 8", [&](OpCase& c) { c.in[i].shape = Dims(8, 1); });
    add(name + " of rank 0", [&](OpCase& c) { c.in[i].shape = {}; });
    add(name + " with one axis more", [&](OpCase& c) { c.in[i].shape.insert(c.in[i].shape.begin(), 2); });
    add(name + " without its first axis", [&](OpCase& c) {
      if (!c.in[i].shape.empty()) c.in[i].shape.erase(c.in[i].shape.begin());
    });
    for (size_t a = 0; a < good.in[i].shape.size(); ++a) {
      const std::string axis = name + ", axis " + std::to_string(a);
      add(
          axis + " negative", [&](OpCase& c) { c.in[i].shape[a] = -1; }, true);
      add(axis + " empty", [&](OpCase& c) { c.in[i].shape[a] = 0; });
      add(axis + " of size 1", [&](OpCase& c) { c.in[i].shape[a] = 1; });
      add(axis + " longer", [&](OpCase& c) { c.in[i].shape[a] += 1; });
      add(axis + " huge", [&](OpCase& c) { c.in[i].shape[a] = int64_t{1} << 40; });
      add(axis + " of the largest size", [&](OpCase& c) { c.in[i].shape[a] = kMax; });
    }
    add(name + " all huge", [&](OpCase& c) {
      for (int64_t& d : c.in[i].shape) d = int64_t{1} << 33;
    });
    if (is_integer(good.in[i].type))
      for (double wild : {-1e15, 1e15, -1.0, 100.0})
        add(name + " full of " + std::to_string(wild),
            [&](OpCase& c) { c.in[i] = c.in[i].range(wild, wild + 1); });
  }
  add("all operands huge", [](OpCase& c) {
    for (In& in : c.in)
      for (int64_t& d : in.shape) d = d == 1 ? 1 : int64_t{1} << 31;
  });
  add("all operands empty", [](OpCase& c) {
    for (In& in : c.in)
      for (int64_t& d : in.shape) d = 0;
  });
  add("all operands of rank 0", [](OpCase& c) {
    for (In& in : c.in) in.shape = {};
  });
  for (DType t : {DType::i8, DType::u8, DType::boolean, DType::f16})
    add("all operands in " + std::string(to_string(t)), [&](OpCase& c) {
      for (In& in : c.in) in = In(in).range(0, 2), in.type = t;
    });
}

void bad_attributes(const OpCase& good, std::vector<Call>& calls) {
  const auto add = [&](const std::string& name, AttrValue value, bool refused = false) {
    calls.push_back({"attribute " + name + " = " + to_string(value), good, refused});
    calls.back().c.attrs.set(name, std::move(value));
  };
  add("no_such_attribute", int64_t{1}, true);
  for (const AttrDecl& a : good.op->attrs()) {
    if (a.required) {
      calls.push_back({"attribute " + a.name + " missing", good, true});
      calls.back().c.attrs.erase(a.name);
    }
    const bool is_text = std::holds_alternative<std::string>(a.fallback);
    add(a.name, is_text ? AttrValue(int64_t{3}) : AttrValue(std::string("text")), true);
    add(a.name, FunctionRef{"nowhere"}, true);
    if (std::holds_alternative<int64_t>(a.fallback))
      for (int64_t v : {int64_t{-1}, int64_t{0}, int64_t{100}, int64_t{-100}, kMax, kMin}) {
        const bool axis = a.name == "axis" || a.name == "dim";
        add(a.name, v, axis && (v >= 100 || v <= -100));
      }
    if (std::holds_alternative<double>(a.fallback))
      for (double v : {-1.0, 0.0, 1e300, double(INFINITY), double(NAN)}) add(a.name, v);
    if (is_text) add(a.name, std::string("nonsense \x01 \n")), add(a.name, std::string());
    if (std::holds_alternative<DType>(a.fallback))
      for (int t = 0; t < kDTypeCount; ++t) add(a.name, static_cast<DType>(t));
    for (const Ints& v : {Ints{}, Ints{0}, Ints{-1}, Ints{0, 0}, Ints{100}, Ints{-100}, Ints{kMax},
                          Ints{kMin}, Ints{kMax, kMax}, Ints{1, 2, 3, 4, 5, 6, 7, 8, 9}, Ints(20, 1),
                          Ints{int64_t{1} << 32, int64_t{1} << 32}}) {
      const bool far = v.size() == 1 && (v[0] >= 100 || v[0] <= -100);
      if (std::holds_alternative<Ints>(a.fallback)) add(a.name, v, a.name == "axes" && far);
      if (std::holds_alternative<Shape>(a.fallback)) add(a.name, to_shape(v));
    }
    if (const Ints* now = std::get_if<Ints>(good.attrs.find(a.name) ? good.attrs.find(a.name) : &a.fallback))
      for (size_t i = 0; i < now->size(); ++i)
        for (int64_t v : {int64_t{0}, int64_t{-1}, int64_t{1000}, kMax, kMin}) {
          Ints changed = *now;
          changed[i] = v;
          add(a.name, changed);
        }
    if (const Shape* now =
            std::get_if<Shape>(good.attrs.find(a.name) ? good.attrs.find(a.name) : &a.fallback))
      for (size_t i = 0; i < now->size(); ++i)
        for (int64_t v : {int64_t{0}, int64_t{-1}, int64_t{1000}, kMax, kMin}) {
          Shape changed = *now;
          changed[i] = v;
          add(a.name, changed);
        }
  }
}

bool affordable(const OpCase& c, const std::vector<TensorType>& out) {
  double elements = 0;
  const auto count = [&](const Dims& shape) {
    double n = 1;
    for (int64_t d : shape) n *= static_cast<double>(d);
    elements += n;
  };
  for (const In& in : c.in) count(in.shape);
  for (const TensorType& t : out) count(evaluate(t.shape, {}));
  return elements < 100'000;
}

// The text of the typed error that body throws, or "".
std::string error_of(const std::string& what, const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const Error& e) {
    EXPECT_TRUE(e.kind() == ErrorKind::InvalidArgument || e.kind() == ErrorKind::Unsupported ||
                e.kind() == ErrorKind::ResourceExhausted)
        << what << "\n"
        << e.what();
    EXPECT_GT(e.message().size(), 10u) << what;
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << what << "\nthrew an untyped exception: " << e.what();
    return e.what();
  }
}

void run_call(const OpCase& c, const std::string& backend, const std::vector<TensorType>& types) {
  const auto x = operands(c, 1);
  const auto y = run_case(c, backend, x);
  ASSERT_EQ(y.size(), types.size()) << c.str();
  for (size_t i = 0; i < y.size(); ++i)
    EXPECT_EQ(to_string(TensorType{y[i].dtype(), to_shape(y[i].shape())}), to_string(types[i]))
        << c.str() << " on " << backend;
}

void plan_call(const OpCase& c, const std::string& backend) {
  std::vector<PlanOperand> in;
  for (const In& i : c.in) {
    product(i.shape);  // sizes beyond 64 bits are an error of the caller
    in.push_back({i.type, i.shape, contiguous_strides(i.shape), -1, -1});
  }
  const auto program = program_of(c, backend);
  CompileOptions options;
  options.backend = backend;
  lower(program->module(), program->graph(), in, options);
}

// A typed error, the same on both backends, or a result of the inferred types. Plans for sizes beyond memory
// are made but not run.
void check_call(const Call& call) {
  const std::string what = call.what + " of " + call.c.str();
  std::vector<TensorType> types;
  const bool accepted = error_of(what, [&] { types = call.c.infer(); }).empty();
  if (accepted && affordable(call.c, types)) {
    const std::string cpu = error_of(what, [&] { run_call(call.c, "cpu", types); });
    const std::string reference = error_of(what, [&] { run_call(call.c, "reference", types); });
    EXPECT_EQ(cpu.empty(), reference.empty()) << what << "\ncpu: " << cpu << "\nreference: " << reference;
  } else if (accepted) {
    for (const char* backend : {"cpu", "reference"}) error_of(what, [&] { plan_call(call.c, backend); });
  }
  if (call.refused) {
    EXPECT_FALSE(accepted) << what << " was accepted";
  }
}

TEST_P(BadCalls, GiveTypedErrorsOrResults) {
  const OpDecl& op = *GetParam();
  if (is_structural(op)) return;
  std::vector<Call> calls;
  for (const OpCase& c : sample_cases(op)) {
    bad_operands(c, calls);
    bad_attributes(c, calls);
  }
  EXPECT_GE(calls.size(), 12u);
  for (const Call& call : calls) {
    SCOPED_TRACE(call.what);
    if (std::getenv("FOVEA_SHOW_CALLS"))
      fprintf(stderr, "%s of %s\n", call.what.c_str(), call.c.str().c_str());
    check_call(call);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, BadCalls, testing::ValuesIn(all_ops()), op_name);

}  // namespace
}  // namespace fovea::test
