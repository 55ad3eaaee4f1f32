// kill -9 at any moment of a run that saves without pause: a whole checkpoint is always there.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "frontends/nn/checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace fovea::nn {
namespace {

// All numbers of it are `step`, so that a mixture of two would show.
Checkpoint filled(int64_t step) {
  Checkpoint c;
  c.state["param/w"] = Array::full(DType::i64, {200000}, static_cast<double>(step));
  c.state["step"] = Array::of(std::vector<int64_t>{step, 0}, {2});
  c.position.batch = step;
  return c;
}

TEST(CheckpointKill, EveryMomentLeavesAWholeCheckpoint) {
  const TemporaryFolder folder;
  const std::string path = folder / "run.fovea";
  save_checkpoint(path, filled(0));
  int64_t last = 0, moved = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        for (int64_t step = last + 1;; ++step) save_checkpoint(path, filled(step));
      } catch (...) {
      }
      ::_exit(1);
    }
    ::usleep(static_cast<useconds_t>(500 + round * 911 % 30000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "saving failed";
    const Checkpoint c = load_checkpoint(path);
    const int64_t step = c.position.batch;
    ASSERT_GE(step, last);
    ASSERT_EQ(c.state.at("step").to_vector<int64_t>()[0], step);
    const int64_t* w = c.state.at("param/w").data<int64_t>();
    for (int64_t i = 0; i < 200000; ++i) ASSERT_EQ(w[i], step);
    moved += step > last;
    last = step;
  }
  EXPECT_GT(moved, 5) << "the kills came before any save";
  // What the killed ones left behind goes with the next save.
  save_checkpoint(path, filled(last + 1));
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 1);
}

}  // namespace
}  // namespace fovea::nn
