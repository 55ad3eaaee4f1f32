// fovea fuzz as its users run it: a few cases, the counts it prints, the seed of a case.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace fovea {
namespace {

const std::string kProgram = FOVEA_BINARY_DIR "/fovea";

struct Result {
  int status = -1;
  std::string out;
};
Result run(const std::string& arguments) {
  Result result;
  FILE* pipe = ::popen((kProgram + " fuzz " + arguments + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.out.append(buffer, n);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class Fuzz : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
  }
};

TEST_F(Fuzz, AFewCasesAgree) {
  const Result r = run("--graphs 300 --mutants 300 --seed 77");
  EXPECT_EQ(r.status, 0) << r.out;
  for (const char* part : {"seed 77\n", "300 graphs in ", "300 spellings of attention in ",
                           "common_subexpression", "0 mismatches\n"})
    EXPECT_TRUE(has(r.out, part)) << part << "\n" << r.out;
}

// A rule that no case reaches is either dead or not tested.
TEST_F(Fuzz, EveryRuleOfEveryPassFires) {
  const Result r = run("--graphs 6000 --mutants 1500 --seed 6005");
  EXPECT_TRUE(has(r.out, " rules fired, 0 never did\n")) << r.out;
}

// Cases do not depend on one another, nor on the threads they run on.
TEST_F(Fuzz, IsTheSameForTheSameSeed) {
  const auto counts = [](const Result& r) { return r.out.substr(r.out.find("  ")); };
  const Result a = run("--graphs 60 --mutants 0 --seed 5 --threads 1"),
               b = run("--graphs 60 --mutants 0 --seed 5 --threads 2");
  EXPECT_EQ(a.status, 0) << a.out;
  EXPECT_EQ(counts(a), counts(b));
}

TEST_F(Fuzz, WrongOptionsAreRefused) {
  EXPECT_EQ(run("--graphs -1").status, 1);
  EXPECT_EQ(run("--threads 5000").status, 1);
  EXPECT_EQ(run("--seed x").status, 2);
}

}  // namespace
}  // namespace fovea
