#include "framework/runtime/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "framework/base/error.h"

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

namespace fovea {
namespace {

std::vector<int> counts_after_run(ThreadPool& pool, int64_t blocks) {
  std::vector<int> count(static_cast<size_t>(blocks), 0);  // plain ints: two runs of a block are a data race
  pool.parallel_for(blocks, [&](int64_t i) { ++count[static_cast<size_t>(i)]; });
  return count;
}

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::IO, "");
}

int exit_code_of_child(int (*child)(ThreadPool&), ThreadPool& pool) {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    _exit(child(pool));
  }
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int sum_in_child(ThreadPool& pool) {
  std::atomic<int64_t> sum{0};
  std::atomic<int> running{0};
  std::atomic<bool> met{false};
  pool.parallel_for(2, [&](int64_t i) {
    sum += i + 1;
    ++running;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (running.load() < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (running.load() == 2) met = true;
  });
  return sum == 3 && met ? 42 : 1;  // met: the child has a worker of its own
}

TEST(ThreadPool, RunsEachBlockOnce) {
  for (int threads : {1, 2, 4, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t blocks : {0, 1, 2, 3, 7, 100, 1000})
      EXPECT_EQ(counts_after_run(pool, blocks), std::vector<int>(static_cast<size_t>(blocks), 1)) << threads;
  }
}

TEST(ThreadPool, ManySmallJobsInARow) {
  ThreadPool pool(3);
  for (int round = 0; round < 3000; ++round) {
    const int64_t blocks = 2 + round % 5;
    std::vector<int64_t> out(static_cast<size_t>(blocks), -1);
    pool.parallel_for(blocks, [&](int64_t i) { out[static_cast<size_t>(i)] = i * round; });
    for (int64_t i = 0; i < blocks; ++i) ASSERT_EQ(out[static_cast<size_t>(i)], i * round);
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let the workers sleep
  }
}

TEST(ThreadPool, UsesItsThreads) {
  ThreadPool pool(2);
  std::atomic<int> here{0};
  std::thread::id ids[2];
  pool.parallel_for(2, [&](int64_t i) {
    ids[i] = std::this_thread::get_id();
    ++here;
    while (here.load() < 2) std::this_thread::yield();  // ends only when both blocks run at the same time
  });
  EXPECT_NE(ids[0], ids[1]);
}

TEST(ThreadPool, RethrowsAndStaysUsable) {
  ThreadPool pool(2);
  for (int round = 0; round < 50; ++round) {
    try {
      pool.parallel_for(20, [](int64_t i) {
        if (i == 7) throw std::runtime_error("block 7");
      });
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "block 7");
    }
    EXPECT_EQ(counts_after_run(pool, 5), std::vector<int>(5, 1));
  }
}

TEST(ThreadPool, NestedCallRunsInline) {
  ThreadPool pool(4);
  std::vector<int> count(40, 0);
  pool.parallel_for(4, [&](int64_t outer) {
    const auto id = std::this_thread::get_id();
    pool.parallel_for(10, [&](int64_t inner) {
      EXPECT_EQ(std::this_thread::get_id(), id);
      ++count[static_cast<size_t>(outer * 10 + inner)];
    });
  });
  EXPECT_EQ(count, std::vector<int>(40, 1));
}

TEST(ThreadPool, SeveralHostThreadsAtOnce) {
  ThreadPool pool(2);
  std::atomic<int64_t> total{0};
  std::vector<std::thread> hosts;
  for (int h = 0; h < 4; ++h)
    hosts.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        int64_t mine[6] = {};
        pool.parallel_for(6, [&](int64_t i) { mine[i] = i + 1; });
        for (int64_t v : mine) total += v;
      }
    });
  for (auto& t : hosts) t.join();
  EXPECT_EQ(total.load(), 4 * 300 * 21);
}

TEST(ThreadPool, WorksAfterQuiesce) {
  ThreadPool pool(2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(counts_after_run(pool, 9), std::vector<int>(9, 1));
    pool.quiesce();
    pool.quiesce();
  }
  pool.parallel_for(
      2, [&](int64_t) { EXPECT_EQ(error_of([&] { pool.quiesce(); }).kind(), ErrorKind::InvalidArgument); });
}

TEST(ThreadPool, ForkAfterQuiesceGivesAWorkingChild) {
  ThreadPool pool(2);
  counts_after_run(pool, 9);
  pool.quiesce();
  EXPECT_EQ(exit_code_of_child(sum_in_child, pool), 42);
}

TEST(ThreadPool, ForkWithWorkersGivesAWorkingChild) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer refuses new threads after a fork with threads alive";
  ThreadPool pool(2);
  counts_after_run(pool, 9);
  EXPECT_EQ(exit_code_of_child(sum_in_child, pool), 42);
  EXPECT_EQ(counts_after_run(pool, 9), std::vector<int>(9, 1));
}

