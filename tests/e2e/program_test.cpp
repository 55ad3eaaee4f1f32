// The fovea program as its users run it: tiny inputs, exit codes, what goes to which stream, and a run that
// is killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "framework/base/version.h"
#include "frontends/import/safetensors.h"
#include "frontends/nn/checkpoint.h"
#include "frontends/nn/model.h"
#include "tests/support/run_program.h"

extern char** environ;

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kProgram = FOVEA_BINARY_DIR "/fovea";

struct Result : RunResult {
  Json json() const { return Json::parse(out); }
};

class Program : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
    ::setenv("FOVEA_MODULE_PATH", FOVEA_BINARY_DIR, 0);
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  pid_t start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), kProgram);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, path("stdout").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&files, 2, path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t pid = -1;
    EXPECT_EQ(::posix_spawn(&pid, kProgram.c_str(), &files, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&files);
    return pid;
  }
  Result finish(pid_t pid) const {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents_of(folder_ / "stdout"),
            contents_of(folder_ / "stderr")};
  }
  Result run(std::vector<std::string> arguments) const { return finish(start(std::move(arguments))); }

  /// The run must fail with this code, say `text` on standard error, and nothing on standard output.
  void fails(std::vector<std::string> arguments, int code, const std::string& text) const {
    std::string line;
    for (const std::string& a : arguments) line += " " + a;
    const Result r = run(std::move(arguments));
    EXPECT_EQ(r.status, code) << "fovea" << line << "\n" << r.err;
    EXPECT_NE(r.err.find(text), std::string::npos) << "fovea" << line << " said:\n" << r.err;
    EXPECT_EQ(r.out, "") << "fovea" << line;
  }

  // IDX files of 8x8 images whose class is the brighter half: 0 the upper one, 1 the lower one.
  std::string images(int count = 96) const {
    const fs::path data = folder_ / "images";
    fs::create_directories(data);
    auto number = [](int n) {
      return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                         static_cast<char>(n)};
    };
    for (const char* part : {"train", "t10k"}) {
      std::string pixels = std::string("\0\0\x08\x03", 4) + number(count) + number(8) + number(8),
                  labels = std::string("\0\0\x08\x01", 4) + number(count);
      unsigned state = part[0];
      for (int i = 0; i < count; ++i) {
        const int label = i % 2;
        labels += static_cast<char>(label);
        for (int p = 0; p < 64; ++p) {
          state = state * 1664525 + 1013904223;
          pixels += static_cast<char>((state >> 24) / 2 + ((p >= 32) == (label == 1) ? 128 : 0));
        }
      }
      std::ofstream(data / (std::string(part) + "-images-idx3-ubyte"), std::ios::binary) << pixels;
      std::ofstream(data / (std::string(part) + "-labels-idx1-ubyte"), std::ios::binary) << labels;
    }
    return data.string();
  }

  std::string text_file(int lines = 400) const {
    std::ofstream out(path("text.txt"));
    const char* words[] = {"the", "cat", "dog", "sees", "hears", "a", "small", "old", "house", "tree"};
    unsigned state = 7;
    for (int i = 0; i < lines; ++i) {
      for (int w = 0; w < 8; ++w) {
        state = state * 1664525 + 1013904223;
        out << (w ? " " : "") << words[(state >> 24) % 10];
      }
      out << ".\n";
    }
    return path("text.txt");
  }

  // A small ResNet's training, to which a test adds the rest.
  std::vector<std::string> resnet(std::vector<std::string> more) const {
    std::vector<std::string> all{"train",       "resnet20", "--data", images(),  "--classes",
                                 "upper,lower", "--width",  "4",      "--units", "1",
                                 "--batch",     "16",       "--lr",   "0.05"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  const TemporaryFolder folder_;
};

TEST_F(Program, VersionIsOneLine) {
  for (const char* flag : {"--version", "-V"}) {
    const Result r = run({flag});
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.out, std::string("fovea ") + kVersion + "\n");
    EXPECT_EQ(r.err, "");
  }
}

TEST_F(Program, EverySubcommandExplainsItself) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"train"},
                                             {"train", "vit"},
                                             {"train", "resnet20"},
                                             {"train", "gpt"},
                                             {"train", "bert"},
                                             {"train", "translator"},
                                             {"train", "gru-translator"},
                                             {"translate"},
                                             {"evaluate"},
                                             {"inspect"},
                                             {"graph"},
                                             {"ops"},
                                             {"bench"}}) {
    std::vector<std::string> line = words;
    line.emplace_back("--help");
    const Result r = run(line);
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_NE(r.out.find("Usage:"), std::string::npos) << r.out;
    const bool leaf = words.size() == 2 || (words.size() == 1 && words[0] != "train");
    if (leaf) {
      EXPECT_NE(r.out.find("  fovea " + words[0]), std::string::npos) << "no example in:\n" << r.out;
    }
  }
}

