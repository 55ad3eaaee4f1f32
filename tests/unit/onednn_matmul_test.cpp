#include "framework/backend/cpu/onednn/matmul.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

// Storage of any float dtype, read and written as double.
struct Storage {
  DType dtype = DType::f32;
  std::vector<double> value;  // what is stored, after rounding
  std::vector<char> bytes;

  Storage(DType t, size_t n) : dtype(t), value(n), bytes(n * static_cast<size_t>(size_of(t))) {}
  void set(size_t i, double v) {
    dispatch(dtype, [&](auto tag) {
      using T = decltype(tag);
      if constexpr (!std::is_same_v<T, bool> && !std::is_integral_v<T>) {
        const T x = T(static_cast<float>(v));
        std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof(T));
        value[i] = static_cast<double>(static_cast<float>(x));
      }
    });
  }
  double get(size_t i) const {
    double out = 0;
    dispatch(dtype, [&](auto tag) {
      using T = decltype(tag);
      if constexpr (std::is_same_v<T, double>) {
        std::memcpy(&out, bytes.data() + i * sizeof(T), sizeof(T));
      } else if constexpr (!std::is_same_v<T, bool> && !std::is_integral_v<T>) {
        T x;
        std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
        out = static_cast<double>(static_cast<float>(x));
      }
    });
    return out;
  }
};

double reference_activation(Activation a, double x) {
  if (a == Activation::Relu) return std::max(x, 0.0);
  if (a == Activation::GeluErf) return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
  if (a == Activation::GeluTanh)
    return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  return x;
}

// A product with its operands, laid out as a case asks, and the expected result by plain loops in double.
struct Case {
  MatmulDesc d;
  int64_t a_begin = 0, b_begin = 0;  // where element (0, 0) lies; not 0 with negative strides
  Storage a{DType::f32, 0}, b{DType::f32, 0}, c{DType::f32, 0}, bias{DType::f32, 0}, residual{DType::f32, 0};

