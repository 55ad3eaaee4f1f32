// Stopping a run by SIGINT or SIGTERM without losing work.
#pragma once

namespace fovea::nn {

/// While it lives, the first SIGINT or SIGTERM only sets a flag that a loop looks at between two steps; the
/// second one, half a second later or more, ends the process as it would have without us. The handlers of
/// before come back afterwards. Guards may be nested: the outermost one decides. For the whole process: one
/// thread makes and destroys it.
class SignalGuard {
 public:
  /// `active` false: does nothing.
  explicit SignalGuard(bool active = true);
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  /// The signal that came, 0 for none.
  static int received();

 private:
  bool owner_ = false;
};

}  // namespace fovea::nn
