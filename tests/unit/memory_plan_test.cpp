// The memory plan: no two blocks that live at one step overlap, and little is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "framework/base/error.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/train_step.h"
#include "optim/lower/memory.h"

namespace fovea {
namespace {

// The largest sum over all steps, by looking at each step on its own.
int64_t live_by_definition(const std::vector<Lifetime>& blocks) {
  int64_t most = 0;
  for (const Lifetime& at : blocks) {
    int64_t sum = 0;
    for (const Lifetime& b : blocks)
      if (b.first <= at.first && at.first <= b.last) sum += (b.bytes + 63) / 64 * 64;
    most = std::max(most, sum);
  }
  return most;
}

void expect_placed(const std::vector<Lifetime>& blocks, int64_t total) {
  for (const Lifetime& b : blocks) {
    EXPECT_EQ(b.offset % 64, 0);
    EXPECT_GE(b.offset, 0);
    EXPECT_LE(b.offset + b.bytes, total);
  }
  for (size_t i = 0; i < blocks.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const Lifetime &a = blocks[i], &b = blocks[j];
      const bool together = a.first <= b.last && b.first <= a.last && a.bytes > 0 && b.bytes > 0;
      ASSERT_TRUE(!together || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset)
          << "blocks " << i << " and " << j;
    }
}

std::vector<Lifetime> random_blocks(size_t count, int32_t steps, uint64_t seed) {
  std::mt19937_64 draw(seed);
  std::vector<Lifetime> blocks(count);
  for (Lifetime& b : blocks) {
    b.bytes = static_cast<int64_t>(draw() % 5 ? draw() % 5000 : draw() % 200000);
    b.first = static_cast<int32_t>(draw() % static_cast<uint64_t>(steps));
    b.last = std::min(steps - 1, b.first + static_cast<int32_t>(draw() % 7 ? draw() % 9 : draw() % 200));
  }
  return blocks;
}

TEST(MemoryPlan, RandomBlocksDoNotOverlap) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::vector<Lifetime> blocks = random_blocks(20 + seed * 10, 100, seed);
    const int64_t live = live_by_definition(blocks);
    EXPECT_EQ(largest_live_set(blocks), live);
    const int64_t total = plan_memory(blocks);
    EXPECT_GE(total, live);
    EXPECT_LE(static_cast<double>(total), 1.25 * static_cast<double>(live)) << "seed " << seed;
    expect_placed(blocks, total);
  }
}

// More blocks than are placed one by one.
TEST(MemoryPlan, ManyBlocksDoNotOverlap) {
  std::vector<Lifetime> blocks = random_blocks(6000, 3000, 7);
  const int64_t live = largest_live_set(blocks), total = plan_memory(blocks);
  EXPECT_GE(total, live);
  EXPECT_LE(static_cast<double>(total), 1.5 * static_cast<double>(live));
  expect_placed(blocks, total);
}

TEST(MemoryPlan, NoBlocksTakeNoMemory) {
  std::vector<Lifetime> none, empty(3);
  EXPECT_EQ(plan_memory(none), 0);
  EXPECT_EQ(plan_memory(empty), 0);
  EXPECT_EQ(largest_live_set(none), 0);
}

TEST(MemoryPlan, SumsThatDoNotFitAreAnError) {
  std::vector<Lifetime> blocks(3, {int64_t{1} << 62, 0, 1, 0});
  EXPECT_THROW(plan_memory(blocks), Error);
  EXPECT_THROW(largest_live_set(blocks), Error);
}

TEST(MemoryPlan, ArenasOfTheWorkloadsAreTight) {
  for (const std::string& name : models::workload_names()) {
    const models::Workload w = models::make_workload(name, 0);
    const models::Batch b = w.make_batch(0);
    const std::vector<Array> batch = b.arrays();
    nn::TrainOptions options;
    options.optimizer = w.optimizer;
    const nn::TrainStep step(*w.model, w.step_loss(), b.specs(), options);
    const auto plan = const_cast<Program&>(step.program()).plan(step.arguments(batch));
    std::printf("%-14s %4zu launches, arena %8.2f MiB, largest live set %8.2f MiB\n", name.c_str(),
                plan->steps.size(), static_cast<double>(plan->arena_bytes) / 1048576,
                static_cast<double>(plan->live_bytes) / 1048576);
    EXPECT_LE(static_cast<double>(plan->arena_bytes), 1.05 * static_cast<double>(plan->live_bytes)) << name;
  }
}

}  // namespace
}  // namespace fovea
