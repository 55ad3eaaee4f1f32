#include "framework/backend/cpu/onednn/scratch.h"

#include <memory>
#include <new>
#include <string>

#include "framework/base/error.h"

namespace fovea::onednn {
namespace {

constexpr std::align_val_t kAlign{64};

struct Free {
  void operator()(char* p) const { ::operator delete(p, kAlign); }
};

}  // namespace

char* thread_scratch(int64_t bytes) {
  thread_local std::unique_ptr<char, Free> memory;
  thread_local int64_t size = 0;
  if (size >= bytes) return memory.get();
  memory.reset();
  size = 0;
  memory.reset(static_cast<char*>(::operator new(static_cast<size_t>(bytes), kAlign, std::nothrow)));
  if (memory == nullptr)
    fail(ErrorKind::ResourceExhausted, "a block needs " + std::to_string(bytes) + " bytes of scratch memory");
  size = bytes;
  return memory.get();
}

}  // namespace fovea::onednn
