// The one pool of threads on which kernels run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace fovea {

/// Threads that the host program lends instead of ours. `run` calls block(job, i) once for each i in [0,
/// blocks) on any of its threads, in any order, and returns when all calls have returned. It may itself be
/// called from several threads at once; `block` never throws.
struct HostExecutor {
  int threads = 1;  ///< how many blocks it can run at once; for information
  void* context = nullptr;
  void (*run)(void* context, int64_t blocks, void (*block)(void* job, int64_t index), void* job) = nullptr;
};

/// Runs blocks of work in parallel. A kernel decides its blocks from shapes alone, never from the number of
/// threads, so that results have equal bits for any pool.
class ThreadPool {
 public:
  /// A pool that works on `threads` threads, the caller's included (>= 1).
  explicit ThreadPool(int threads);
  /// A pool that has no threads of its own and hands every job to `executor`.
  explicit ThreadPool(const HostExecutor& executor);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Calls body(block) once for each block in [0, blocks), in any order, on any thread, and returns when all
  /// are done. The first exception a block throws is rethrown here, and blocks not yet begun are dropped. A
  /// call from inside a block runs inline, and so does a call while another host thread is using the pool.
  /// Blocks are handed out one at a time; make them coarse (20 microseconds or more).
  void parallel_for(int64_t blocks, const std::function<void(int64_t)>& body);

  /// Stops and joins the worker threads; they start again at the next parallel_for. A program that forks need
  /// not call it (a child starts with fresh workers); it is for those who want no thread alive at the time of
  /// fork().
  void quiesce();

 private:
  friend void set_num_threads(int threads);
  friend void set_host_executor(const HostExecutor& executor);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The pool of this process: made at first use, with FOVEA_NUM_THREADS threads, else one for each core. The
/// reference stays valid to the end of the process. InvalidArgument when FOVEA_NUM_THREADS is not a number
/// from 1 to 1024.
ThreadPool& default_pool();
/// Replaces the default pool's size (1 to 1024). Not while a program is running.
void set_num_threads(int threads);
/// Makes the default pool run on the host program's threads, until set_num_threads. Not while a program is
/// running.
void set_host_executor(const HostExecutor& executor);
/// Number of threads of the default pool.
int num_threads();

}  // namespace fovea