  template <class F>
  void for_each(F f) const {
    int64_t index[kMaxBatchDims] = {};
    int64_t batches = 1;
    for (int i = 0; i < d.batch_rank; ++i) batches *= d.batch[i];
    for (int64_t flat = 0; flat < batches; ++flat) {
      int64_t rest = flat;
      for (int i = d.batch_rank - 1; i >= 0; --i) {
        index[i] = rest % d.batch[i];
        rest /= d.batch[i];
      }
      f(index);
    }
  }
  int64_t at(const int64_t* index, const int64_t* stride) const {
    int64_t sum = 0;
    for (int i = 0; i < d.batch_rank; ++i) sum += index[i] * stride[i];
    return sum;
  }
  void fill(unsigned seed, size_t na, size_t nb, size_t nc) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    a = Storage(d.a, na);
    b = Storage(d.b, nb);
    c = Storage(d.c, nc);
    bias = Storage(d.c, static_cast<size_t>(d.n));
    residual = Storage(d.c, nc);
    for (Storage* s : {&a, &b, &c, &bias, &residual})
      for (size_t i = 0; i < s->value.size(); ++i) s->set(i, uniform(random));
  }
  std::vector<char> run(ThreadPool& pool) const {
    std::vector<char> out = c.bytes;
    const MatmulPlan plan(d);
    std::vector<char> memory(static_cast<size_t>(plan.workspace_bytes()) + 64, char(0x7f));
    MatmulArgs args;
    args.a = a.bytes.data() + a_begin * size_of(d.a);
    args.b = b.bytes.data() + b_begin * size_of(d.b);
    args.c = out.data();
    args.bias = bias.bytes.data();
    args.residual = residual.bytes.data();
    args.workspace = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    plan.run(args, pool);
    return out;
  }
  void check(const std::string& what) const {
    ThreadPool two(2);
    Storage got = c;
    got.bytes = run(two);
    std::vector<bool> written(c.value.size(), false);
    int bad = 0;
    const double unit = d.c == DType::f64   ? 1e-14
                        : d.c == DType::f32 ? 1e-6
                        : d.c == DType::f16 ? 6e-4
                                            : 5e-3;
    for_each([&](const int64_t* index) {
      for (int64_t i = 0; i < d.m; ++i)
        for (int64_t j = 0; j < d.n; ++j) {
          double sum = 0, size = 1;
          for (int64_t p = 0; p < d.k; ++p) {
            const size_t ia = static_cast<size_t>(a_begin + at(index, d.a_batch) + i * d.a_row + p * d.a_col);
            const size_t ib = static_cast<size_t>(b_begin + at(index, d.b_batch) + p * d.b_row + j * d.b_col);
            sum += a.value[ia] * b.value[ib];
            size += std::abs(a.value[ia] * b.value[ib]);
          }
          const size_t ic = static_cast<size_t>(at(index, d.c_batch) + i * d.c_row + j * d.c_col);
          double x = d.alpha * sum + (d.beta == 0 ? 0 : d.beta * c.value[ic]);
          if (d.bias) x += bias.value[static_cast<size_t>(j)];
          x = reference_activation(d.activation, x);
          if (d.residual)
            x += residual.value[static_cast<size_t>(at(index, d.residual_batch) + i * d.residual_row + j)];
          written[ic] = true;
          const double of_sum =
              (d.c == DType::f64 ? 4e-16 : 2e-7) * std::sqrt(static_cast<double>(d.k) + 1) * size;
          if (!(std::abs(got.get(ic) - x) <= unit * (1 + std::abs(x)) + of_sum) && ++bad < 4)
            ADD_FAILURE() << what << ": c[" << i << ", " << j << "] is " << got.get(ic) << ", expected " << x;
        }
    });
    EXPECT_EQ(bad, 0) << what;
    for (size_t i = 0; i < written.size(); ++i)
      if (!written[i]) {
        ASSERT_EQ(got.get(i), c.value[i]) << what << ": wrote outside of C at " << i;
      }
    for (int threads : {1, 4}) {
      ThreadPool pool(threads);
      EXPECT_EQ(run(pool), got.bytes) << what << ": other bits with " << threads << " threads";
    }
  }
};

// Row-major or transposed operands with padding behind each row.
Case make(int64_t m, int64_t n, int64_t k, bool ta, bool tb, int64_t pad, unsigned seed, int64_t batch = 1,
          DType a = DType::f32, DType b = DType::f32, DType c = DType::f32) {
  Case x;
  MatmulDesc& d = x.d;
  d.a = a;
  d.b = b;
  d.c = c;
  d.m = m;
  d.n = n;
  d.k = k;
  d.a_row = ta ? 1 : k + pad;
  d.a_col = ta ? m + pad : 1;
  d.b_row = tb ? 1 : n + pad;
  d.b_col = tb ? k + pad : 1;
  d.c_row = n + pad;
  d.batch_rank = 1;
  d.batch[0] = batch;
  d.a_batch[0] = (m + pad) * (k + pad);
  d.b_batch[0] = (k + pad) * (n + pad);
  d.c_batch[0] = (m + pad) * (n + pad);
  d.residual_row = d.c_row;
  d.residual_batch[0] = d.c_batch[0];
  x.fill(seed, static_cast<size_t>(batch * d.a_batch[0]), static_cast<size_t>(batch * d.b_batch[0]),
         static_cast<size_t>(batch * d.c_batch[0]));
  return x;
}

std::string name(const Case& x) {
  return std::to_string(x.d.m) + "x" + std::to_string(x.d.n) + "x" + std::to_string(x.d.k) + " a " +
         std::string(to_string(x.d.a)) + " " + std::to_string(x.d.a_row) + "," + std::to_string(x.d.a_col) +
         " b " + std::to_string(x.d.b_row) + "," + std::to_string(x.d.b_col);
}

