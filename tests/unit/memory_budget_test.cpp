// Plans under a memory budget: they fit, give the same bits, and say what it costs; or name the least there
// is.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <regex>

#include "framework/base/error.h"
#include "frontends/cpp/fovea.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/train_step.h"
#include "optim/explain/explain.h"
#include "optim/explain/recompute.h"
#include "optim/lower/remat.h"

namespace fovea {
namespace {

// A chain of blocks whose intermediate values are all needed again: x + gelu(norm(x) w) v, with dropout.
std::vector<Tensor> blocks(const std::vector<Tensor>& in) {
  Tensor x = in[0];
  for (size_t i = 2; i + 1 < in.size(); i += 2)
    x = x + dropout(matmul(gelu(matmul(layer_norm(x), in[i])), in[i + 1]), in[1], 0.25);
  return {mean(x * x)};
}

struct Chain {
  std::shared_ptr<Module> module;
  std::vector<Array> in;
};

Chain chain(int layers, int64_t rows = 192, int64_t width = 32) {
  Chain c;
  auto noise = [](Dims shape, double scale, int64_t seed) {
    Array a(DType::f32, std::move(shape));
    for (int64_t i = 0; i < a.size(); ++i)
      a.set_flat(i, scale * std::sin(12.9898 * static_cast<double>(i + 1000 * seed)));
    return a;
  };
  c.in = {noise({rows, width}, 1, 0), Array::of(std::vector<int64_t>{3, 1}, {2})};
  std::vector<int64_t> wrt;
  for (int i = 0; i < layers; ++i) {
    c.in.push_back(noise({width, 4 * width}, 0.2, 2 * i + 1));
    c.in.push_back(noise({4 * width, width}, 0.2, 2 * i + 2));
    wrt.push_back(2 * i + 2);
    wrt.push_back(2 * i + 3);
  }
  std::vector<Spec> specs;
  for (const Array& a : c.in) specs.emplace_back(a.dtype(), to_shape(a.shape()));
  c.module = trace(value_and_grad(blocks, wrt), specs);
  return c;
}

// A budget that nothing has to be computed again for; norms stay apart from their sums as under any budget.
constexpr int64_t kAmple = int64_t{1} << 40;

CompileOptions with_budget(int64_t bytes) {
  CompileOptions options;
  options.memory_budget = bytes;
  return options;
}

void expect_same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].raw(), b[i].raw(), static_cast<size_t>(a[i].nbytes())), 0) << "result " << i;
}

TEST(MemoryBudget, IsMetWithTheSameBits) {
  const Chain c = chain(6);
  const auto free = Program(c.module, "main").plan(c.in);
  EXPECT_EQ(free->recomputed.launches, 0);
  const std::vector<Array> want = free->run(c.in);
  for (const double share : {0.9, 0.7, 0.5, 0.35}) {
    const int64_t budget = static_cast<int64_t>(share * static_cast<double>(free->arena_bytes));
    const auto plan = Program(c.module, "main", with_budget(budget)).plan(c.in);
    EXPECT_LE(static_cast<double>(plan->arena_bytes), 1.05 * static_cast<double>(budget)) << share;
    EXPECT_GT(plan->recomputed.launches, 0) << share;
    EXPECT_GT(plan->recomputed.flops, 0) << share;
    EXPECT_EQ(plan->recomputed.bytes, free->arena_bytes - plan->arena_bytes) << share;
    std::printf("budget %.2f: %zu launches, %lld again, %.2f FLOPs a byte\n", share, plan->steps.size(),
                static_cast<long long>(plan->recomputed.launches),
                static_cast<double>(plan->recomputed.flops) / static_cast<double>(plan->recomputed.bytes));
    expect_same_bits(plan->run(c.in), want);
    expect_same_bits(plan->run(c.in), want);
  }
}

TEST(MemoryBudget, ThatIsLargeEnoughChangesNothing) {
  const Chain c = chain(2);
  const auto free = Program(c.module, "main", with_budget(kAmple)).plan(c.in);
  const auto plan = Program(c.module, "main", with_budget(free->arena_bytes)).plan(c.in);
  EXPECT_EQ(plan->steps.size(), free->steps.size());
  EXPECT_EQ(plan->recomputed.launches, 0);
}

TEST(MemoryBudget, OutOfReachNamesTheLeast) {
  const Chain c = chain(4);
  int64_t least = 0;
  try {
    Program(c.module, "main", with_budget(64)).plan(c.in);
    FAIL() << "64 bytes were enough";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::ResourceExhausted);
    std::smatch found;
    const std::string text = e.message();
    ASSERT_TRUE(std::regex_search(text, found, std::regex("least that can be reached is ([0-9]+)"))) << text;
    least = std::stoll(found[1]);
  }
  const auto plan = Program(c.module, "main", with_budget(least)).plan(c.in);
  EXPECT_LE(static_cast<double>(plan->arena_bytes), 1.05 * static_cast<double>(least));
  EXPECT_THROW(Program(c.module, "main", with_budget(-1)).plan(c.in), Error);
}

