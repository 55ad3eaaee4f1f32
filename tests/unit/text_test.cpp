// Modules as text: what is printed reads back to the same module, and what is wrong is refused with its
// place.
#include "graph/text/text.h"

#include "tests/unit/module_test_util.h"

using namespace fovea;
using namespace fovea::test;

namespace {

constexpr const char* kSmall = R"(constant 0: f32[2] = [0.5, -1]
func @main(%0 "x": f32[B, 2] @"model.cpp":3) -> (%3 "y") {
  %1 = exp(%0) : f32[B, 2] @"model.cpp":12 in "encoder.0"
  %2 = constant() {dtype = f32, index = 0, shape = <2>} : f32[2]
  %3 = mul(%1, %2) : f32[B, 2]
}
)";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(Text, RandomModulesReadBack) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const auto module = random_module(seed, 20);
    const std::string text = print(*module);
    const auto back = parse(text, module->constants);
    ASSERT_EQ(difference(*module, *back), "") << "seed " << seed << "\n" << text;
    ASSERT_EQ(print(*back), text) << "seed " << seed;
  }
}

TEST(Text, EverySampleOfEveryOpReadsBack) {
  int count = 0;
  for (const OpDecl* op : all_ops())
    for (const Sample& sample : op->samples()) {
      auto module = std::make_shared<Module>();
      auto builder = Builder::make(module, "f");
      std::vector<Tensor> in;
      for (const In& x : sample.in) in.push_back(builder->input("", {x.type, to_shape(x.shape)}));
      for (const Tensor& y : builder->add(*op, in, sample.attrs, {})) builder->output("", y);
      builder->finish();
      ASSERT_EQ(difference(*module, *parse(print(*module))), "") << print(*module);
      ++count;
    }
  EXPECT_GT(count, 100);
}

TEST(Text, IsWrittenAsItIsRead) {
  const auto module = parse(kSmall);
  EXPECT_EQ(print(*module), kSmall);
  const Node& exp = module->function("main").nodes[1];
  EXPECT_EQ(exp.op->name(), "exp");
  EXPECT_STREQ(exp.source.file, "model.cpp");
  EXPECT_EQ(exp.source.line, 12);
  EXPECT_EQ(module->scopes[static_cast<size_t>(exp.scope)], "encoder.0");
  EXPECT_EQ(module->constants[0].to_vector<double>(), (std::vector<double>{0.5, -1}));
}

TEST(Text, TypesAndDefaultsMayBeLeftOut) {
  const auto module = parse(R"(
    // calls a function that comes later
    func @a(%0: f32[B, 4]) -> (%2) {
      %1 = call(%0) {function = @z}   // a comment
      %2 = softmax(%1)
    }
    func @z(%0: f32[B, 4]) -> (%1) { %1 = neg(%0) })");
  EXPECT_EQ(to_string(module->function("a").nodes[2].outputs[0]), "f32[B, 4]");
  EXPECT_EQ(module->function("a").nodes[2].attrs.integer("axis"), 1);
}

TEST(Text, SpecialNumbersKeepTheirBits) {
  auto module = std::make_shared<Module>();
  auto bits = [&](DType dtype, const std::vector<uint64_t>& list) {
    Array a(dtype, {static_cast<int64_t>(list.size())});
    for (size_t i = 0; i < list.size(); ++i)
      std::memcpy(static_cast<char*>(a.raw()) + i * static_cast<size_t>(size_of(dtype)), &list[i],
                  static_cast<size_t>(size_of(dtype)));
    module->constants.push_back(a);
  };
  bits(DType::f32, {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x80000000, 1, 0x7F7FFFFF});
  bits(DType::f64, {0x7FF0000000000000, 0x7FF8000000000000, 0xFFF8000000000001, 0x8000000000000000, 1,
                    0x3FB999999999999A});
  bits(DType::f16, {0x7C00, 0x7E00, 0xFE01, 0x8000, 1, 0x7BFF, 0x3555});
  bits(DType::bf16, {0x7F80, 0x7FC0, 0xFFC1, 0x8000, 1, 0x7F7F, 0x3EAB});
  bits(DType::i64, {0x8000000000000000, 0x7FFFFFFFFFFFFFFF});
  bits(DType::u8, {0, 255});
  module->constants.push_back(Array(DType::f32, {0, 3}));
  module->constants.push_back(Array::scalar(2.5));
  const std::string text = print(*module);
  EXPECT_NE(text.find("f32[8] = [inf, -inf, nan, nan:ffc00000, nan:7f800001, -0, 1e-45, "), std::string::npos)
      << text;
  EXPECT_EQ(difference(*module, *parse(text)), "") << text;
}