TEST(OnednnMatmul, SmallAndOddShapes) {
  unsigned seed = 1;
  for (int64_t m : {1, 2, 7, 33})
    for (int64_t n : {1, 3, 17, 65})
      for (int64_t k : {0, 1, 5, 64})
        for (int layout = 0; layout < 4; ++layout) {
          Case x = make(m, n, k, layout & 1, layout & 2, layout == 3 ? 3 : 0, seed++);
          x.d.beta = seed % 3 == 0 ? 0.5 : 0;
          x.d.alpha = seed % 2 == 0 ? 1 : -1.25;
          x.check(name(x));
        }
}

TEST(OnednnMatmul, ShapesCutIntoBlocks) {
  unsigned seed = 1000;
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{300, 200, 129}, {513, 65, 384}, {40, 700, 300}, {97, 1030, 61}})
    for (int layout = 0; layout < 4; ++layout) {
      Case x = make(m, n, k, layout & 1, layout & 2, layout == 2 ? 5 : 0, seed++);
      EXPECT_GT(MatmulPlan(x.d).blocks(), 1);
      x.check(name(x));
    }
}

TEST(OnednnMatmul, LongSumsOfSmallMatricesAreCutInParts) {
  for (DType t : {DType::f32, DType::bf16, DType::f64}) {
    Case x = make(24, 40, 20000, true, false, 0, 5, 1, t, t, t);
    EXPECT_GT(MatmulPlan(x.d).blocks(), 1);
    x.d.bias = true;
    x.d.beta = 2;
    x.check(name(x));
  }
}

TEST(OnednnMatmul, ZeroSizesWriteNothing) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{0, 3, 4}, {3, 0, 4}, {0, 0, 0}}) {
    Case x = make(m, n, k, false, false, 2, 3);
    x.check(name(x));
  }
  Case none = make(4, 4, 4, false, false, 0, 3, 2);
  none.d.batch[0] = 0;
  none.check("no batches");
}

TEST(OnednnMatmul, BiasActivationResidual) {
  unsigned seed = 50;
  for (DType t : {DType::f32, DType::f64, DType::bf16, DType::f16})
    for (Activation a : {Activation::None, Activation::Relu, Activation::GeluErf, Activation::GeluTanh})
      for (int with = 0; with < 4; ++with) {
        Case x = make(19, 37, 23, false, true, 1, seed++, 3, t, t, t);
        x.d.activation = a;
        x.d.bias = with & 1;
        x.d.residual = with & 2;
        x.check(name(x) + " activation " + std::to_string(static_cast<int>(a)));
      }
}

TEST(OnednnMatmul, MixedDtypes) {
  const DType floats[] = {DType::f32, DType::bf16, DType::f16};
  unsigned seed = 80;
  for (DType a : floats)
    for (DType b : floats)
      for (DType c : floats) {
        Case x = make(21, 34, 55, seed % 2, seed % 3 == 0, 0, seed, 2, a, b, c);
        x.d.beta = seed++ % 2 ? 0 : -0.5;
        x.check(name(x));
      }
}

TEST(OnednnMatmul, BatchesBroadcastAndMerge) {
  Case x = make(13, 21, 8, false, true, 0, 9, 6);
  x.d.b_batch[0] = 0;  // one weight for all: runs as one matrix of 78 rows
  x.d.bias = x.d.residual = true;
  x.check("shared b");
  Case y = make(13, 21, 8, false, false, 0, 10, 6);
  y.d.a_batch[0] = 0;
  y.check("shared a");
  Case z = make(1, 21, 8, false, true, 4, 11, 6);
  z.d.b_batch[0] = 0;
  z.d.a_row = z.d.c_row = 1;  // the row stride of a single row means nothing
  z.check("single rows");
}

