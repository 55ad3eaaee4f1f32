#include "framework/backend/cpu/onednn/one_thread.h"

#include <dlfcn.h>

namespace fovea::onednn {
namespace {

// Looked up by name, in whichever OpenMP library oneDNN brought along; a oneDNN built without OpenMP has none
// and needs none. The setting belongs to the calling thread.
struct OpenMp {
  int (*max_threads)() = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  void (*set_threads)(int) = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  bool found() const { return max_threads != nullptr && set_threads != nullptr; }
};

const OpenMp& open_mp() {
  static const OpenMp functions;
  return functions;
}

}  // namespace

OneThread::OneThread() : before_(open_mp().found() ? open_mp().max_threads() : 1) {
  if (before_ != 1) open_mp().set_threads(1);
}

OneThread::~OneThread() {
  if (before_ != 1) open_mp().set_threads(before_);
}

}  // namespace fovea::onednn