TEST(Text, LargeConstantsAreKnownByDigest) {
  auto module = std::make_shared<Module>();
  std::mt19937 random(1);
  for (int i = 0; i < 2; ++i) module->constants.push_back(random_bytes(DType::f32, {5, 13}, random));
  const std::string text = print(*module);
  EXPECT_EQ(difference(*module, *parse(text, {module->constants[1], module->constants[0]})), "");
  const std::string message =
      error_of(ErrorKind::InvalidArgument, [&] { parse(text, {module->constants[0]}); });
  EXPECT_NE(message.find("text:2:10: none of the 1 arrays given is this constant: f32[5, 13]"),
            std::string::npos)
      << message;
}

TEST(Text, ErrorsNameLineAndColumn) {
  const struct {
    const char *what, *by, *message;
  } cases[] = {
      {"exp(%0)", "exq(%0)", "text:3:8: there is no op 'exq'"},
      {"exp(%0)", "exp(%2)", "text:3:3: %2 does not exist here"},
      {"exp(%0)", "exp(%0#1)", "text:3:3: %0#1 does not exist here"},
      {"exp(%0) : f32[B, 2]", "exp(%0) : f32[B, 3]",
       "text:3:3: the op gives f32[B, 2], the text says f32[B, 3]"},
      {"%2 = constant", "%4 = constant", "text:4:3: expected node %2 here"},
      {"index = 0", "index = 7", "reads constant 7 of 1"},
      {"index = 0", "index = 0, index = 0", "text:4:44: attribute 'index' is given twice"},
      {"index = 0", "indx = 0", "text:4:3: constant: attribute 'index' is missing"},
      {"f32[B, 2] @", "f99[B, 2] @", "text:2:20: there is no element type 'f99'"},
      {"[0.5, -1]", "[0.5]", "text:1:10: 1 elements for shape [2]"},
      {"[0.5, -1]", "[0.5, x]", "text:1:28: expected a number, found 'x'"},
      {"encoder.0\"", "encoder.0", "text:3:47: the quotes are not closed"},
      {"f32[B, 2]\n}", "f32[B, 2]\n", "expected '%', found the end"},
      {"func", "fun", "text:2:1: expected 'constant' or 'func', found 'fun @main"},
      {"%0 \"x\"", "%9 \"x\"", "expected node %0 here"},
      {"-> (%3", "-> (%8", "text:2:50: %8 does not exist here"},
      {"%0 \"x\": f32[B, 2]", "%0: f32[B, 2], %0: f32[2]", "%0 cannot be this argument"},
      {"exp(%0) : f32[B, 2]", "exp(%0) : f32[B, ]", "text:3:18: not a size"},
  };
  for (const auto& c : cases) {
    const std::string text = replaced(kSmall, c.what, c.by);
    const std::string message = error_of(ErrorKind::InvalidArgument, [&] { parse(text); });
    EXPECT_NE(message.find(c.message), std::string::npos) << message << "\nexpected " << c.message;
  }
}

TEST(Text, FunctionsThatCallThemselvesAreRefused) {
  const std::string message = error_of(ErrorKind::InvalidArgument, [] {
    parse(
        "func @a(%0: f32[2]) -> (%1) { %1 = call(%0) {function = @b} }\n"
        "func @b(%0: f32[2]) -> (%1) { %1 = call(%0) {function = @a} }");
  });
  EXPECT_NE(message.find("calls itself"), std::string::npos) << message;
}

TEST(Text, DamagedTextNeverDoesMoreThanThrow) {
  const std::string text = print(*random_module(3, 6));
  std::mt19937 random(5);
  const std::string letters = "%@\"{}()[]<>:,#=0123x-/.\n";
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string damaged = text;
    if (i % 3 == 0)
      damaged.resize(random() % damaged.size());
    else
      damaged[random() % damaged.size()] = letters[random() % letters.size()];
    try {
      parse(damaged);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
