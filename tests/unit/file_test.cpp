// Files and digests: what is read is bounded, what is written is all or nothing, whatever step fails.
#include "framework/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "framework/base/digest.h"
#include "framework/base/error.h"
#include "framework/base/file_faults.h"
#include "tests/support/errors.h"
#include "tests/support/folder_fixture.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

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
    std::string text(fs::file_size(path(name)), '\0');
    EXPECT_EQ(::read(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
    return text;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& e : fs::directory_iterator(folder_)) out.push_back(e.path().filename());
    return out;
  }
};

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

TEST_F(FileTest, WritesAndReplaces) {
  write_file(path("a"), "one");
  EXPECT_EQ(get("a"), "one");
  write_file(path("a"), "");
  EXPECT_EQ(get("a"), "");
  {
    AtomicFile file(path("a"));
    std::string want;
    // Small pieces, a piece larger than any buffer, and small ones again.
    for (size_t size : {1, 1000, 70000, 250000, 1000000, 3, 262144, 262145, 7}) {
      const std::string piece(size, static_cast<char>('a' + want.size() % 23));
      file.write(piece);
      want += piece;
      EXPECT_EQ(file.offset(), static_cast<int64_t>(want.size()));
    }
    EXPECT_EQ(get("a"), "");  // nothing is seen before commit
    file.commit();
    EXPECT_EQ(get("a"), want);
    EXPECT_HAS(error_of([&] { file.write("x"); }), "is committed");
    EXPECT_HAS(error_of([&] { file.commit(); }), "is committed");
  }
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FileTest, PadsWithZeros) {
  AtomicFile file(path("a"));
  file.write("abc");
  file.pad_to(8);
  file.pad_to(8);
  file.pad_to(1);
  EXPECT_EQ(file.offset(), 8);
  file.write("d");
  file.pad_to(10000);
  file.commit();
  std::string want = "abc";
  want.resize(8);
  want += "d";
  want.resize(10000);
  EXPECT_EQ(get("a"), want);
  EXPECT_HAS(error_of([&] { AtomicFile(path("b")).pad_to(0); }), "InvalidArgument");
}

