// Tests that write files.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "framework/base/file_faults.h"
#include "tests/support/temporary_folder.h"

namespace fovea {

/// A test with a folder of its own; faults that it injects into files end with it.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override { file_faults().reset(); }
  void TearDown() override { file_faults().reset(); }
  std::string path(const std::string& name) const { return temporary_ / name; }

 private:
  const TemporaryFolder temporary_;

 protected:
  const std::string folder_ = temporary_.path();
};

}  // namespace fovea
