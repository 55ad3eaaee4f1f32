// Reductions on the CPU: a chain of passes over matrices, each cut into blocks by shapes alone.
#include <vector>

#include "framework/base/checked.h"
#include "ops/shared/blocks.h"
#include "ops/shared/reductions.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {
namespace {

constexpr int64_t kBlockElements = 16384;
constexpr int64_t kColumns = 256;  // of one block

// [outer, n, inner] -> [outer, inner]. Where few results are made of many elements, n is cut into `parts`
// pieces of `piece` that are reduced on their own, and then among each other.
struct Pass {
  int64_t outer, n, inner;
  int64_t piece = 0, parts = 1;
  int64_t size() const { return outer * inner; }
};

struct Functions {
  simd::ReduceRows rows = nullptr;
  simd::ReduceColumns columns = nullptr;
  int64_t bytes = 0;
};

// Reduces x, `outer` matrices of n rows (whole_n apart) and `inner` columns.
void reduce(const Functions& f, const char* x, int64_t outer, int64_t stride, int64_t n, int64_t inner,
            char* y, int64_t y_stride, ThreadPool& pool) {
  if (inner == 1 && stride == n && y_stride == 1) {
    const Blocks blocks(outer, std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, n)));
    for_blocks(pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
      f.rows(x + begin * n * f.bytes, y + begin * f.bytes, end - begin, n);
    });
    return;
  }
  const Blocks columns(inner, kColumns);
  const int64_t units = outer * columns.count, unit = std::max<int64_t>(1, n * std::min(inner, kColumns));
  const Blocks blocks(units, std::max<int64_t>(1, kBlockElements / unit));
  for_blocks(pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t o = u / columns.count, c = u % columns.count, first = columns.begin(c);
      f.columns(x + (o * stride + first) * f.bytes, inner, y + (o * y_stride + first) * f.bytes, n,
                columns.end(c) - first);
    }
  });
}

void run_pass(const Functions& f, const Pass& p, const char* x, char* y, char* scratch, ThreadPool& pool) {
  if (p.parts == 1) return reduce(f, x, p.outer, p.n * p.inner, p.n, p.inner, y, p.inner, pool);
  const Blocks blocks(p.outer * p.parts, 1, 1 << 30);
  for_blocks(pool, blocks, [&](int64_t b, int64_t, int64_t) {
    const int64_t o = b / p.parts, begin = b % p.parts * p.piece, end = std::min(p.n, begin + p.piece);
    const char* from = x + (o * p.n + begin) * p.inner * f.bytes;
    char* to = scratch + b * p.inner * f.bytes;
    if (p.inner == 1)
      f.rows(from, to, 1, end - begin);
    else
      f.columns(from, p.inner, to, end - begin, p.inner);
  });
  reduce(f, scratch, p.outer, p.parts * p.inner, p.parts, p.inner, y, p.inner, pool);
}

// One pass for each run of neighbouring reduced axes, from the innermost outwards.
std::vector<Pass> passes_of(const Dims& shape, const Ints& axes) {
  std::vector<bool> reduced(shape.size(), false);
  for (int64_t a : axes) reduced[a] = true;
  std::vector<Pass> passes;
  int64_t inner = 1;
  for (size_t d = shape.size(); d > 0;) {
    if (!reduced[--d]) {
      inner = checked_mul(inner, shape[d]);
      continue;
    }
    int64_t n = shape[d];
    while (d > 0 && (reduced[d - 1] || shape[d - 1] == 1)) n = checked_mul(n, shape[--d]);
    int64_t outer = 1;
    for (size_t e = 0; e < d; ++e) outer = checked_mul(outer, shape[e]);
    passes.push_back({outer, n, inner});
  }
  if (passes.empty()) passes.push_back({inner, 1, 1});
  return passes;
}

void cut(Pass& p, DType dtype) {
  const bool half = dtype == DType::f16 || dtype == DType::bf16;  // partial results would round
  const int64_t blocks = p.inner == 1 ? p.outer : p.outer * ((p.inner + kColumns - 1) / kColumns);
  if (half || blocks >= 16 || p.n < 2 || p.n * p.inner < 4 * kBlockElements) return;
  const int64_t parts = std::min({int64_t{64}, p.n, p.n * p.inner / kBlockElements});
  p.piece = (p.n + parts - 1) / parts;
  p.parts = (p.n + p.piece - 1) / p.piece;
}

}  // namespace

void simd_reduction(Kernel& kernel) {
  kernel.when([](const KernelRequest& r) { return simd::find_reduce_rows(r.op, r.in[0].dtype) != nullptr; },
              "there is no vector loop for this element type");
  kernel.prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const DType dtype = r.in[0].dtype;
    const Functions f{simd::find_reduce_rows(r.op, dtype), simd::find_reduce_columns(r.op, dtype),
                      size_of(dtype)};
    std::vector<Pass> passes = passes_of(r.in[0].shape, r.attrs.ints("axes"));
    // Workspace: two buffers between passes, taken in turn, and one for the pieces.
    int64_t between = 0, scratch = 0;
    for (Pass& p : passes) {
      cut(p, dtype);
      if (p.parts > 1) scratch = std::max(scratch, round_up(p.outer * p.parts * p.inner * f.bytes, 64));
      between = std::max(between, round_up(p.size() * f.bytes, 64));
    }
    if (passes.size() < 2) between = 0;
    return make_prepared(
        [f, passes, between](const KernelArgs& args) {
          char* work = static_cast<char*>(args.workspace);
          const char* x = args.input<char>(0);
          for (size_t i = 0; i < passes.size(); ++i) {
            char* y =
                i + 1 == passes.size() ? args.output<char>(0) : work + static_cast<int64_t>(i % 2) * between;
            run_pass(f, passes[i], x, y, work + 2 * between, args.pool);
            x = y;
          }
        },
        2 * between + scratch);
  });
}

void simd_arg_reduction(Kernel& kernel) {
  kernel.when([](const KernelRequest& r) { return simd::find_arg_rows(r.op, r.in[0].dtype) != nullptr; },
              "there is no vector loop for this element type");
  kernel.when([](const KernelRequest& r) { return r.in[0].shape[r.attrs.integer("axis")] > 0; },
              "the axis has size 0");
  kernel.prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const DType dtype = r.in[0].dtype;
    const int64_t axis = r.attrs.integer("axis"), n = r.in[0].shape[axis], bytes = size_of(dtype);
    int64_t outer = 1, inner = 1;
    for (int64_t d = 0; d < r.in[0].rank(); ++d)
      if (d != axis) (d < axis ? outer : inner) *= r.in[0].shape[d];
    const auto rows = simd::find_arg_rows(r.op, dtype);
    const auto columns = simd::find_arg_columns(r.op, dtype);
    if (inner == 1) {
      const Blocks blocks(outer, kBlockElements / n);
      return make_prepared([=](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          rows(args.input<char>(0) + begin * n * bytes, args.output<int64_t>(0) + begin, end - begin, n);
        });
      });
    }
    const Blocks cuts(inner, kColumns);
    const Blocks blocks(outer * cuts.count,
                        kBlockElements / (n * std::max<int64_t>(1, std::min(inner, kColumns))));
    return make_prepared([=](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t u = begin; u < end; ++u) {
          const int64_t o = u / cuts.count, first = cuts.begin(u % cuts.count),
                        last = cuts.end(u % cuts.count);
          columns(args.input<char>(0) + (o * n * inner + first) * bytes, inner,
                  args.output<int64_t>(0) + o * inner + first, n, last - first);
        }
      });
    });
  });
}

}  // namespace fovea
