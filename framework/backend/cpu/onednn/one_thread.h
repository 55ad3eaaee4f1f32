// Keeps a oneDNN call on the thread that makes it.
#pragma once

namespace fovea::onednn {

/// While it lives, oneDNN calls of this thread use no thread but this one. Our pool shares out the work, cut
/// by shapes alone; oneDNN's own threading changes bits with the number of threads.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace fovea::onednn