TEST_F(Program, WrongUsageIsExitCodeTwo) {
  fails({}, 2, "subcommand is required");
  fails({"nonsense"}, 2, "nonsense");
  fails({"train"}, 2, "subcommand is required");
  fails({"train", "nonsense"}, 2, "nonsense");
  fails({"train", "vit", "--steps", "0"}, 2, "--steps: '0' is no number above 0");
  fails({"train", "vit", "--steps", "many"}, 2, "--steps: 'many' is no number above 0");
  fails({"train", "vit", "--checkpoint-steps", "-1"}, 2,
        "--checkpoint-steps: '-1' is no number of at least 0");
  fails({"train", "resnet20", "--resume"}, 2, "--resume requires --out");
  fails({"train", "gpt"}, 2, "--text is required");
  fails({"train", "bert", "--text", "x", "--mask", "2"}, 2, "--mask");
  fails({"inspect"}, 2, "file is required");
  fails({"ops", "softmax", "--markdown", "pages"}, 2, "excludes");
}

TEST_F(Program, FailuresAreExitCodeOneWithOneMessage) {
  fails({"inspect", path("none.fovea")}, 1, "fovea: IO: ");
  fails({"graph", path("none.fovea")}, 1, "none.fovea");
  fails({"ops", "soft_max"}, 1, "softmax");
  fails({"train", "vit", "--data", path("nowhere")}, 1, "install the Debian package dataset-fashion-mnist");
  fails({"train", "gpt", "--text", path("nowhere")}, 1, "nowhere");
  std::ofstream(path("empty")).close();
  fails({"train", "gpt", "--text", path("empty")}, 1, "is empty");
  std::ofstream(path("latin")) << "caf\xe9";
  fails({"train", "gpt", "--text", path("latin")}, 1, "byte 3 is not UTF-8");
  std::ofstream(path("short")) << "only a few words";
  fails({"train", "gpt", "--text", path("short")}, 1, "16 tokens, 15 to train on and 1 to validate");
  fails({"inspect", path("latin")}, 1, "Corrupt");
}

TEST_F(Program, OpsListsAndExplains) {
  const Result all = run({"ops"});
  EXPECT_EQ(all.status, 0);
  for (const char* name : {"\nsoftmax ", "\nmatmul ", "\nconv2d "})
    EXPECT_NE(all.out.find(name), std::string::npos) << name;
  const Json softmax = run({"ops", "softmax", "--json"}).json();
  EXPECT_EQ(softmax["kind"], "composite");
  EXPECT_EQ(softmax["attributes"][0]["name"], "axis");
  EXPECT_EQ(softmax["attributes"][0]["default"], "-1");
  EXPECT_EQ(softmax["inputs"][0]["types"], "floating");
  EXPECT_EQ(run({"ops", "matmul", "--json"}).json()["kind"], "core");
  EXPECT_NE(run({"ops", "softmax"}).out.find("x f32[2, 5] -> f32[2, 5]"), std::string::npos);

  ASSERT_EQ(run({"ops", "--markdown", path("pages")}).status, 0);
  const size_t count = run({"ops", "--json"}).json().size();
  EXPECT_EQ(static_cast<size_t>(std::distance(fs::directory_iterator(path("pages")), {})), count + 1);
  EXPECT_EQ(contents_of(path("pages") + "/softmax.md").rfind("# softmax\n", 0), 0u);
  EXPECT_NE(contents_of(path("pages") + "/README.md").find("[softmax](softmax.md)"), std::string::npos);
}

