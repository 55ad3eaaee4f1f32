// Injected failures of file operations, so that tests can fail the k-th write, fsync or rename for every k,
// or kill the process there.
#pragma once

#include <atomic>
#include <cstdint>

namespace fovea {

/// The kinds of file operations that can be made to fail.
enum class FileStep : uint8_t { open = 0, read, write, fsync, rename };
inline constexpr int kFileStepCount = 5;

/// What to fail, and what has happened. One for the process; all zero means: nothing is injected.
/// Set in the environment too: FOVEA_FAULT="write:3:ENOSPC,fsync:1:EIO,rename:1:kill" (step:k:what, where
/// `what` is EIO, ENOSPC, EINTR, `short` for half a transfer, or `kill` for SIGKILL; EIO when left out).
struct FileFaults {
  struct Step {
    std::atomic<int64_t> calls{0};    ///< operations so far
    std::atomic<int64_t> fail_at{0};  ///< the k-th call fails (1 is the first); 0: none
    std::atomic<int> error{0};        ///< errno to report; kKill or kShort
  };
  static constexpr int kKill = -1;
  static constexpr int kShort = -2;

  Step steps[kFileStepCount];
  std::atomic<bool> no_openat2{false};  ///< act as a kernel without openat2

  Step& operator[](FileStep s) { return steps[static_cast<int>(s)]; }
  /// Fails the k-th `step` from now with `error`.
  void arm(FileStep step, int64_t k, int error);
  /// Forgets all faults and counts.
  void reset();
};

/// The faults of this process; FOVEA_FAULT is read at the first call (InvalidArgument when it is malformed).
FileFaults& file_faults();

/// Counts one operation. 0: go on; an errno: fail with it; FileFaults::kShort: transfer less than was asked.
int next_fault(FileStep step);

}  // namespace fovea
