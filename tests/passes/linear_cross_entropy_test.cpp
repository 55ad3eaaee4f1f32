// Projections to logits fused with their loss: which spellings are found, which are left alone and why.
#include "optim/passes/linear_cross_entropy.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::string after(const std::string& text) {
  return ops_of(*after_pass(parse(text), "linear_cross_entropy", Stage::forward));
}

constexpr const char* kPlain = R"(
func @main(%0: f32[B, L, 16], %1: f32[100, 16], %2: f32[100], %3: i64[B, L]) -> (%5#0) {
  %4 = linear(%0, %1, %2)
  %5 = cross_entropy(%4, %3) {smoothing = 0.1}
})";

TEST(LinearCrossEntropyPass, FindsLinear) {
  EXPECT_EQ(after(kPlain), "linear_cross_entropy");
  const FusionRecord r = record_of(fuse_linear_cross_entropy, kPlain);
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
  EXPECT_EQ(record_of(fuse_linear_cross_entropy, kReturned).reason, Reason::escape_s);
}

TEST(LinearCrossEntropyPass, LeavesWhatDoesNotPay) {
  constexpr const char* kFewClasses = R"(
func @main(%0: f32[6, 16], %1: f32[10, 16], %2: i64[6]) -> (%4#0) {
  %3 = linear(%0, %1)
  %4 = cross_entropy(%3, %2)
})";
  EXPECT_EQ(after(kFewClasses), "cross_entropy linear");
  EXPECT_EQ(code_of(record_of(fuse_linear_cross_entropy, kFewClasses)), "COST");
  EXPECT_EQ(record_of(fuse_linear_cross_entropy, kFewClasses).sentence,
            "it pays from 64 classes on, here are 10");
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
  EXPECT_EQ(record_of(fuse_linear_cross_entropy, kHalf).reason, Reason::dtype);
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

double noise(int64_t i) { return std::sin(static_cast<double>(i) * 12.9898) * 0.7; }

Array noisy(const Dims& shape, int64_t from, int64_t step = 1) {
  Array a(DType::f64, shape);
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, noise(from + i * step));
  return a;
}

Array labels_of(int64_t rows, int64_t classes) {
  Array labels(DType::i64, {rows});
  for (int64_t i = 0; i < rows; ++i)
    labels.set_flat(i, i % 7 == 3 ? -100 : static_cast<double>(i * 31 % classes));
  return labels;
}

struct Training {
  int64_t rows, classes, features;
  bool matrix = false;  // the weight is [features, classes]
  bool bias = true;
  double smoothing = 0.1;

  std::vector<Array> operands() const {
    const Dims weight = matrix ? Dims{features, classes} : Dims{classes, features};
    return {noisy({rows, features}, 0), noisy(weight, 77), noisy({classes}, 5, 3), labels_of(rows, classes)};
  }
  // Loss and gradients, from the fused kernel unless `plain`.
  std::vector<Array> run(DType type, bool plain) const {
    std::vector<Array> in = operands();
    for (size_t i = 0; i < 3; ++i) in[i] = in[i].cast(type);
    std::vector<Spec> specs;
    for (const Array& a : in) specs.emplace_back(a.dtype(), to_shape(a.shape()));
    const Function loss = [this](const std::vector<Tensor>& t) {
      const Tensor weight = matrix ? transpose(t[1], 0, 1) : t[1];
      return std::vector<Tensor>{
          cross_entropy(linear(t[0], weight, bias ? t[2] : Tensor()), t[3], {.smoothing = smoothing})};
    };
    const std::vector<int64_t> by = bias ? std::vector<int64_t>{0, 1, 2} : std::vector<int64_t>{0, 1};
    CompileOptions options;
    options.optimise = !plain;
    Program program(trace(value_and_grad(loss, by), specs), "main", options);
    const auto plan = program.plan(in);
    const bool fused = std::any_of(plan->steps.begin(), plan->steps.end(),
                                   [](const PlanStep& s) { return s.kernel == "chunks"; });
    EXPECT_EQ(fused, !plain);
    return plan->run(in);
  }
};

// Against the operations as written, in doubles; some rows are ignored.
TEST(LinearCrossEntropyPass, TrainsAsTheOperationsDo) {
  const Training cases[] = {
      {600, 9000, 8},                  // two chunks, the last one smaller
      {700, 130, 70, false, true, 0},  // groups of rows; features behind a panel
      {130, 1000, 33, true},           // the weight's columns are classes
      {33, 64, 5, false, false},       // no bias
      {1, 96, 1, true, true, 0},       // one row, one feature
      {40000, 70, 2, false, true, 0},  // chunks of groups of rows
  };
  for (const Training& t : cases) {
    SCOPED_TRACE(std::to_string(t.rows) + " rows, " + std::to_string(t.classes) + " classes");
    const std::vector<Array> want = t.run(DType::f64, true);
    expect_close(t.run(DType::f32, false), want, 3e-6);
    expect_close(t.run(DType::f64, false), want, 1e-13);
  }
}

TEST(LinearCrossEntropyPass, EqualBitsForAnyThreads) {
  for (const Training& t : {Training{600, 9000, 8}, Training{700, 130, 70}}) {
    std::vector<std::vector<Array>> results;
    const int before = num_threads();
    for (int threads : {1, 2, 4}) {
      set_num_threads(threads);
      results.push_back(t.run(DType::f32, false));
    }
    set_num_threads(before);
    for (size_t i = 1; i < results.size(); ++i)
      for (size_t k = 0; k < results[i].size(); ++k)
        EXPECT_EQ(std::memcmp(results[i][k].raw(), results[0][k].raw(),
                              static_cast<size_t>(results[0][k].nbytes())),
                  0)
            << "result " << k;
  }
}

// Rows that do not count leave no trace, whatever their logits are.
TEST(LinearCrossEntropyPass, LogitsOfIgnoredRowsMayOverflow) {
  const auto module = parse(R"(
func @main(%0: f32[70, 16], %1: f32[100, 16], %2: i64[70]) -> (%3#0, %3#2, %3#3) {
  %3 = linear_cross_entropy(%0, %1, %2) {gradients = true}
})");
  Array x = noisy({70, 16}, 0).cast(DType::f32), labels = labels_of(70, 100);
  const Array weight = noisy({100, 16}, 9).cast(DType::f32);
  const auto run = [&] {
    const std::vector<Array> in = {x, weight, labels};
    return Program(module, "main").plan(in)->run(in);
  };
  const auto want = run();
  // Those with label -100: their logits are infinite or NaN.
  for (int64_t r = 3; r < 70; r += 7) x.set_flat(r * 16, 3e38), x.set_flat(r * 16 + 1, -3e38);
  const auto got = run();
  EXPECT_EQ(got[0].get_flat(0), want[0].get_flat(0));
  for (int64_t i = 0; i < got[2].size(); ++i) ASSERT_TRUE(std::isfinite(got[2].get_flat(i))) << i;
}

TEST(LinearCrossEntropyPass, NamesLabelsOutOfRange) {
  const auto module = parse(R"(
func @main(%0: f32[70, 16], %1: f32[100, 16], %2: i64[70]) -> (%3#0) {
  %3 = linear_cross_entropy(%0, %1, %2)
})");
  std::vector<Array> in = {noisy({70, 16}, 0).cast(DType::f32), noisy({100, 16}, 9).cast(DType::f32),
                           labels_of(70, 100)};
  in[2].set_flat(66, 100);
  try {
    Program(module, "main").plan(in)->run(in);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("label 100 at position 66 is out of range for 100 classes"),
              std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace fovea::test
