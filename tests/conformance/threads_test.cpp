// The number of threads never changes a result: equal bits with 1, 2, 4 and 8, for every op.
#include <gtest/gtest.h>

#include "framework/runtime/thread_pool.h"
#include "tests/support/op_case.h"

namespace fovea::test {
namespace {

class Threads : public testing::TestWithParam<const OpDecl*> {
 protected:
  void TearDown() override { set_num_threads(before_); }
  const int before_ = num_threads();
};

TEST_P(Threads, GiveEqualBits) {
  const OpDecl& op = *GetParam();
  if (is_structural(op)) return;
  std::mt19937 random(3);
  std::vector<OpCase> cases = sample_cases(op);
  // Large enough for several blocks in most kernels.
  for (const OpCase& sample : sample_cases(op))
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{300, 257}, {64, 40}, {24, 9}, {12, 5}})
      if (auto larger = resized(sample, sizes, random, 100'000)) {
        cases.push_back(*larger);
        break;
      }
  for (const OpCase& c : cases) {
    const auto x = operands(c, 11);
    const auto program = program_of(c, "cpu");
    std::vector<Array> first;
    for (int threads : {1, 2, 4, 8}) {
      set_num_threads(threads);
      try {
        const auto y = guarded_run(*program->plan(x), x);
        if (threads == 1) first = y;
        ASSERT_EQ(y.size(), first.size());
        for (size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(bit_difference(y[i], first[i]), "")
              << c.str() << ", result " << i << " with " << threads << " threads";
      } catch (const Error& e) {
        ASSERT_TRUE(first.empty()) << c.str() << " with " << threads << " threads: " << e.what();
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Threads, testing::ValuesIn(all_ops()), op_name);

}  // namespace
}  // namespace fovea::test