TEST(OnednnMatmul, HeadsAsStridedViews) {
  // q, k [B, L, H, D] seen as [B, H, L, D]: scores [B, H, L, L] = q k^T
  const int64_t B = 2, H = 3, L = 50, D = 16;
  for (DType t : {DType::f32, DType::bf16}) {
    Case x;
    MatmulDesc& d = x.d;
    d.a = d.b = d.c = t;
    d.m = d.n = L;
    d.k = D;
    d.a_row = d.b_col = H * D;
    d.a_col = d.b_row = 1;
    d.c_row = L;
    d.alpha = 0.25;
    d.batch_rank = 2;
    d.batch[0] = B;
    d.batch[1] = H;
    d.a_batch[0] = d.b_batch[0] = L * H * D;
    d.a_batch[1] = d.b_batch[1] = D;
    d.c_batch[0] = H * L * L;
    d.c_batch[1] = L * L;
    x.fill(12, B * L * H * D, B * L * H * D, B * H * L * L);
    x.check("scores");
  }
}

TEST(OnednnMatmul, AnyStridesOfAAndB) {
  for (DType t : {DType::f32, DType::f64, DType::f16}) {
    Case every_second = make(9, 11, 7, false, false, 0, 13, 1, t, t, t);
    every_second.d.a_row = 14;
    every_second.d.a_col = 2;
    every_second.d.b_row = 22;
    every_second.d.b_col = 2;
    every_second.fill(14, 9 * 14, 7 * 22, 9 * 11);
    every_second.check("column stride 2");

    Case backwards = make(9, 11, 7, false, false, 0, 15, 1, t, t, t);
    backwards.d.a_row = -7;
    backwards.d.b_col = -1;
    backwards.a_begin = 8 * 7;
    backwards.b_begin = 10;
    backwards.check("negative strides");

    Case repeated = make(9, 11, 7, false, false, 0, 16, 1, t, t, t);
    repeated.d.a_row = 0;
    repeated.d.b_row = 0;
    repeated.check("stride 0");

    Case windows = make(9, 11, 7, false, false, 0, 17, 1, t, t, t);
    windows.d.a_row = 1;  // overlapping rows
    windows.check("sliding window");
  }
}

TEST(OnednnMatmul, ColumnMajorC) {
  for (DType t : {DType::f32, DType::f64, DType::bf16}) {
    Case x = make(70, 90, 40, false, true, 0, 21, 2, t, t, t);
    x.d.c_row = 1;
    x.d.c_col = 70;
    x.d.activation = Activation::Relu;
    x.check("column-major C");
  }
  Case column = make(1, 90, 40, false, true, 0, 22);
  column.d.c_col = 3;
  column.fill(23, 40, 90 * 40, 270);
  column.d.batch_rank = 0;
  column.check("one row with stride 3");
}

TEST(OnednnMatmul, CIsNotReadWhereBetaIsZero) {
  for (DType t : {DType::f32, DType::f64, DType::bf16})
    for (int64_t k : {0, 3, 20000}) {
      Case x = make(5, 6, k, false, false, 0, 31, 1, t, t, t);
      const double nan = std::numeric_limits<double>::quiet_NaN();
      for (size_t i = 0; i < x.c.value.size(); ++i) x.c.set(i, nan);
      x.check(name(x));
    }
}

TEST(OnednnMatmul, NanAndInfinityFollowTheSums) {
  Case x = make(40, 70, 30, false, true, 0, 33);
  x.a.set(0, std::numeric_limits<double>::quiet_NaN());
  x.a.set(30, std::numeric_limits<double>::infinity());
  ThreadPool pool(1);
  for (Activation a : {Activation::None, Activation::Relu, Activation::GeluErf, Activation::GeluTanh}) {
    x.d.activation = a;
    Storage got = x.c;
    got.bytes = x.run(pool);
    for (size_t j = 0; j < 70; ++j) {
      EXPECT_TRUE(std::isnan(got.get(j))) << j;
      const bool up = x.b.value[j * 30] > 0;
      EXPECT_EQ(got.get(70 + j), up ? INFINITY : a == Activation::None ? -INFINITY : 0.0) << j;
      EXPECT_TRUE(std::isfinite(got.get(140 + j)));
    }
  }
}

