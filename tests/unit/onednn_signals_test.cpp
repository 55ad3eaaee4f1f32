// A signal handler that runs during a matrix product has the thread's own stack under it.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include <cstdint>
#include <vector>

#include "framework/backend/cpu/onednn/gemm.h"
#include "framework/backend/cpu/onednn/matmul.h"
#include "framework/runtime/thread_pool.h"
#include "framework/tensor/array.h"

namespace fovea::onednn {
namespace {

uintptr_t stack_begin = 0, stack_end = 0;
volatile sig_atomic_t handled = 0, elsewhere = 0;

void look_at_stack(int) {
  const char here = 0;
  const auto at = reinterpret_cast<uintptr_t>(&here);
  handled = handled + 1;
  if (at < stack_begin || at >= stack_end) elsewhere = elsewhere + 1;
}

// A signal every 200 microseconds, to this thread alone: those of the pool block them all.
class Alarms {
 public:
  Alarms() {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    void* begin = nullptr;
    size_t size = 0;
    pthread_attr_getstack(&attributes, &begin, &size);
    pthread_attr_destroy(&attributes);
    stack_begin = reinterpret_cast<uintptr_t>(begin);
    stack_end = stack_begin + size;
    handled = 0;
    elsewhere = 0;
    struct sigaction action = {};
    action.sa_handler = look_at_stack;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval often{{0, 200}, {0, 200}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
  }
  ~Alarms() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_ = {};
};

constexpr int64_t kRows = 96, kColumns = 96, kSum = 9000;  // longer than any kernel's room on the stack
constexpr int kTimes = 60;

TEST(OneDnnSignals, HandlersRunOnTheStackDuringAProduct) {
  const std::vector<float> a(kRows * kSum, 1.f), b(kSum * kColumns, 1.f);
  std::vector<float> c(kRows * kColumns);
  const Alarms alarms;
  for (int i = 0; i < kTimes; ++i)
    gemm(kRows, kColumns, kSum, 1.f, GemmOperand<float>{a.data(), kSum, 1},
         GemmOperand<float>{b.data(), kColumns, 1}, 0.f, c.data(), kColumns);
  EXPECT_GT(handled, 0);
  EXPECT_EQ(elsewhere, 0) << "of " << handled;
  EXPECT_EQ(c.back(), static_cast<float>(kSum));
}

TEST(OneDnnSignals, HandlersRunOnTheStackDuringAPlan) {
  const std::vector<float> a(kRows * kSum, 1.f), b(kSum * kColumns, 1.f);
  std::vector<float> c(kRows * kColumns);
  MatmulDesc desc;
  desc.a = desc.b = desc.c = DType::f32;
  desc.m = kRows;
  desc.n = kColumns;
  desc.k = kSum;
  desc.a_row = kSum;
  desc.b_row = desc.c_row = kColumns;
  desc.a_col = desc.b_col = desc.c_col = 1;
  const MatmulPlan plan(desc);
  const auto workspace = Buffer::allocate(plan.workspace_bytes());
  ThreadPool pool(2);
  const Alarms alarms;
  for (int i = 0; i < kTimes; ++i)
    plan.run({.a = a.data(), .b = b.data(), .c = c.data(), .workspace = workspace->data()}, pool);
  EXPECT_GT(handled, 0);
  EXPECT_EQ(elsewhere, 0) << "of " << handled;
  EXPECT_EQ(c.back(), static_cast<float>(kSum));
}

}  // namespace
}  // namespace fovea::onednn
