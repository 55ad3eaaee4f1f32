// `fovea onnx-test` on the tests that ONNX itself comes with, where libonnx-testdata has installed them.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace fovea {
namespace {

namespace fs = std::filesystem;

const std::string kProgram = FOVEA_BINARY_DIR "/fovea";
const fs::path kData = "/usr/share/libonnx-testdata/data";

struct Report {
  int passed = -1, failed = -1, skipped = -1;
  std::vector<std::string> failures, skips;  // lines
};

Report run(const fs::path& folder) {
  Report report;
  FILE* pipe = ::popen((kProgram + " onnx-test " + folder.string() + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return report;
  std::string text;
  std::array<char, 4096> part;
  for (size_t n; (n = std::fread(part.data(), 1, part.size(), pipe)) > 0;) text.append(part.data(), n);
  ::pclose(pipe);
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("FAIL")) report.failures.push_back(line);
    if (line.starts_with("skip")) report.skips.push_back(line);
    std::sscanf(line.c_str(), "%d passed, %d failed, %d skipped", &report.passed, &report.failed,
                &report.skipped);
  }
  return report;
}

// What a test may be left out for. Ops: of no use in networks of this kind, or of values that are no tensors.
// Types: those that Fovea does not have.
bool is_known(const std::string& skip) {
  static const std::vector<std::string> reasons{"elements of type uint16",
                                                "elements of type uint32",
                                                "elements of type uint64",
                                                "elements of type string",
                                                "is the type string",
                                                "is no dense tensor",
                                                "dropout in training",
                                                "ai.onnx.preview.training",
                                                "Bernoulli",
                                                "RandomUniformLike",
                                                "NonMaxSuppression",
                                                "TfIdfVectorizer",
                                                "StringNormalizer",
                                                "Sequence",
                                                "Optional",
                                                "Unique",
                                                "Loop",
                                                "Scan",
                                                "DFT",
                                                "STFT",
                                                "MelWeightMatrix",
                                                "Det",
                                                "RoiAlign"};
  for (const std::string& reason : reasons)
    if (skip.find(reason) != std::string::npos) return true;
  return false;
}

void expect_all(const std::string& folder, int least) {
  if (!fs::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
  if (!fs::exists(kData / folder))
    GTEST_SKIP() << (kData / folder) << " is not there: install libonnx-testdata";
  const Report report = run(kData / folder);
  EXPECT_GE(report.passed, least);
  EXPECT_EQ(report.failed, 0);
  for (const std::string& line : report.failures) ADD_FAILURE() << line;
  for (const std::string& line : report.skips) EXPECT_TRUE(is_known(line)) << line;
}

TEST(OnnxNodeTests, SingleOpsAndWhatTheyAreMadeOf) { expect_all("node", 820); }
TEST(OnnxNodeTests, SmallModels) { expect_all("simple", 7); }
TEST(OnnxNodeTests, OperatorsOfPyTorch) { expect_all("pytorch-operator", 35); }
TEST(OnnxNodeTests, LayersOfPyTorch) { expect_all("pytorch-converted", 82); }

}  // namespace
}  // namespace fovea