TEST(OnednnMatmul, TilesAreReportedOnce) {
  Case x = make(50, 300, 130, false, true, 0, 41, 6);
  x.d.b_batch[0] = 0;
  struct Seen {
    std::vector<int> count = std::vector<int>(6 * 50 * 300, 0);
  } seen;
  MatmulArgs args;
  std::vector<float> out(6 * 50 * 300);
  args.a = x.a.bytes.data();
  args.b = x.b.bytes.data();
  args.c = out.data();
  args.tile_context = &seen;
  args.on_tile = [](void* context, const MatmulTile& tile) {
    auto& s = *static_cast<Seen*>(context);
    for (int64_t r = 0; r < tile.rows; ++r)
      for (int64_t j = 0; j < tile.cols; ++j) {
        ++s.count[static_cast<size_t>((tile.row + r) * 300 + tile.col + j)];
        static_cast<float*>(tile.c)[r * tile.c_row + j] = static_cast<float>(tile.row + r);
      }
  };
  ThreadPool pool(2);
  const MatmulPlan plan(x.d);
  EXPECT_GT(plan.blocks(), 1);
  plan.run(args, pool);
  EXPECT_EQ(seen.count, std::vector<int>(6 * 50 * 300, 1));
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<float>(i / 300));
}

TEST(OnednnMatmul, ForkedChildComputesTheSameBits) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer refuses new threads after a fork with threads alive";
#endif
  const Case x = make(300, 200, 129, false, true, 0, 77);
  ThreadPool pool(2);
  const std::vector<char> here = x.run(pool);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(x.run(pool) == here ? 42 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
}

TEST(OnednnMatmul, SeveralHostThreadsRunOnePlan) {
  const Case x = make(150, 200, 129, true, false, 0, 78);
  ThreadPool pool(2);
  const std::vector<char> alone = x.run(pool);
  std::vector<std::thread> hosts;
  std::atomic<int> equal{0};
  for (int i = 0; i < 3; ++i)
    hosts.emplace_back([&] {
      for (int round = 0; round < 5; ++round) equal += x.run(pool) == alone;
    });
  for (std::thread& t : hosts) t.join();
  EXPECT_EQ(equal.load(), 15);
}

TEST(OnednnMatmul, RefusesWithASentence) {
  const auto sentence = [](auto change) -> std::string {
    Case x = make(4, 5, 6, false, false, 0, 1, 2);
    change(x.d);
    try {
      MatmulPlan plan(x.d);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(sentence([](MatmulDesc& d) { d.m = -1; }),
            "InvalidArgument: matmul: m is -1; a size cannot be negative");
  EXPECT_EQ(sentence([](MatmulDesc& d) { d.a = DType::i32; }),
            "Unsupported: matmul: dtype i32 is not floating point");
  EXPECT_EQ(sentence([](MatmulDesc& d) { d.c = DType::f64; }),
            "Unsupported: matmul: f64 cannot be mixed with other dtypes: a is f32, b f32, c f64");
  EXPECT_EQ(sentence([](MatmulDesc& d) { d.c_batch[0] = 0; }),
            "InvalidArgument: matmul: C has stride 0 in batch dim 0 of size 2");
  EXPECT_EQ(
      sentence([](MatmulDesc& d) { d.c_row = 3; }),
      "Unsupported: matmul: C [4, 5] has row stride 3 and column stride 1; its rows or its columns must be "
      "contiguous");
  EXPECT_NE(sentence([](MatmulDesc& d) { d.m = d.k = int64_t{1} << 40; }), "");
  EXPECT_NE(sentence([](MatmulDesc& d) { d.batch_rank = 9; }), "");
  EXPECT_EQ(sentence([](MatmulDesc&) {}), "");
}

}  // namespace
}  // namespace fovea::onednn
