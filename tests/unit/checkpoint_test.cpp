// Checkpoints: every bit comes back, and a save that fails or is killed leaves the old file.
#include "frontends/nn/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/base/file_faults.h"
#include "graph/serial/model_file.h"
#include "tests/support/folder_fixture.h"

namespace fovea::nn {
namespace {

namespace fs = std::filesystem;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class CheckpointTest : public FolderTest {
 protected:
  const std::string path_ = path("run.fovea");
};

// The checkpoint of step `step`; all of its numbers follow from it.
Checkpoint at_step(int64_t step) {
  Checkpoint c;
  std::vector<float> weights(1000);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = std::sin(static_cast<float>(step) + static_cast<float>(i));
  weights[3] = std::numeric_limits<float>::denorm_min();
  weights[4] = -0.0f;
  c.state["param/w"] = Array::of(weights, {10, 100});
  c.state["buffer/n"] = Array::of(std::vector<int64_t>{step, -1}, {2});
  c.state["step"] = Array::of(std::vector<int64_t>{step, 0}, {2});
  c.position = {.seed = -5, .epoch = step / 10, .batch = step % 10};
  c.seed = 0xFFFFFFFFFFFFFFFFull;
  c.schedule = "{\"kind\":\"constant\",\"lr\":0.1}";
  c.seconds = 0.1 * static_cast<double>(step);
  c.items = step * 32;
  c.running = {1.0 / 3, -0.0, kNaN, 5e-324};
  c.validated_at = step - 1;
  c.validation = {{"val_loss", 1.0 / 7}};
  c.history.push_back({1, 10, 0.3, {{"loss", 0.1}, {"accuracy", kNaN}, {"perplexity", kInf}, {"x", -kInf}}});
  c.metadata["tokenizer"] = std::string("\0\xff bytes", 8);
  return c;
}

void expect_same(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.state.size(), b.state.size());
  for (const auto& [name, array] : a.state) {
    ASSERT_TRUE(b.state.contains(name)) << name;
    const Array& other = b.state.at(name);
    ASSERT_EQ(array.dtype(), other.dtype());
    ASSERT_EQ(array.shape(), other.shape());
    EXPECT_EQ(std::memcmp(array.raw(), other.raw(), static_cast<size_t>(array.nbytes())), 0) << name;
  }
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.schedule, b.schedule);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.items, b.items);
  EXPECT_EQ(a.validated_at, b.validated_at);
  EXPECT_EQ(a.metadata, b.metadata);
  auto same_bits = [](double x, double y) {
    return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y) || (std::isnan(x) && std::isnan(y));
  };
  ASSERT_EQ(a.running.size(), b.running.size());
  for (size_t i = 0; i < a.running.size(); ++i) EXPECT_TRUE(same_bits(a.running[i], b.running[i])) << i;
  ASSERT_EQ(a.history.size(), b.history.size());
  for (size_t i = 0; i < a.history.size(); ++i) {
    EXPECT_EQ(a.history[i].epoch, b.history[i].epoch);
    EXPECT_EQ(a.history[i].step, b.history[i].step);
    ASSERT_EQ(a.history[i].values.size(), b.history[i].values.size());
    for (size_t k = 0; k < a.history[i].values.size(); ++k) {
      EXPECT_EQ(a.history[i].values[k].name, b.history[i].values[k].name);
      EXPECT_TRUE(same_bits(a.history[i].values[k].value, b.history[i].values[k].value)) << k;
    }
  }
}

ErrorKind kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::Cancelled;
}

TEST_F(CheckpointTest, EveryNumberComesBackWithItsBits) {
  save_checkpoint(path_, at_step(17));
  expect_same(load_checkpoint(path_), at_step(17));
}