TEST(ThreadPool, HostExecutorRunsTheBlocks) {
  struct Host {
    int calls = 0;
    int64_t drop = 0;
  } host;
  HostExecutor executor;
  executor.threads = 3;
  executor.context = &host;
  executor.run = [](void* context, int64_t blocks, void (*block)(void*, int64_t), void* job) {
    auto& h = *static_cast<Host*>(context);
    ++h.calls;
    std::thread other([&] {
      for (int64_t i = 1; i < blocks; i += 2) block(job, i);
    });
    for (int64_t i = 0; i < blocks - h.drop; i += 2) block(job, i);
    other.join();
  };
  ThreadPool pool(executor);
  EXPECT_EQ(pool.threads(), 3);
  EXPECT_EQ(counts_after_run(pool, 11), std::vector<int>(11, 1));
  EXPECT_EQ(host.calls, 1);
  EXPECT_THROW(pool.parallel_for(4, [](int64_t) { throw std::logic_error("x"); }), std::logic_error);
  host.drop = 1;
  const Error e = error_of([&] { counts_after_run(pool, 11); });
  EXPECT_EQ(e.kind(), ErrorKind::BackendFault);
  EXPECT_EQ(e.message(), "the host's executor ran 10 blocks of 11");
}

TEST(ThreadPool, DefaultPoolChangesSizeAndOwner) {
  ThreadPool& pool = default_pool();
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  EXPECT_EQ(counts_after_run(pool, 10), std::vector<int>(10, 1));
  static int calls = 0;
  HostExecutor executor;
  executor.threads = 5;
  executor.run = [](void*, int64_t blocks, void (*block)(void*, int64_t), void* job) {
    ++calls;
    for (int64_t i = blocks; i-- > 0;) block(job, i);
  };
  set_host_executor(executor);
  EXPECT_EQ(num_threads(), 5);
  EXPECT_EQ(counts_after_run(pool, 10), std::vector<int>(10, 1));
  EXPECT_EQ(calls, 1);
  set_num_threads(2);
  EXPECT_EQ(counts_after_run(pool, 10), std::vector<int>(10, 1));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(&pool, &default_pool());
}

TEST(ThreadPool, BadSizesAreTypedErrors) {
  for (int bad : {0, -1, 1025}) {
    EXPECT_EQ(error_of([&] { ThreadPool pool(bad); }).kind(), ErrorKind::InvalidArgument);
    EXPECT_EQ(error_of([&] { set_num_threads(bad); }).message(),
              "a thread pool needs 1 to 1024 threads, not " + std::to_string(bad));
  }
  EXPECT_EQ(error_of([] { ThreadPool pool(HostExecutor{}); }).message(), "HostExecutor.run is null");
}

// The default pool is made once a process, so each value of the variable is tried in a program of its own.
int threads_with(const char* value) {
  setenv("FOVEA_NUM_THREADS", value, 1);
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", "thread_pool_test", "--gtest_filter=ThreadPoolChild.*",
          "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
    _exit(99);
  }
  unsetenv("FOVEA_NUM_THREADS");
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ThreadPoolChild, DISABLED_ExitsWithNumberOfThreads) {
  int code = 0;
  try {
    code = num_threads();
  } catch (const Error& e) {
    const std::string wanted = "must be a whole number from 1 to 1024";
    code = e.kind() == ErrorKind::InvalidArgument && e.message().find(wanted) != std::string::npos ? 77 : 98;
  }
  _exit(code);
}

TEST(ThreadPool, EnvironmentVariableIsReadAndChecked) {
  EXPECT_EQ(threads_with("3"), 3);
  EXPECT_EQ(threads_with("1"), 1);
  for (const char* bad : {"0", "-2", "two", "3x", " 3", "2000", "99999999999999999999"})
    EXPECT_EQ(threads_with(bad), 77) << bad;
}

#if defined(__x86_64__)
TEST(ThreadPool, FloatModeOfTheCallerHoldsInEveryBlock) {
  ThreadPool pool(2);
  counts_after_run(pool, 8);  // the workers are started in the normal mode
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040u);  // flush to zero, denormals are zero
  unsigned seen[2];
  std::atomic<int> here{0};
  pool.parallel_for(2, [&](int64_t i) {
    seen[i] = _mm_getcsr() & 0x8040u;
    ++here;
    while (here.load() < 2) std::this_thread::yield();
  });
  _mm_setcsr(before);
  EXPECT_EQ(seen[0], 0x8040u);
  EXPECT_EQ(seen[1], 0x8040u);
}
#endif

}  // namespace
}  // namespace fovea
