// Keeps signals away from oneDNN's matrix products.
#pragma once

namespace fovea::onednn {

/// While it lives, signals to this thread wait. oneDNN's f32 product kernels keep their workspace in the
/// stack pointer (before 3.11.2, all x86-64 kernels of long sums), so that a signal handler's frame would be
/// written over whatever the heap holds below it: mended by oneDNN pull request 4855. May be nested.
class SignalsHeld {
 public:
  SignalsHeld();
  ~SignalsHeld();
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
};

}  // namespace fovea::onednn
