// Ten training steps of every workload have equal bits for 1, 2 and 4 threads.
#include <gtest/gtest.h>

#include <cstring>

#include "framework/runtime/thread_pool.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/train_step.h"

using namespace fovea;

namespace {

std::vector<Array> parameters_after_ten_steps(const std::string& name, int threads) {
  set_num_threads(threads);
  models::Workload w = models::make_workload(name, 7);
  nn::TrainOptions options;
  options.optimizer = w.optimizer;
  const models::Batch batch = w.make_batch(0);
  nn::TrainStep step(*w.model, w.step_loss(), batch.specs(), options);
  for (int i = 0; i < 10; ++i) step(batch.arrays());
  std::vector<Array> out;
  for (const nn::NamedParameter& p : w.model->parameters()) out.push_back(p.parameter.value());
  return out;
}

class EveryWorkload : public testing::TestWithParam<std::string> {};

TEST_P(EveryWorkload, HasEqualBitsForEveryNumberOfThreads) {
  const std::vector<Array> one = parameters_after_ten_steps(GetParam(), 1);
  for (int threads : {2, 4}) {
    const std::vector<Array> more = parameters_after_ten_steps(GetParam(), threads);
    ASSERT_EQ(one.size(), more.size());
    for (size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(std::memcmp(one[i].raw(), more[i].raw(), static_cast<size_t>(one[i].nbytes())), 0)
          << "parameter " << i << ", " << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Workloads, EveryWorkload, testing::ValuesIn(models::workload_names()),
                         [](const auto& of) {
                           std::string name = of.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
