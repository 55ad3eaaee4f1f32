// Reading files: bounded, at random places, mapped, and beneath a folder alone.
#include "framework/base/file.h"

#include <sys/resource.h>

#include <cerrno>

#include "tests/unit/file_test_util.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

using test::error_of;

TEST_F(FileTest, ReadsWholeFilesOfAnySize) {
  for (size_t size : {0, 1, 65535, 65536, 65537, 300000}) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    put("a", text);
    EXPECT_EQ(read_file(path("a")), text) << size;
  }
}

TEST_F(FileTest, ReadingIsBounded) {
  put("a", std::string(1001, 'x'));
  EXPECT_EQ(read_file(path("a"), 1001).size(), 1001u);
  EXPECT_EQ(error_of([&] { read_file(path("a"), 1000); }),
            "ResourceExhausted: \"" + path("a") + "\" holds 1001 bytes; at most 1000 are read here");
  // A file that tells no size is bounded while it is read.
  EXPECT_HAS(error_of([&] { read_file("/dev/zero", 100000); }), "holds more than 100000 bytes");
}

TEST_F(FileTest, FilesWithoutASizeAreRead) { EXPECT_HAS(read_file("/proc/self/status"), "Pid:"); }

TEST_F(FileTest, ReadErrorsSayWhatTheSystemSays) {
  EXPECT_EQ(error_of([&] { read_file(path("none")); }),
            "IO: cannot open \"" + path("none") + "\": No such file or directory (ENOENT)");
  EXPECT_HAS(error_of([&] { read_file(folder_); }), "(EISDIR)");
  EXPECT_HAS(error_of([&] { read_file(""); }), "InvalidArgument");
  EXPECT_HAS(error_of([&] { read_file(std::string("a\0b", 3)); }), "zero byte");
  put("a", "text");
  file_faults().arm(FileStep::read, 1, EIO);
  EXPECT_HAS(error_of([&] { read_file(path("a")); }), "at offset 0");
}

TEST_F(FileTest, ShortAndInterruptedReadsGoOn) {
  const std::string text(100000, 'q');
  put("a", text);
  for (int error : {EINTR, FileFaults::kShort}) {
    file_faults().arm(FileStep::read, 1, error);
    EXPECT_EQ(read_file(path("a")), text);
    const FileReader reader(path("a"));
    file_faults().arm(FileStep::read, 1, error);
    EXPECT_EQ(reader.read_text(10, 5000, "body"), text.substr(10, 5000));
  }
}

TEST_F(FileTest, RandomAccessIsHeldAgainstTheSize) {
  put("a", "0123456789");
  const FileReader reader(path("a"));
  EXPECT_EQ(reader.size(), 10);
  EXPECT_EQ(reader.read_text(3, 4, "middle"), "3456");
  EXPECT_EQ(reader.read_text(10, 0, "end"), "");
  EXPECT_EQ(error_of([&] { reader.read_text(8, 3, "tensor index"); }),
            "Corrupt: \"" + path("a") + "\": tensor index is 3 bytes at offset 8, but the file has 10 bytes");
  for (auto [offset, bytes] : std::vector<std::pair<int64_t, int64_t>>{{11, 0},
                                                                       {-1, 1},
                                                                       {0, -1},
                                                                       {0, 11},
                                                                       {INT64_MAX, 1},
                                                                       {1, INT64_MAX},
                                                                       {INT64_MAX, INT64_MAX},
                                                                       {INT64_MIN, 0}})
    EXPECT_HAS(error_of([&] { reader.read_text(offset, bytes, "f"); }), "Corrupt");
}

TEST_F(FileTest, AFileThatShrinksIsCorrupt) {
  put("a", std::string(1000, 'x'));
  const FileReader reader(path("a"));
  ASSERT_EQ(::truncate(path("a").c_str(), 400), 0);
  EXPECT_EQ(error_of([&] { reader.read_text(0, 1000, "weights"); }),
            "Corrupt: \"" + path("a") +
                "\": weights ends at offset 400, where 600 more bytes were there when the file was opened");
}

TEST_F(FileTest, OnlyRegularFilesAreReadAtRandomOrMapped) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);  // opening it must not block
  for (const std::string& p : {path("pipe"), folder_, std::string("/dev/null")}) {
    EXPECT_HAS(error_of([&] { FileReader r(p); }), "not a regular file");
    EXPECT_HAS(error_of([&] { MappedFile m(p); }), "not a regular file");
  }
}

TEST_F(FileTest, MappingReadsAndSurvivesASaveOverIt) {
  put("a", "old contents");
  MappedFile map(path("a"));
  write_file(path("a"), "new");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(map.data()), static_cast<size_t>(map.size())),
            "old contents");
  EXPECT_EQ(map.range(4, 8, "tail").size(), 8u);
  EXPECT_EQ(error_of([&] { map.range(4, 9, "tail"); }),
            "Corrupt: \"" + path("a") + "\": tail is 9 bytes at offset 4, but the file has 12 bytes");
  MappedFile moved = std::move(map);
  EXPECT_EQ(static_cast<char>(moved.data()[0]), 'o');
  put("empty", "");
  EXPECT_EQ(MappedFile(path("empty")).range(0, 0, "all").size(), 0u);
}

class Beneath : public FileTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    FileTest::SetUp();
    file_faults().no_openat2 = GetParam();
    fs::create_directories(path("model/sub/deep"));
    put("secret", "secret");
    put("model/a", "A");
    put("model/sub/deep/b", "B");
    fs::create_symlink("a", path("model/link"));
    fs::create_symlink("../secret", path("model/out"));
    fs::create_symlink("sub", path("model/folder_link"));
    fs::create_symlink("/", path("model/root"));
    fs::create_symlink("nowhere", path("model/dangling"));
  }
  std::string read(const std::string& relative) {
    return FileReader(open_beneath(path("model"), relative), relative).read_text(0, 1, "all");
  }
};

TEST_P(Beneath, OpensWhatLiesBelow) {
  EXPECT_EQ(read("a"), "A");
  EXPECT_EQ(read("./a"), "A");
  EXPECT_EQ(read("sub/deep/b"), "B");
  EXPECT_EQ(read("sub//deep/./b"), "B");
}

TEST_P(Beneath, RefusesEverythingElse) {
  for (const char* p : {"/etc/passwd", "../secret", "sub/../a", "..", "sub/..", "", ".", "./", "/", "a/"})
    EXPECT_HAS(error_of([&] { read(p); }), "InvalidArgument");
  EXPECT_HAS(error_of([&] { read(std::string("a\0b", 3)); }), "InvalidArgument");
  for (const char* p :
       {"link", "out", "folder_link/deep/b", "root/etc/passwd", "dangling", "sub", "a/b", "none"})
    EXPECT_HAS(error_of([&] { read(p); }), "IO: ");
  EXPECT_HAS(error_of([&] { read("out"); }), "links are not followed");
}

INSTANTIATE_TEST_SUITE_P(Openat2AndByHand, Beneath, ::testing::Bool());

}  // namespace
}  // namespace fovea