TEST(MemoryBudget, ExplainSaysWhatItCosts) {
  const Chain c = chain(6);
  Program unlimited(c.module, "main", with_budget(kAmple));
  const auto free = unlimited.plan(c.in);
  Program program(c.module, "main", with_budget(free->arena_bytes / 2));
  const auto plan = program.plan(c.in);
  const RecomputeReport report = recompute_report(*plan);
  EXPECT_EQ(report.bytes_before, free->arena_bytes);
  EXPECT_EQ(report.bytes_after, plan->arena_bytes);
  // What is told as run again is what this plan runs more than the other.
  std::map<std::string, int> more;
  for (const PlanStep& step : plan->steps) ++more[step.op];
  for (const PlanStep& step : free->steps) --more[step.op];
  int launches = 0;
  for (const auto& [op, count] : report.ops) {
    EXPECT_EQ(count, more[op]) << op;
    launches += count;
  }
  EXPECT_EQ(launches, static_cast<int>(plan->steps.size() - free->steps.size()));
  EXPECT_EQ(report.launches, launches);
  EXPECT_DOUBLE_EQ(report.flops_per_byte() * static_cast<double>(free->arena_bytes - plan->arena_bytes),
                   static_cast<double>(report.flops));

  const std::string text = explain(program);
  EXPECT_NE(text.find("\nrecomputed: " + std::to_string(launches) + " launches run again ("),
            std::string::npos)
      << text;
  const auto list = nlohmann::json::parse(explain_json(program));
  ASSERT_FALSE(list.empty());
  const auto& record = list.back();
  EXPECT_EQ(record["verdict"], "recomputed");
  EXPECT_EQ(record["region"], "memory_budget");
  EXPECT_EQ(record["function"], "main");
  EXPECT_EQ(record["launches"], launches);
  EXPECT_EQ(record["bytes_before"], free->arena_bytes);
  EXPECT_EQ(record["bytes_after"], plan->arena_bytes);
  EXPECT_EQ(record["flops"], plan->recomputed.flops);
  EXPECT_GT(record["flops_per_byte"], 0);
  // Where nothing is computed again, nothing is said.
  EXPECT_EQ(explain(unlimited).find("recomputed"), std::string::npos);
  for (const auto& entry : nlohmann::json::parse(explain_json(unlimited)))
    EXPECT_NE(entry["verdict"], "recomputed");
}

// Two steps of each workload, sizes of a test, in three quarters of the memory.
TEST(MemoryBudget, TrainsTheWorkloads) {
  for (const std::string name : {"translator", "gpt-char", "bert-mini", "vit"}) {
    std::vector<std::vector<Array>> parameters;
    int64_t budget = 0;
    for (const bool limited : {false, true}) {
      const models::Workload w = models::make_workload(name, 0, models::WorkloadSize::tiny);
      const models::Batch b = w.make_batch(0);
      const std::vector<Array> batch = b.arrays();
      nn::TrainOptions options;
      options.optimizer = w.optimizer;
      options.compile.memory_budget = budget;
      nn::TrainStep step(*w.model, w.step_loss(), b.specs(), options);
      const auto plan = const_cast<Program&>(step.program()).plan(step.arguments(batch));
      if (limited) {
        EXPECT_LE(static_cast<double>(plan->arena_bytes), 1.05 * static_cast<double>(budget)) << name;
      }
      budget = plan->arena_bytes * 9 / 10;
      step(batch), step(batch);
      parameters.emplace_back();
      for (const auto& [state, array] : step.state()) parameters.back().push_back(array.copy());
    }
    expect_same_bits(parameters[0], parameters[1]);
  }
}

// a -> b -> c -> d, then d, c, b, a are read in turn: b and c can be made again.
TEST(Rematerialisation, ComputesFromWhatIsStillThere) {
  RematSchedule s;
  for (int i = 0; i < 4; ++i) s.values.push_back({100, false, -1});
  for (int i = 0; i < 8; ++i) s.launches.push_back({0, 10, 1, i < 4, {}});
  for (int i = 0; i < 4; ++i)
    s.steps.push_back({i, i ? std::vector<int32_t>{i - 1} : std::vector<int32_t>{}, {i}});
  for (int i = 0; i < 4; ++i) s.steps.push_back({4 + i, {3 - i}, {}});
  EXPECT_EQ(peak_of(s), 400);
  EXPECT_LE(fit_into(s, 300), 300);
  EXPECT_GT(s.steps.size(), 8u);
  // Every step still reads values that were written before it, of the same origin.
  std::vector<bool> written(s.values.size(), false);
  auto origin = [&](int32_t v) { return s.values[v].origin < 0 ? v : s.values[v].origin; };
  for (const RematStep& step : s.steps) {
    for (int32_t v : step.reads) EXPECT_TRUE(written[v]);
    for (int32_t v : step.writes) {
      written[v] = true;
      EXPECT_EQ(origin(v), step.launch);
    }
    if (step.launch >= 4) {
      EXPECT_EQ(origin(step.reads[0]), 7 - step.launch);
    } else if (step.launch > 0) {
      EXPECT_EQ(origin(step.reads[0]), step.launch - 1);
    }
  }
}

TEST(Rematerialisation, NeverRepeatsWhatMayNotRun) {
  RematSchedule s;
  for (int i = 0; i < 3; ++i) s.values.push_back({100, false, -1});
  for (int i = 0; i < 5; ++i) s.launches.push_back({0, 10, 1, false, {}});
  for (int i = 0; i < 3; ++i) s.steps.push_back({i, {}, {i}});
  s.steps.push_back({3, {2}, {}});
  s.steps.push_back({4, {0, 1}, {}});
  EXPECT_EQ(fit_into(s, 100), 300);
  EXPECT_EQ(s.steps.size(), 5u);
}

}  // namespace
}  // namespace fovea
