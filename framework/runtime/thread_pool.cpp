#include "framework/runtime/thread_pool.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr int kMaxThreads = 1024;
constexpr auto kSpin = std::chrono::microseconds(40);  // about the gap between two kernels of a step

thread_local bool t_inside_block = false;

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The rounding mode and the flush-to-zero bits travel with the job: a host that changes them on its own
// thread would otherwise get results that depend on which thread ran a block.
#if defined(__x86_64__)
unsigned float_mode() { return _mm_getcsr() & ~0x3fu; }
void set_float_mode(unsigned mode) { _mm_setcsr(mode); }
#else
unsigned float_mode() { return 0; }
void set_float_mode(unsigned) {}
#endif

class FloatMode {
 public:
  explicit FloatMode(unsigned wanted) : saved_(float_mode()), changed_(wanted != saved_) {
    if (changed_) set_float_mode(wanted);
  }
  ~FloatMode() {
    if (changed_) set_float_mode(saved_);
  }

 private:
  unsigned saved_;
  bool changed_;
};

class InsideBlock {
 public:
  InsideBlock() : saved_(t_inside_block) { t_inside_block = true; }
  ~InsideBlock() { t_inside_block = saved_; }

 private:
  bool saved_;
};

void run_inline(int64_t blocks, const std::function<void(int64_t)>& body) {
  InsideBlock inside;
  for (int64_t i = 0; i < blocks; ++i) body(i);
}

// One call of parallel_for.
struct Job {
  const std::function<void(int64_t)>* body = nullptr;
  int64_t blocks = 0;
  unsigned mode = 0;
  std::exception_ptr error;
  std::atomic<bool> failed{false};
  alignas(64) std::atomic<int64_t> next{0};

  void run_block(int64_t i) noexcept {
    try {
      (*body)(i);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
  void work() noexcept {
    FloatMode float_mode(mode);
    InsideBlock inside;
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= blocks) break;
      run_block(i);
    }
  }
  void start(int64_t count, const std::function<void(int64_t)>& what) {
    body = &what;
    blocks = count;
    mode = float_mode();
    failed.store(false, std::memory_order_relaxed);
    next.store(0, std::memory_order_relaxed);
  }
  void rethrow() {
    if (failed.load()) std::rethrow_exception(std::exchange(error, nullptr));
  }
};

// The workers and all they share. A forked child, which has none of the threads, leaves its copy behind
// unfreed.
//
// A worker counts itself into `active` before it looks at `open`; the caller clears `open` before it looks at
// `active`. So a late worker either finds the job closed or keeps the caller waiting, and never sees half of
// the next job.
struct Crew {
  std::mutex submit;  // held by the one host thread whose job runs
  Job job;
  alignas(64) std::atomic<uint32_t> epoch{0};
  std::atomic<bool> open{false};
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<int> active{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<int> sleepers{0};
  bool spin = true;
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> workers;

  void start_workers(int count);
  void stop_workers();
  void worker(uint32_t seen);
  void run(int64_t blocks, const std::function<void(int64_t)>& body);
  void wait_for_workers();
  void announce(int64_t wanted);

  template <class Ready>
  bool spin_until(Ready ready) const {
    if (ready()) return true;
    if (!spin) return false;
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < 16; ++i) {
        if (ready()) return true;
        pause_cpu();
      }
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }
};

void Crew::start_workers(int count) {
  // Spinning helps only when each thread has a core.
  spin = count + 1 <= static_cast<int>(std::thread::hardware_concurrency());
  stop = false;
  // Signals are for the host program's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    workers.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) workers.emplace_back(&Crew::worker, this, epoch.load());
  } catch (const std::exception&) {
    // No more threads to be had: go on with those there are. The results do not depend on their number.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Crew::stop_workers() {
  stop = true;
  announce(kMaxThreads);
  for (std::thread& t : workers) t.join();
  workers.clear();
}

void Crew::announce(int64_t wanted) {
  epoch.fetch_add(1);
  const int asleep = sleepers.load();
  if (asleep == 0) return;
  { std::lock_guard lock(mutex); }
  if (wanted >= asleep) return wake.notify_all();
  for (int64_t i = 0; i < wanted; ++i) wake.notify_one();
}

void Crew::worker(uint32_t seen) {
  while (true) {
    if (!spin_until([&] { return epoch.load() != seen; })) {
      std::unique_lock lock(mutex);
      sleepers.fetch_add(1);
      wake.wait(lock, [&] { return epoch.load() != seen; });
      sleepers.fetch_sub(1);
    }
    seen = epoch.load();
    if (stop.load()) return;
    active.fetch_add(1);
    if (open.load()) job.work();
    if (active.fetch_sub(1) == 1 && caller_sleeps.load()) {
      std::lock_guard lock(mutex);
      done.notify_one();
    }
  }
}

void Crew::wait_for_workers() {
  auto idle = [&] { return active.load() == 0; };
  if (spin_until(idle)) return;
  std::unique_lock lock(mutex);
  caller_sleeps = true;
  done.wait(lock, idle);
  caller_sleeps = false;
}

void Crew::run(int64_t blocks, const std::function<void(int64_t)>& body) {
  job.start(blocks, body);
  open = true;
  announce(blocks - 1);
  job.work();
  open = false;
}

int checked_threads(int threads) {
  if (threads < 1 || threads > kMaxThreads)
    invalid("a thread pool needs 1 to " + std::to_string(kMaxThreads) + " threads, not " +
            std::to_string(threads));
  return threads;
}

void check(const HostExecutor& executor) {
  if (executor.run == nullptr) invalid("HostExecutor.run is null");
  if (executor.threads < 1)
    invalid("HostExecutor.threads is " + std::to_string(executor.threads) + "; it must be at least 1");
}

