// ONNX models through the fovea program: official test folders, saved attention forms, and single runs.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "frontends/import/npy.h"
#include "tests/support/onnx_writer.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using namespace test;  // NOLINT: the writer's vocabulary

const std::string kProgram = FOVEA_BINARY_DIR "/fovea";

struct Result {
  int status = -1;
  std::string out, err;
};

class OnnxProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
    folder_ = fs::path(testing::TempDir()) / ("fovea_onnx_program_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string contents(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  Result run(const std::string& arguments) const {
    const std::string command = kProgram + " " + arguments + " >" + path("out") + " 2>" + path("err");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents(path("out")),
            contents(path("err"))};
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& bytes) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  // The numbers of "N passed, N failed, N skipped" in the last line.
  static std::vector<int> counts(const std::string& out) {
    const std::string last = out.substr(out.rfind('\n', out.size() - 2) + 1);
    std::vector<int> n(3, -1);
    EXPECT_EQ(std::sscanf(last.c_str(), "%d passed, %d failed, %d skipped", &n[0], &n[1], &n[2]), 3) << last;
    return n;
  }

  fs::path folder_;
};

Message square() {  // y = x * x
  return model(graph({node("Mul", {"x", "x"}, {"y"}, {}, "square")}, {}, {value("x", kFloat, {"n"})},
                     {value("y", kFloat, {"n"})}));
}

TEST_F(OnnxProgram, RunsAndWritesResults) {
  write("square.onnx", square().bytes());
  save_npy(path("x.npy"), Array::of<float>({1, 2, 3}, {3}));
  const Result r =
      run("run " + path("square.onnx") + " --input x=" + path("x.npy") + " --output " + path("results"));
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(load_npy(path("results/y.npy")).to_vector<float>(), (std::vector<float>{1, 4, 9}));
  const Result open = run("run " + path("square.onnx"));
  EXPECT_EQ(open.status, 1);
  EXPECT_NE(open.err.find("--shape x="), std::string::npos) << open.err;
  EXPECT_EQ(run("run " + path("square.onnx") + " --shape x=2").status, 0);
  const Result wrong = run("run " + path("square.onnx") + " --input z=" + path("x.npy"));
  EXPECT_NE(wrong.err.find("no input is named 'z'"), std::string::npos) << wrong.err;
}

TEST_F(OnnxProgram, BenchAndGraphReadModels) {
  write("square.onnx", square().bytes());
  const Result bench = run("bench " + path("square.onnx") + " --shape x=100 --steps 3 --json");
  EXPECT_EQ(bench.status, 0) << bench.err;
  const auto json = nlohmann::json::parse(bench.out);
  EXPECT_GT(json["ms"]["median"].get<double>(), 0);
  EXPECT_LE(json["ms"]["min"].get<double>(), json["ms"]["median"].get<double>());
  const Result graph = run("graph " + path("square.onnx"));
  EXPECT_NE(graph.out.find("mul("), std::string::npos) << graph.out;
  EXPECT_NE(graph.out.find("square"), std::string::npos) << graph.out;
}

// A folder that passes, one that fails in its output, one in its gradient, and one that is skipped.
TEST_F(OnnxProgram, TestFoldersAreJudged) {
  const auto folder = [&](const std::string& name, const Message& m, float output, float gradient) {
    write("tests/" + name + "/model.onnx", m.bytes());
    write("tests/" + name + "/test_data_set_0/input_0.pb", floats("x", {1}, {3}).bytes());
    write("tests/" + name + "/test_data_set_0/output_0.pb", floats("y", {1}, {output}).bytes());
    write("tests/" + name + "/test_data_set_0/gradient_0.pb", floats("x", {1}, {gradient}).bytes());
  };
  folder("a_good", square(), 9, 4 * 27);  // d(x^4)/dx
  folder("b_output", square(), 9.1f, 4 * 27);
  folder("c_gradient", square(), 9, 4 * 27 + 0.5f);
  folder("d_unknown",
         model(graph({node("Frobnicate", {"x"}, {"y"})}, {}, {value("x", kFloat, {"n"})},
                     {value("y", kFloat, {"n"})})),
         9, 1);
  const Result plain = run("onnx-test " + path("tests"));
  EXPECT_EQ(plain.status, 1);
  EXPECT_EQ(counts(plain.out), (std::vector<int>{2, 1, 1})) << plain.out;
  EXPECT_NE(plain.out.find("FAIL  b_output: output 0: element 0 is 9, expected 9.1"), std::string::npos)
      << plain.out;
  EXPECT_NE(plain.out.find("skip  d_unknown: Unsupported"), std::string::npos) << plain.out;
  const Result both = run("onnx-test --gradients " + path("tests/a_good") + " " + path("tests/c_gradient"));
  EXPECT_EQ(counts(both.out), (std::vector<int>{1, 1, 0})) << both.out;
  EXPECT_NE(both.out.find("FAIL  c_gradient: gradient 0"), std::string::npos) << both.out;
  EXPECT_EQ(run("onnx-test " + path("tests/a_good")).status, 0);
}

TEST_F(OnnxProgram, AttentionFormsAndTheirGradientsAreRight) {
  const std::string forms = FOVEA_SOURCE_DIR "/../shared/forms";
  if (!fs::exists(forms)) GTEST_SKIP() << forms << " is not there";
  const Result r = run("onnx-test --quiet --gradients " + forms);
  EXPECT_EQ(r.status, 0) << r.out << r.err;
  EXPECT_EQ(counts(r.out), (std::vector<int>{59, 0, 0})) << r.out;
}

TEST_F(OnnxProgram, OfficialNodeTestsPass) {
  const std::string nodes = "/usr/share/libonnx-testdata/data/node";
  if (!fs::exists(nodes)) GTEST_SKIP() << nodes << " is not there: install libonnx-testdata";
  const Result r = run("onnx-test --quiet " + nodes);
  const std::vector<int> n = counts(r.out);
  EXPECT_GE(n[0], 745) << r.out;
  EXPECT_EQ(n[1], 0) << r.out;
}

}  // namespace
}  // namespace fovea
