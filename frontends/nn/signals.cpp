#include "frontends/nn/signals.h"

#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace fovea::nn {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};
// Signals closer than this many milliseconds are one wish: timeout(1) signals the process, then its group.
constexpr int64_t kOneWish = 500;
volatile sig_atomic_t first_signal = 0;
volatile int64_t first_time = 0;
std::atomic<bool> guarded{false};
struct sigaction before[2];

int64_t milliseconds() {
  timespec t = {};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1000} + t.tv_nsec / 1000000;
}

void note(int number) {
  if (first_signal == 0) {
    first_time = milliseconds();
    first_signal = number;
    return;
  }
  if (milliseconds() - first_time < kOneWish) return;
  ::signal(number, SIG_DFL);  // the second one: as if we were not here
  ::raise(number);
}

}  // namespace

SignalGuard::SignalGuard(bool active) {
  if (!active || guarded.exchange(true)) return;
  owner_ = true;
  first_signal = 0;
  struct sigaction action = {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;  // reads and writes in progress go on
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 2; ++i) ::sigaction(kSignals[i], &action, &before[i]);
}

SignalGuard::~SignalGuard() {
  if (!owner_) return;
  for (int i = 0; i < 2; ++i) ::sigaction(kSignals[i], &before[i], nullptr);
  first_signal = 0;
  guarded = false;
}

int SignalGuard::received() { return first_signal; }

}  // namespace fovea::nn
