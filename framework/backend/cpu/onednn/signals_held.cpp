#include "framework/backend/cpu/onednn/signals_held.h"

#include <pthread.h>
#include <signal.h>

namespace fovea::onednn {
namespace {

thread_local int t_depth = 0;
thread_local sigset_t t_before;

}  // namespace

SignalsHeld::SignalsHeld() {
  if (t_depth++ > 0) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &t_before);
}

SignalsHeld::~SignalsHeld() {
  if (--t_depth == 0) pthread_sigmask(SIG_SETMASK, &t_before, nullptr);
}

}  // namespace fovea::onednn
