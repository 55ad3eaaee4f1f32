// fovea bench --profile and FOVEA_VERBOSE=dispatch, as a user runs them.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/run_program.h"

namespace fovea {
namespace {

using Json = nlohmann::json;
const std::string kProgram = FOVEA_BINARY_DIR "/fovea";

TEST(Profile, TraceTableAndPeak) {
  if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
  const TemporaryFolder folder;
  const RunResult r = run_command(
      kProgram + " bench resnet20 --steps 1 --threads 2 --json --profile " + (folder / "trace.json"), folder);
  ASSERT_EQ(r.status, 0) << r.err;

  const Json line = Json::parse(r.out);
  EXPECT_GT(line["peak_gflops"], 1.0);
  EXPECT_LT(line["peak_gflops"], 2 * 500.0);  // two threads: no core does 500 GFLOP/s in f32
  EXPECT_GT(line["read_gbs"], 0.5);
  // Multiply-adds of one image of 28 x 28 x 1, stage by stage: channels x channels x window x places.
  const double stage1 = 28 * 28 * (16 * 9 + 6 * 16 * 16 * 9),
               stage2 = 14 * 14 * (16 * 32 * 9 + 5 * 32 * 32 * 9 + 16 * 32),
               stage3 = 7 * 7 * (32 * 64 * 9 + 5 * 64 * 64 * 9 + 32 * 64), last_layer = 64 * 10;
  const double flops = 3 * 2 * 64 * (stage1 + stage2 + stage3 + last_layer);  // 64 images, forward and back
  const double needed_ms = flops / (line["peak_gflops"].get<double>() * 1e6);
  EXPECT_NEAR(line["peak_fraction"].get<double>() * line["step_ms"]["min"].get<double>(), needed_ms,
              0.005 * needed_ms);

  const Json trace = Json::parse(contents_of(folder / "trace.json"));
  std::map<std::string, int> ops;
  double end = -1;
  int with_work = 0;
  for (const Json& e : trace["traceEvents"]) {
    if (e["ph"] != "X") continue;
    ++ops[e["args"]["op"]];
    for (const char* key : {"kernel", "source", "shapes", "flops", "bytes"})
      EXPECT_TRUE(e["args"].contains(key)) << e.dump();
    EXPECT_GE(e["ts"].get<double>(), end);  // one after the other: no loops in this model
    EXPECT_GE(e["dur"].get<double>(), 0);
    end = e["ts"].get<double>() + e["dur"].get<double>() - 1e-3;
    if (e["args"]["op"] == "conv2d" && e["args"]["flops"] > 0) ++with_work;
  }
  EXPECT_GE(ops["conv2d"], 19);
  EXPECT_GE(with_work, 19);

  EXPECT_NE(r.err.find("GFLOP/s"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("total in"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("conv2d"), std::string::npos) << r.err;
}

TEST(Profile, BenchSaysWhatAMemoryBudgetCosts) {
  if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
  const TemporaryFolder folder;
  const RunResult r =
      run_command(kProgram + " bench resnet20 --steps 1 --threads 2 --json --memory-budget 40", folder);
  ASSERT_EQ(r.status, 0) << r.err;
  const Json again = Json::parse(r.out)["recomputed"];
  EXPECT_GT(again["launches"], 0);
  EXPECT_LE(again["bytes_after"], 1.05 * 40 * (1 << 20));
  EXPECT_GT(again["bytes_before"], again["bytes_after"]);
  EXPECT_NEAR(again["flops_per_byte"].get<double>() *
                  (again["bytes_before"].get<double>() - again["bytes_after"].get<double>()),
              again["flops"].get<double>(), 1e-6 * again["flops"].get<double>());
  const RunResult least = run_command(kProgram + " bench resnet20 --steps 1 --memory-budget 0.001", folder);
  EXPECT_EQ(least.status, 1);
  EXPECT_NE(least.err.find("the least that can be reached is"), std::string::npos) << least.err;
}

TEST(Profile, DispatchSaysWhatWasPassedOver) {
  if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
  const TemporaryFolder folder;
  const RunResult r =
      run_command("FOVEA_VERBOSE=dispatch " + kProgram + " bench resnet20 --steps 1 --json", folder);
  ASSERT_EQ(r.status, 0);
  EXPECT_NE(r.err.find("conv2d f32["), std::string::npos) << r.err.substr(0, 500);
  EXPECT_NE(r.err.find(": kernel onednn"), std::string::npos) << r.err.substr(0, 500);
  EXPECT_EQ(run_command(kProgram + " bench resnet20 --steps 1 --json", folder).err, "");
}

}  // namespace
}  // namespace fovea