TEST_F(Program, TrainsResNetIntoAFileThatPredicts) {
  const Result r = run(resnet({"--epochs", "4", "--out", path("run")}));
  ASSERT_EQ(r.status, 0) << r.err;
  const Json line = r.json();
  EXPECT_EQ(line["steps"], 24);
  EXPECT_EQ(line["epochs"], 4.0);
  EXPECT_GT(line["test_accuracy"], 0.9);  // the brighter half is easy to see
  EXPECT_GT(line["images_per_s"], 0);

  // The graph alone runs, too, on made-up images.
  const Result made_up = run({"run", path("run") + "/model.fovea", "--shape", "images=3,1,8,8"});
  EXPECT_EQ(made_up.status, 0) << made_up.err;
  EXPECT_NE(made_up.out.find("f32[3, "), std::string::npos) << made_up.out;
  fails({"run", path("run") + "/model.fovea"}, 1, "--shape images=");
  fails({"run", path("run") + "/model.fovea", "--shape", "images=3,8,8"}, 1, "has 4 axes");
  const Model model = Model::load(path("run") + "/model.fovea");
  EXPECT_EQ(Json::parse(model.metadata().at("classes")), Json({"upper", "lower"}));
  const Array logits = model.predict(Array::zeros(DType::f32, {3, 1, 8, 8}));
  EXPECT_EQ(logits.shape(), (Dims{3, 2}));
  fails(resnet({"--epochs", "4", "--out", path("run")}), 1, "holds a run already");
  fails(resnet({"--epochs", "5", "--out", path("run"), "--resume"}), 1, "epochs was 4 and is 5 now");
  // Going on with a run that is done changes nothing.
  const std::string before = contents_of(path("run") + "/model.fovea");
  EXPECT_EQ(run(resnet({"--epochs", "4", "--out", path("run"), "--resume"})).json()["test_accuracy"],
            line["test_accuracy"]);
  EXPECT_EQ(contents_of(path("run") + "/model.fovea"), before);
}

TEST_F(Program, TrainsVit) {
  const Result r = run({"train", "vit", "--data", images(), "--classes", "upper,lower", "--dim", "16",
                        "--heads", "2", "--layers", "1", "--batch", "16", "--epochs", "6", "--lr", "0.005"});
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_GT(r.json()["test_accuracy"], 0.9);
  fails({"train", "vit", "--data", images(), "--classes", "only", "--steps", "1"}, 1,
        "label 1 is 1, but there are 1 classes");
  fails({"train", "vit", "--data", images(), "--patch", "3", "--steps", "1"}, 1,
        "side 8 is not a multiple of the patch 3");
}

TEST_F(Program, AKilledRunGoesOnToTheSameBits) {
  const std::vector<std::string> bounds{"--steps", "300", "--seed", "5", "--checkpoint-steps", "1"};
  auto command = [&](const std::string& out, bool resume) {
    std::vector<std::string> more = bounds;
    more.insert(more.end(), {"--out", path(out)});
    if (resume) more.emplace_back("--resume");
    return resnet(more);
  };
  ASSERT_EQ(run(command("whole", false)).status, 0);
  const pid_t pid = start(command("killed", false));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(path("killed") + "/checkpoint.fovea") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  ::kill(pid, SIGKILL);
  ASSERT_EQ(finish(pid).status, 128 + SIGKILL) << "the run ended before it could be killed";
  EXPECT_FALSE(fs::exists(path("killed") + "/model.fovea"));
  EXPECT_LT(nn::load_checkpoint(path("killed") + "/checkpoint.fovea").items, 300 * 16);
  const Result resumed = run(command("killed", true));
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(resumed.json()["steps"], 300);
  EXPECT_EQ(contents_of(path("killed") + "/model.fovea"), contents_of(path("whole") + "/model.fovea"));
}

TEST_F(Program, ASignalSavesAndSaysSo) {
  const pid_t pid = start(resnet({"--minutes", "5", "--out", path("run"), "--checkpoint-steps", "1"}));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(path("run") + "/checkpoint.fovea") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  ::kill(pid, SIGTERM);
  const Result r = finish(pid);
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.err.find("Cancelled: SIGTERM ended the run at step "), std::string::npos) << r.err;
  EXPECT_EQ(r.out, "");
  EXPECT_TRUE(fs::exists(path("run") + "/model.fovea"));
}