TEST_F(CheckpointTest, ASaveThatFailsAnywhereLeavesTheOldOne) {
  int failures = 0;
  for (FileStep step : {FileStep::open, FileStep::write, FileStep::fsync, FileStep::rename})
    for (int error : {EIO, ENOSPC}) {
      bool failed = true;
      for (int64_t k = 1; failed; ++k) {
        ASSERT_LT(k, 100) << "the save never works";
        save_checkpoint(path_, at_step(1));
        file_faults().reset();
        file_faults().arm(step, k, error);
        failed = false;
        try {
          save_checkpoint(path_, at_step(2));
        } catch (const Error& e) {
          failed = true;
          EXPECT_TRUE(e.kind() == ErrorKind::IO || e.kind() == ErrorKind::ResourceExhausted) << e.what();
          EXPECT_NE(std::string(e.what()).find("run.fovea"), std::string::npos) << e.what();
        }
        file_faults().reset();
        if (!failed) break;
        ++failures;
        // Failing once the new file is in its place (the folder's fsync) leaves the new one.
        const Checkpoint left = load_checkpoint(path_);
        const auto at = left.state.at("step").to_vector<int64_t>()[0];
        expect_same(left, at_step(at));
        EXPECT_TRUE(at == 1 || step == FileStep::fsync);
      }
    }
  EXPECT_GE(failures, 8);
}

TEST_F(CheckpointTest, AProcessKilledInsideASaveLeavesALoadableOne) {
  for (FileStep step : {FileStep::open, FileStep::write, FileStep::fsync, FileStep::rename}) {
    save_checkpoint(path_, at_step(1));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      file_faults().reset();
      file_faults().arm(step, 1, FileFaults::kKill);
      try {
        save_checkpoint(path_, at_step(2));
      } catch (...) {
      }
      ::_exit(0);  // not reached
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << static_cast<int>(step);
    expect_same(load_checkpoint(path_), at_step(1));
  }
}

TEST_F(CheckpointTest, DamageIsFound) {
  save_checkpoint(path_, at_step(3));
  const std::string good = read_file(path_);
  for (size_t at : {size_t{1}, good.size() / 3, good.size() / 2, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    std::ofstream(path_, std::ios::binary) << bad;
    bool noticed = false;
    try {
      expect_same(load_checkpoint(path_), at_step(3));  // padding may take a flip unnoticed
    } catch (const Error& e) {
      noticed = e.kind() == ErrorKind::Corrupt || e.kind() == ErrorKind::VersionMismatch;
      EXPECT_TRUE(noticed) << e.what();
    }
  }
  std::ofstream(path_, std::ios::binary) << good.substr(0, good.size() - 100);
  EXPECT_EQ(kind_of([&] { load_checkpoint(path_); }), ErrorKind::Corrupt);
}

TEST_F(CheckpointTest, OtherFilesAreRefused) {
  EXPECT_EQ(kind_of([&] { load_checkpoint(folder_ + "/nothing"); }), ErrorKind::IO);
  ModelFile model;
  model.tensors.emplace_back("param/w", Array::zeros(DType::f32, {2}));
  save(path_, model);
  EXPECT_EQ(kind_of([&] { load_checkpoint(path_); }), ErrorKind::InvalidArgument);
  model.metadata["fovea.checkpoint"] = "{\"version\":99}";
  save(path_, model);
  EXPECT_EQ(kind_of([&] { load_checkpoint(path_); }), ErrorKind::VersionMismatch);
  for (const char* text : {"", "{", "[]", "{\"version\":1}", "{\"version\":1,\"position\":[1,2]}"}) {
    model.metadata["fovea.checkpoint"] = text;
    save(path_, model);
    EXPECT_EQ(kind_of([&] { load_checkpoint(path_); }), ErrorKind::Corrupt) << text;
  }
  Checkpoint taken = at_step(1);
  taken.metadata["fovea.checkpoint"] = "mine";
  EXPECT_EQ(kind_of([&] { save_checkpoint(path_, taken); }), ErrorKind::InvalidArgument);
}

}  // namespace
}  // namespace fovea::nn