int threads_from_environment() {
  const char* text = std::getenv("FOVEA_NUM_THREADS");
  if (text == nullptr || *text == '\0')
    return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
  const std::string_view s(text);
  int threads = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), threads);
  if (error != std::errc() || end != s.data() + s.size() || threads < 1 || threads > kMaxThreads)
    invalid("FOVEA_NUM_THREADS is '" + std::string(s.substr(0, 40)) +
            "'; it must be a whole number from 1 to " + std::to_string(kMaxThreads));
  return threads;
}

}  // namespace

struct ThreadPool::Impl {
  std::atomic<int> threads{1};
  std::atomic<Crew*> crew{new Crew};
  HostExecutor executor;  // run is null: our own workers

  Impl();
  ~Impl();
  void parallel_for(int64_t blocks, const std::function<void(int64_t)>& body);
  void run_on_host(int64_t blocks, const std::function<void(int64_t)>& body);
  void become(int count, const HostExecutor& lent);
  void quiesce();
};

namespace {

// All pools alive, so that a forked child can give each fresh workers. Never freed: fork may come late.
struct Pools {
  std::mutex mutex;
  std::vector<std::atomic<Crew*>*> crews;
};

Pools& pools() {
  static Pools* all = [] {
    auto* made = new Pools;
    pthread_atfork([] { pools().mutex.lock(); }, [] { pools().mutex.unlock(); },
                   [] {
                     for (std::atomic<Crew*>* crew : pools().crews) crew->store(new Crew);
                     pools().mutex.unlock();
                   });
    return made;
  }();
  return *all;
}

}  // namespace

ThreadPool::Impl::Impl() {
  std::lock_guard lock(pools().mutex);
  pools().crews.push_back(&crew);
}

ThreadPool::Impl::~Impl() {
  crew.load()->stop_workers();
  {
    std::lock_guard lock(pools().mutex);
    std::erase(pools().crews, &crew);
  }
  delete crew.load();
}

void ThreadPool::Impl::run_on_host(int64_t blocks, const std::function<void(int64_t)>& body) {
  struct HostJob : Job {
    std::atomic<int64_t> ran{0};
  } job;
  job.start(blocks, body);
  executor.run(
      executor.context, blocks,
      [](void* opaque, int64_t i) {
        auto& host_job = *static_cast<HostJob*>(opaque);
        FloatMode float_mode(host_job.mode);
        InsideBlock inside;
        if (!host_job.failed.load() && i >= 0 && i < host_job.blocks) host_job.run_block(i);
        host_job.ran.fetch_add(1);
      },
      &job);
  job.rethrow();
  if (job.ran.load() != blocks)
    fail(ErrorKind::BackendFault, "the host's executor ran " + std::to_string(job.ran.load()) +
                                      " blocks of " + std::to_string(blocks));
}

void ThreadPool::Impl::parallel_for(int64_t blocks, const std::function<void(int64_t)>& body) {
  if (blocks <= 0) return;
  if (blocks == 1 || t_inside_block) return run_inline(blocks, body);
  if (executor.run != nullptr) return run_on_host(blocks, body);
  const int wanted = threads.load(std::memory_order_relaxed) - 1;
  Crew* mine = crew.load(std::memory_order_acquire);
  std::unique_lock lock(mine->submit, std::defer_lock);
  if (wanted == 0 || !lock.try_lock()) return run_inline(blocks, body);
  if (mine->workers.empty()) mine->start_workers(wanted);
  mine->run(blocks, body);
  if (crew.load() != mine)
    fail(ErrorKind::Unsupported,
         "fork() was called inside a parallel block, and the child went on with the job");
  mine->wait_for_workers();
  mine->job.rethrow();
}

void ThreadPool::Impl::become(int count, const HostExecutor& lent) {
  if (t_inside_block) invalid("the default thread pool cannot be changed from inside a parallel block");
  Crew* mine = crew.load();
  std::lock_guard lock(mine->submit);
  mine->stop_workers();
  threads = count;
  executor = lent;
}

void ThreadPool::Impl::quiesce() {
  if (t_inside_block) invalid("a thread pool cannot be stopped from inside a parallel block");
  Crew* mine = crew.load();
  std::lock_guard lock(mine->submit);
  mine->stop_workers();
}

ThreadPool::ThreadPool(int threads) {
  checked_threads(threads);
  impl_ = std::make_unique<Impl>();
  impl_->threads = threads;
}

ThreadPool::ThreadPool(const HostExecutor& executor) {
  check(executor);
  impl_ = std::make_unique<Impl>();
  impl_->threads = executor.threads;
  impl_->executor = executor;
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return impl_->threads.load(std::memory_order_relaxed); }

void ThreadPool::parallel_for(int64_t blocks, const std::function<void(int64_t)>& body) {
  impl_->parallel_for(blocks, body);
}

void ThreadPool::quiesce() { impl_->quiesce(); }

ThreadPool& default_pool() {
  // The pool itself is never destroyed, since others' destructors may use it; its threads are joined at exit.
  static ThreadPool* pool = new ThreadPool(threads_from_environment());
  struct AtExit {
    ~AtExit() {
      if (!t_inside_block) pool->quiesce();
    }
  };
  static AtExit at_exit;
  return *pool;
}

void set_num_threads(int threads) {
  checked_threads(threads);
  default_pool().impl_->become(threads, {});
}

void set_host_executor(const HostExecutor& executor) {
  check(executor);
  default_pool().impl_->become(executor.threads, executor);
}

int num_threads() { return default_pool().threads(); }

}  // namespace fovea