TEST_F(Program, TrainsGptByCharacters) {
  const Result r =
      run({"train",    "gpt",  "--text",   text_file(), "--dim",    "32", "--heads", "2",
           "--layers", "1",    "--length", "24",        "--batch",  "16", "--steps", "150",
           "--lr",     "0.01", "--prompt", "the ",      "--sample", "12", "--out",   path("run")});
  ASSERT_EQ(r.status, 0) << r.err;
  const Json line = r.json();
  // Ten words of 19 characters: guessing evenly costs ln 19 = 2.94, words by heart well below half of it.
  EXPECT_LT(line["valid_loss"], 1.5);
  EXPECT_NEAR(line["perplexity"], std::exp(line["valid_loss"].get<double>()), 0.01);
  EXPECT_FALSE(line.contains("recomputed"));
  // Under a memory budget the same training says what it computes again.
  const Result limited =
      run({"train",    "gpt", "--text",          text_file(), "--dim",   "32", "--heads", "2",
           "--layers", "1",   "--length",        "24",        "--batch", "16", "--steps", "2",
           "--sample", "0",   "--memory-budget", "0.7"});
  ASSERT_EQ(limited.status, 0) << limited.err;
  const Json again = limited.json()["recomputed"];
  EXPECT_GT(again["launches"], 0);
  EXPECT_LE(again["bytes_after"], 1.05 * 0.7 * (1 << 20));
  EXPECT_GT(again["bytes_before"], 0.7 * (1 << 20));
  EXPECT_EQ(line["sample"].get<std::string>().rfind("the ", 0), 0u);
  EXPECT_EQ(line["sample"].get<std::string>().size(), 4u + 12u);
  fails({"train", "gpt", "--text", text_file(), "--dim", "32", "--heads", "2", "--layers", "1", "--length",
         "24", "--steps", "1", "--prompt", "\xc3\xa9"},
        1, "is none of the");

  const Json inside = run({"inspect", path("run") + "/model.fovea", "--json"}).json();
  std::vector<std::string> names;
  for (const Json& f : inside["functions"]) names.push_back(f["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"decode_step", "predict"}));
  EXPECT_EQ(inside["functions"][1]["inputs"][0]["type"], "i32[B, L]");
  EXPECT_EQ(inside["totals"]["parameters"], line["parameters"]);
  EXPECT_TRUE(inside["metadata"].contains("fovea.characters"));
  const std::string shown = run({"inspect", path("run") + "/model.fovea"}).out;
  EXPECT_NE(shown.find("predict(ids i32[B, L])"), std::string::npos) << shown;
  EXPECT_NE(shown.find("param/tok.weight"), std::string::npos);

  const std::string graph = run({"graph", path("run") + "/model.fovea", "--function", "predict"}).out;
  EXPECT_EQ(graph.rfind("func @predict(", 0), 0u) << graph.substr(0, 80);
  EXPECT_NE(run({"graph", path("run") + "/model.fovea"}).out.find("func @decode_step("), std::string::npos);
  fails({"graph", path("run") + "/model.fovea", "--function", "none"}, 1, "decode_step");
  const std::string bytes = contents_of(path("run") + "/model.fovea");
  std::ofstream(path("cut.fovea"), std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  fails({"inspect", path("cut.fovea")}, 1, "Corrupt");
  fails({"graph", path("cut.fovea")}, 1, "Corrupt");
}

TEST_F(Program, TrainsBert) {
  const std::vector<std::string> command{
      "train",    "bert", "--text",   text_file(), "--vocab", "30", "--dim", "32",    "--heads", "2",
      "--layers", "1",    "--length", "16",        "--batch", "16", "--lr",  "0.005", "--steps", "100"};
  const Result r = run(command);
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.json()["vocab"], 31);
  EXPECT_LT(r.json()["valid_loss"], 3.0);  // an even guess among 31 costs 3.43
  EXPECT_EQ(run(command).json()["valid_loss"], r.json()["valid_loss"]);
}

TEST_F(Program, InspectsSafetensors) {
  save_safetensors(path("w.safetensors"),
                   {{"a", Array::zeros(DType::f32, {2, 3})}, {"b", Array::zeros(DType::i64, {4})}},
                   {{"made by", "a test"}});
  const Json j = run({"inspect", path("w.safetensors"), "--json"}).json();
  EXPECT_EQ(j["totals"]["elements"], 10);
  EXPECT_EQ(j["totals"]["bytes"], 56);
  EXPECT_EQ(j["metadata"]["made by"]["text"], "a test");
  EXPECT_NE(run({"inspect", path("w.safetensors")}).out.find("[2, 3]"), std::string::npos);
  std::ofstream(path("w.safetensors"), std::ios::binary | std::ios::trunc) << "12345678{";
  fails({"inspect", path("w.safetensors")}, 1, "Corrupt");
}

TEST_F(Program, FashionMnistTrains) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"))
    GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  const Result r = run({"train", "resnet20", "--steps", "3"});
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.json()["steps"], 3);
  EXPECT_EQ(r.json()["parameters"], 272186);
}

}  // namespace
}  // namespace fovea
