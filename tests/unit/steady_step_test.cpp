// A training step that has run before allocates nothing: neither the step, nor the plan, nor a kernel.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "frontends/cpp/fovea.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/train_step.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0}, inside_onednn{0};

// dnnl_primitive_execute() keeps its operands in a hash map, whose nodes it allocates with every call; no
// option of oneDNN's avoids that. Such calls come from its own code.
bool is_onednn(const void* caller) {
  Dl_info info{};
  return dladdr(caller, &info) != 0 && info.dli_fname && std::strstr(info.dli_fname, "libdnnl");
}

void* take(std::size_t bytes, std::size_t alignment, const void* caller) {
  if (counting.load(std::memory_order_relaxed)) ++(is_onednn(caller) ? inside_onednn : allocations);
  void* p = nullptr;
  if (alignment <= alignof(std::max_align_t))
    p = std::malloc(bytes ? bytes : 1);
  else if (posix_memalign(&p, alignment, bytes) != 0)
    p = nullptr;
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(std::size_t bytes) { return take(bytes, 1, __builtin_return_address(0)); }
void* operator new(std::size_t bytes, std::align_val_t a) {
  return take(bytes, static_cast<std::size_t>(a), __builtin_return_address(0));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace fovea {
namespace {

int64_t allocations_of(const std::function<void()>& body) {
  allocations = inside_onednn = 0;
  counting = true;
  body();
  counting = false;
  return allocations;
}

TEST(SteadyStep, TheCountSeesAnAllocation) {
  int64_t* volatile p = nullptr;
  EXPECT_EQ(allocations_of([&] { p = new int64_t(1); }), 1);
  delete p;
}

// Of the two with convolutions, what oneDNN allocates inside of itself does not count.
TEST(SteadyStep, NoWorkloadAllocates) {
  for (const std::string name : {"translator", "gpt-char", "bert-mini", "gru-attention", "vit", "resnet20"}) {
    const models::Workload w = models::make_workload(name, 0, models::WorkloadSize::tiny);
    const models::Batch b = w.make_batch(0);
    const std::vector<Array> batch = b.arrays();
    nn::TrainOptions options;
    options.optimizer = w.optimizer;
    options.clip_norm = 1;
    options.accumulate = 2;
    nn::TrainStep step(*w.model, w.step_loss(), b.specs(), options);
    // A thread that got no work before makes its scratch memory when it first does.
    int64_t made = 1;
    for (int i = 0; i < 50 && made != 0; ++i) {
      step(batch), step(batch);
      made = allocations_of([&] { step(batch), step(batch); });
    }
    EXPECT_EQ(made, 0) << name;
    const bool convolves = name == "vit" || name == "resnet20";
    EXPECT_EQ(inside_onednn > 0, convolves) << name << ": " << inside_onednn;
  }
}

}  // namespace
}  // namespace fovea
