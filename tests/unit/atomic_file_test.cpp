// Writing files: all or nothing, whatever step fails.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <thread>

#include "tests/unit/file_test_util.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

using test::error_of;

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

}  // namespace
}  // namespace fovea