TEST_F(FileTest, WithoutCommitNothingChanges) {
  put("a", "old");
  {
    AtomicFile file(path("a"));
    file.write(std::string(1000000, 'x'));
  }
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FileTest, KeepsLinksAndPermissions) {
  put("real", "old");
  ASSERT_EQ(::chmod(path("real").c_str(), 0640), 0);
  fs::create_symlink("real", path("link"));
  write_file(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(get("real"), "new");
  struct stat info;
  ASSERT_EQ(::stat(path("real").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(FileTest, RefusesWhatIsNoFile) {
  EXPECT_HAS(error_of([&] { write_file("", "x"); }), "InvalidArgument");
  EXPECT_HAS(error_of([&] { write_file(folder_, "x"); }), "not a regular file");
  EXPECT_HAS(error_of([&] { write_file(folder_ + "/", "x"); }), "names a folder");
  EXPECT_HAS(error_of([&] { write_file("/dev/null", "x"); }), "not a regular file");
  EXPECT_HAS(error_of([&] { write_file(path("no/such/a"), "x"); }), "(ENOENT)");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(FileTest, LongNamesAreWritten) {
  const std::string name(255, 'n');
  write_file(path(name), "x");
  EXPECT_EQ(get(name), "x");
}

// A save of several buffers and pieces: 20 MiB in odd pieces.
void save(const std::string& path, char fill) {
  AtomicFile file(path);
  file.write(std::string(100, fill));
  file.write(std::string(20 << 20, fill));
  file.write(std::string(300000, fill));
  file.write(std::string(10, fill));
  file.commit();
}
constexpr size_t kSaved = 100 + (20 << 20) + 300000 + 10;

bool whole(const std::string& text, char fill) {
  return text.size() == kSaved && text.find_first_not_of(fill) == std::string::npos;
}

TEST_F(FileTest, EveryStepThatFailsLeavesTheOldFile) {
  const std::string old = "the old contents";
  for (FileStep step : {FileStep::open, FileStep::write, FileStep::fsync, FileStep::rename}) {
    file_faults().reset();
    put("a", old);
    save(path("a"), 'x');
    const int64_t steps = file_faults()[step].calls;
    ASSERT_GE(steps, 1);
    for (int error : {EIO, ENOSPC}) {
      for (int64_t k = 1; k <= steps; ++k) {
        put("a", old);
        file_faults().arm(step, k, error);
        const std::string message = error_of([&] { save(path("a"), 'x'); });
        EXPECT_HAS(message, path("a"));
        EXPECT_HAS(message, error == EIO ? "IO: " : "ResourceExhausted: ");
        EXPECT_HAS(message, error == EIO ? "(EIO)" : "(ENOSPC)");
        // The one step after the rename finds the new contents whole.
        const bool after_rename = step == FileStep::fsync && k == 2;
        if (after_rename)
          EXPECT_TRUE(whole(get("a"), 'x'));
        else
          EXPECT_EQ(get("a"), old) << static_cast<int>(step) << " " << k;
        EXPECT_EQ(names(), std::vector<std::string>{"a"});
      }
    }
  }
}

TEST_F(FileTest, WriteErrorsSayOffsetAndBytes) {
  AtomicFile file(path("a"));
  file.write(std::string(1000000, 'x'));
  file_faults().arm(FileStep::write, 1, ENOSPC);
  EXPECT_EQ(error_of([&] { file.write(std::string(500000, 'x')); }),
            "ResourceExhausted: cannot write 500000 bytes at offset 1000000 of \"" + path("a") +
                "\": No space left on device (ENOSPC); what was there before is unchanged");
  EXPECT_HAS(error_of([&] { file.commit(); }), "could not be written");
  EXPECT_TRUE(names().empty());
}

TEST_F(FileTest, ShortAndInterruptedStepsGoOn) {
  for (int error : {EINTR, FileFaults::kShort}) {
    for (int64_t k = 1; k <= 4; ++k) {
      file_faults().arm(FileStep::write, k, error);
      save(path("a"), 'y');
      EXPECT_TRUE(whole(get("a"), 'y'));
    }
  }
  file_faults().arm(FileStep::fsync, 1, EINTR);
  save(path("a"), 'z');
  EXPECT_TRUE(whole(get("a"), 'z'));
}

// Runs f in a child process and returns its wait status.
template <class F>
int in_child(F&& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    f();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(FileTest, KilledAtAnyStepLeavesOldOrNewAndTheNextSaveTidiesUp) {
  for (FileStep step : {FileStep::open, FileStep::write, FileStep::fsync, FileStep::rename}) {
    for (int64_t k = 1; k <= 2; ++k) {
      if (step == FileStep::rename && k == 2) continue;
      put("a", "old");
      const int status = in_child([&] {
        file_faults().arm(step, k, FileFaults::kKill);
        save(path("a"), 'x');
      });
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << static_cast<int>(step) << " " << k;
      const std::string now = get("a");
      EXPECT_TRUE(step == FileStep::fsync && k == 2 ? whole(now, 'x') : now == "old");
      write_file(path("a"), "next");
      EXPECT_EQ(names(), std::vector<std::string>{"a"});
    }
  }
}

TEST_F(FileTest, ARunningWritersTemporaryIsNotTidiedAway) {
  AtomicFile slow(path("a"));
  slow.write("slow");
  write_file(path("a"), "fast");
  EXPECT_EQ(get("a"), "fast");
  slow.commit();
  EXPECT_EQ(get("a"), "slow");
}

TEST_F(FileTest, ManyWritersOfOnePathEachSucceed) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) write_file(path("a"), std::string(5000, static_cast<char>('a' + t)));
    });
  for (auto& t : threads) t.join();
  const std::string last = get("a");
  EXPECT_EQ(last.size(), 5000u);
  EXPECT_EQ(last.find_first_not_of(last[0]), std::string::npos);
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FileTest, TheSystemsOwnRefusalIsReported) {
  put("a", "old");
  const int status = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message = error_of([&] { save(path("a"), 'x'); });
    const bool good =
        message.find("ResourceExhausted") == 0 && message.find("at offset 1048576") != std::string::npos;
    ::_exit(good ? 7 : 1);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(get("a"), "old");
}

TEST_F(FileTest, FaultsComeFromTheEnvironment) {
  // A fresh program, since the variable is read once: this test binary again, running one hidden test.
  const std::string self = fs::read_symlink("/proc/self/exe");
  auto run = [&](const std::string& fault) {
    const std::string command = "FOVEA_FAULT='" + fault + "' FOVEA_FAULT_PATH='" + path("a") + "' '" + self +
                                "' --gtest_also_run_disabled_tests --gtest_filter='*EnvironmentChild' >'" +
                                path("log") + "' 2>&1";
    return std::system(command.c_str());
  };
  put("a", "old");
  EXPECT_EQ(run("write:2:EIO"), 0);
  EXPECT_HAS(get("log"), "(EIO)");
  EXPECT_EQ(get("a"), "old");
  EXPECT_NE(run("fsync:1:kill"), 0);
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(run("fsync:1:nonsense"), 0);
  EXPECT_HAS(get("log"), "FOVEA_FAULT: \"fsync:1:nonsense\" is not step:k:what");
  for (const char* bad : {"write", "write:0", "write:x:EIO", ":1:EIO", "write:99999999999999999999:EIO"}) {
    EXPECT_EQ(run(bad), 0);
    EXPECT_HAS(get("log"), "is not step:k:what");
  }
}

TEST(FileFaultsDeathless, DISABLED_EnvironmentChild) {
  const char* path = std::getenv("FOVEA_FAULT_PATH");
  ASSERT_NE(path, nullptr);
  const std::string message = error_of([&] {
    AtomicFile file(path);
    file.write(std::string(300000, 'x'));
    file.write(std::string(300000, 'x'));
    file.commit();
  });
  ASSERT_NE(message, "");
  ::printf("%s\n", message.c_str());
}

// Published vectors of XXH3-128 with seed 0.
TEST(DigestTest, KnownVectors) {
  EXPECT_EQ(digest("").hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest("a").hex(), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(digest("abc").hex(), "06b05ab6733a618578af5f94892f3950");
}

TEST(DigestTest, PiecesGiveTheSameAsTheWhole) {
  std::string text(100000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i / 7);
  for (size_t step : {1, 7, 64, 255, 256, 257, 1024, 99999}) {
    Digester pieces;
    for (size_t i = 0; i < text.size(); i += step) {
      pieces.update(text.data() + i, static_cast<int64_t>(std::min(step, text.size() - i)));
    }
    EXPECT_EQ(pieces.value(), digest(text)) << step;
  }
  EXPECT_EQ(Digester().value(), digest(""));
}

TEST(DigestTest, AnyFlippedBitChangesIt) {
  for (size_t size : {1, 16, 128, 240, 241, 2000}) {
    std::string text(size, 'x');
    const Digest good = digest(text);
    for (size_t bit = 0; bit < size * 8; ++bit) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
      EXPECT_NE(digest(text), good) << size << " " << bit;
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST(DigestTest, NegativeSizesAreRefused) {
  EXPECT_HAS(error_of([] { digest("x", -1); }), "digest of -1 bytes");
  EXPECT_HAS(error_of([] { Digester().update("x", -1); }), "digest of -1 bytes");
}

}  // namespace
}  // namespace fovea
