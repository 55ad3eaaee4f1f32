// Projections to logits fused with their loss: which spellings are found, which are left alone and why.
#include "optim/passes/linear_cross_entropy.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::string after(const std::string& text) {
  return ops_of(*after_pass(parse(text), "linear_cross_entropy", Stage::forward));
}

FusionRecord record_of(const std::string& text) {
  std::vector<FusionRecord> records;
  const auto module = parse(text);
  PassContext context{module, "cpu", &records};
  fuse_linear_cross_entropy(module->function("main"), context);
  EXPECT_EQ(records.size(), 1u);
  return records.empty() ? FusionRecord{} : records[0];
}

constexpr const char* kPlain = R"(
func @main(%0: f32[B, L, 16], %1: f32[100, 16], %2: f32[100], %3: i64[B, L]) -> (%5#0) {
  %4 = linear(%0, %1, %2)
  %5 = cross_entropy(%4, %3) {smoothing = 0.1}
})";

TEST(LinearCrossEntropyPass, FindsLinear) {
  EXPECT_EQ(after(kPlain), "linear_cross_entropy");
  const FusionRecord r = record_of(kPlain);
  EXPECT_TRUE(r.fused);
  EXPECT_EQ(r.region, "linear_cross_entropy");
  EXPECT_EQ(r.saves, "400*B*L");
  EXPECT_EQ(r.function, "main");
}

TEST(LinearCrossEntropyPass, FindsProductsAndSums) {
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[100, 16], %2: f32[100], %3: i64[6]) -> (%7#0) {
  %4 = permute(%1) {axes = [1, 0]}
  %5 = matmul(%0, %4)
  %6 = add(%2, %5)
  %7 = cross_entropy(%6, %3)
})"),
            "linear_cross_entropy");
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[16, 100], %2: i64[6]) -> (%4#0) {
  %3 = matmul(%0, %1)
  %4 = cross_entropy(%3, %2) {reduction = "sum"}
})"),
            "linear_cross_entropy permute");
}

TEST(LinearCrossEntropyPass, LooksThroughReshapes) {
  EXPECT_EQ(after(R"(
func @main(%0: f32[B, 8, 16], %1: f32[100, 16], %2: i64[8*B]) -> (%5#0) {
  %3 = linear(%0, %1)
  %4 = reshape(%3) {shape = <8*B, 100>}
  %5 = cross_entropy(%4, %2)
})"),
            "linear_cross_entropy reshape");
}

TEST(LinearCrossEntropyPass, LeavesWhatIsReadElsewhere) {
  constexpr const char* kReturned = R"(
func @main(%0: f32[6, 16], %1: f32[100, 16], %2: i64[6]) -> (%4#0, %3) {
  %3 = linear(%0, %1)
  %4 = cross_entropy(%3, %2)
})";
  EXPECT_EQ(after(kReturned), "cross_entropy linear");
  EXPECT_EQ(record_of(kReturned).reason, Reason::escape_s);
}

TEST(LinearCrossEntropyPass, LeavesWhatDoesNotPay) {
  constexpr const char* kFewClasses = R"(
func @main(%0: f32[6, 16], %1: f32[10, 16], %2: i64[6]) -> (%4#0) {
  %3 = linear(%0, %1)
  %4 = cross_entropy(%3, %2)
})";
  EXPECT_EQ(after(kFewClasses), "cross_entropy linear");
  EXPECT_EQ(code_of(record_of(kFewClasses)), "COST");
  EXPECT_EQ(record_of(kFewClasses).sentence, "it pays from 64 classes on, here are 10");
  constexpr const char* kEachRow = R"(
func @main(%0: f32[6, 16], %1: f32[100, 16], %2: i64[6]) -> (%4#0) {
  %3 = linear(%0, %1)
  %4 = cross_entropy(%3, %2) {reduction = "none"}
})";
  EXPECT_EQ(after(kEachRow), "cross_entropy linear");
  constexpr const char* kHalf = R"(
func @main(%0: bf16[6, 16], %1: bf16[100, 16], %2: i64[6]) -> (%4#0) {
  %3 = linear(%0, %1)
  %4 = cross_entropy(%3, %2)
})";
  EXPECT_EQ(record_of(kHalf).reason, Reason::dtype);
}

TEST(LinearCrossEntropyPass, LeavesOtherSumsAndProducts) {
  // A residual of the logits' own shape, and a batch of matrices.
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[16, 100], %2: f32[6, 100], %3: i64[6]) -> (%6#0) {
  %4 = matmul(%0, %1)
  %5 = add(%4, %2)
  %6 = cross_entropy(%5, %3)
})"),
            "add cross_entropy matmul");
  EXPECT_EQ(after(R"(
func @main(%0: f32[2, 6, 16], %1: f32[2, 16, 100], %2: i64[2, 6]) -> (%4#0) {
  %3 = matmul(%0, %1)
  %4 = cross_entropy(%3, %2)
})"),
            "cross_entropy matmul");
}

// Rows in several chunks, the last one smaller; ignored rows; against the operations as written, in doubles.
TEST(LinearCrossEntropyPass, TrainsAsTheOperationsDo) {
  const int64_t rows = 600, classes = 9000, features = 8;
  Array x(DType::f64, {rows, features}), weight(DType::f64, {classes, features}), bias(DType::f64, {classes});
  Array labels(DType::i64, {rows});
  auto noise = [](int64_t i) { return std::sin(static_cast<double>(i) * 12.9898) * 0.7; };
  for (int64_t i = 0; i < x.size(); ++i) x.set_flat(i, noise(i));
  for (int64_t i = 0; i < weight.size(); ++i) weight.set_flat(i, noise(i + 77));
  for (int64_t i = 0; i < classes; ++i) bias.set_flat(i, noise(3 * i + 5));
  for (int64_t i = 0; i < rows; ++i)
    labels.set_flat(i, i % 7 == 3 ? -100 : static_cast<double>(i * 31 % classes));
  const Function loss = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{cross_entropy(linear(in[0], in[1], in[2]), in[3], {.smoothing = 0.1})};
  };
  auto run = [&](DType type, const CompileOptions& options, bool& fused) {
    const std::vector<Array> in = {x.cast(type), weight.cast(type), bias.cast(type), labels};
    std::vector<Spec> specs;
    for (const Array& a : in) specs.emplace_back(a.dtype(), to_shape(a.shape()));
    Program program(trace(value_and_grad(loss, {0, 1, 2}), specs), "main", options);
    const auto plan = program.plan(in);
    fused = std::any_of(plan->steps.begin(), plan->steps.end(),
                        [](const PlanStep& s) { return s.kernel == "chunks"; });
    for (const PlanStep& s : plan->steps) EXPECT_TRUE(!fused || s.op == "linear_cross_entropy") << s.op;
    return plan->run(in);
  };
  CompileOptions plain;
  plain.optimise = false;
  bool fused = false, unused = false;
  const std::vector<Array> want = run(DType::f64, plain, unused);
  EXPECT_FALSE(unused);
  for (const DType type : {DType::f32, DType::f64}) {
    const std::vector<Array> got = run(type, {}, fused);
    EXPECT_TRUE(fused);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      double largest = 0, off = 0;
      for (int64_t k = 0; k < want[i].size(); ++k) {
        largest = std::max(largest, std::abs(want[i].get_flat(k)));
        off = std::max(off, std::abs(got[i].get_flat(k) - want[i].get_flat(k)));
      }
      EXPECT_LE(off, largest * (type == DType::f32 ? 3e-6 : 1e-13)) << to_string(type) << ", result " << i;
    }
  }
}

}  // namespace
}  // namespace fovea::test
