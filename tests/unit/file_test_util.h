// What the tests of files share.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/base/file_faults.h"
#include "tests/support/errors.h"
#include "tests/support/folder_fixture.h"

namespace fovea {

class FileTest : public FolderTest {
 protected:
  // Written without the code under test.
  void put(const std::string& name, const std::string& text) const {
    const int fd = ::open(path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
  }
  std::string get(const std::string& name) const {
    const int fd = ::open(path(name).c_str(), O_RDONLY);
    if (fd < 0) return "<absent>";
    std::string text(std::filesystem::file_size(path(name)), '\0');
    EXPECT_EQ(::read(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
    return text;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& e : std::filesystem::directory_iterator(folder_)) out.push_back(e.path().filename());
    return out;
  }
};

}  // namespace fovea
