// Rows of scores. The axes before the last fall into three kinds: those that k and q share, those along which
// k is repeated and those along which q is. One run of each kind is what these kernels take, in any order.
#include <cstring>
#include <optional>

#include "framework/backend/kernel.h"
#include "framework/base/checked.h"
#include "ops/shared/blocks.h"
#include "ops/shared/simd/additive_scores.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {
namespace {

enum Operand { kK, kQ, kW, kG };
enum Result { kDk, kDq, kDw };
enum Kind { kShared, kOfQ, kOfK, kKinds };  // which of the two has the axis

// Sizes of the three kinds, and the steps (in rows) that each makes in the operands and in the scores.
struct Rows {
  int64_t size[kKinds] = {1, 1, 1};
  int64_t k[kKinds] = {}, q[kKinds] = {}, scores[kKinds] = {};
  int64_t n = 0;
  int64_t count() const { return size[kShared] * size[kOfQ] * size[kOfK]; }
};

// The size of axis d, counted from the last; 1 where there is none.
int64_t axis_size(const Dims& shape, size_t d) { return d < shape.size() ? shape[shape.size() - 1 - d] : 1; }

// Nothing where a kind has two runs of axes.
std::optional<Rows> rows_of(const Dims& k, const Dims& q) {
  Rows r;
  r.n = k.back();
  int64_t k_step = 1, q_step = 1, step = 1;
  int last = kKinds;
  bool seen[kKinds] = {};
  for (size_t d = 1; d < std::max(k.size(), q.size()); ++d) {
    const int64_t in_k = axis_size(k, d), in_q = axis_size(q, d);
    if (in_k == 1 && in_q == 1) continue;
    const int kind = in_k == 1 ? kOfQ : in_q == 1 ? kOfK : kShared;
    if (kind != last) {
      if (seen[kind]) return {};
      seen[kind] = true;
      last = kind;
      r.k[kind] = kind == kOfQ ? 0 : k_step;
      r.q[kind] = kind == kOfK ? 0 : q_step;
      r.scores[kind] = step;
    }
    const int64_t size = kind == kOfQ ? in_q : in_k;
    r.size[kind] *= size;
    step *= size;
    k_step *= in_k;
    q_step *= in_q;
  }
  return r;
}

bool one_run_each(const KernelRequest& r) { return rows_of(r.in[kK].shape, r.in[kQ].shape).has_value(); }
constexpr const char* kRefusal = "the axes that are repeated in k, or in q, do not lie together";

constexpr int64_t kGrain = 8192;  // elements of a block

std::unique_ptr<PreparedKernel> prepare_scores(const KernelRequest& request) {
  const Rows r = *rows_of(request.in[kK].shape, request.in[kQ].shape);
  const auto run = simd::additive_scores_kernels(request.in[kK].dtype)->scores;
  const int64_t bytes = size_of(request.in[kK].dtype), row = r.n * bytes;
  const Blocks blocks(r.count(), std::max<int64_t>(1, kGrain / std::max<int64_t>(1, r.n)));
  return make_prepared([=](const KernelArgs& args) {
    for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
      while (begin < end) {  // as many rows as one row of q meets
        const int64_t j = begin % r.size[kOfK], pair = begin / r.size[kOfK];
        const int64_t i = pair % r.size[kOfQ], b = pair / r.size[kOfQ];
        const int64_t count = std::min(r.size[kOfK] - j, end - begin);
        const simd::AdditiveRows rows{
            .count = static_cast<size_t>(count),
            .n = static_cast<size_t>(r.n),
            .k_step = static_cast<size_t>(r.k[kOfK] * r.n),
            .score_step = static_cast<size_t>(r.scores[kOfK]),
        };
        run(rows, args.input<char>(kK) + (b * r.k[kShared] + j * r.k[kOfK]) * row,
            args.input<char>(kQ) + (b * r.q[kShared] + i * r.q[kOfQ]) * row, args.in[kW],
            args.output<char>(0) + (b * r.scores[kShared] + i * r.scores[kOfQ] + j * r.scores[kOfK]) * bytes);
        begin += count;
      }
    });
  });
}

// Work is cut along the shared axes and, where these are few, along the columns: each part has rows of dk and
// dq, or columns of them, to itself. Parts of the shared axes sum dw on their own; these are added in order.
class Backward final : public PreparedKernel {
 public:
  explicit Backward(const KernelRequest& request)
      : r_(*rows_of(request.in[kK].shape, request.in[kQ].shape)),
        bytes_(size_of(request.in[kK].dtype)),
        run_(simd::additive_scores_kernels(request.in[kK].dtype)->backward),
        add_up_(simd::find_reduce_columns("sum", request.in[kK].dtype)),
        shared_(r_.size[kShared], kGrain / std::max<int64_t>(1, r_.n * r_.size[kOfQ] * r_.size[kOfK]),
                kParts),
        columns_(r_.n, shared_.count >= kEnough ? r_.n : kColumns) {}

  int64_t workspace_bytes() const override {
    return checked_mul(checked_mul(shared_.count, r_.n, "partial sums"), bytes_, "partial sums");
  }

  void launch(const KernelArgs& args) const override {
    for_blocks(args.pool, Blocks(shared_.count * columns_.count, 1, kParts * kParts),
               [&](int64_t, int64_t begin, int64_t end) {
                 for (int64_t at = begin; at < end; ++at)
                   part(args, at / columns_.count, columns_.begin(at % columns_.count),
                        columns_.end(at % columns_.count));
               });
    add_up_(args.workspace, static_cast<size_t>(r_.n), args.out[kDw], static_cast<size_t>(shared_.count),
            static_cast<size_t>(r_.n));
  }

 private:
  // How many parts the shared axes make at most, with how many the columns stay whole, columns of a part.
  static constexpr int64_t kParts = 64, kEnough = 16, kColumns = 64;

  void part(const KernelArgs& args, int64_t block, int64_t first, int64_t last) const {
    const int64_t width = (last - first) * bytes_, at = first * bytes_, row = r_.n * bytes_;
    char* dw = static_cast<char*>(args.workspace) + block * row + at;
    std::memset(dw, 0, static_cast<size_t>(width));
    const simd::AdditiveRows rows{
        .count = static_cast<size_t>(r_.size[kOfK]),
        .n = static_cast<size_t>(last - first),
        .k_step = static_cast<size_t>(r_.k[kOfK] * r_.n),
        .score_step = static_cast<size_t>(r_.scores[kOfK]),
    };
    for (int64_t b = shared_.begin(block); b < shared_.end(block); ++b) {
      const int64_t k = b * r_.k[kShared] * row + at;
      if (r_.size[kOfQ] == 0) clear(args.output<char>(kDk) + k, r_.size[kOfK], r_.k[kOfK] * row, width);
      for (int64_t i = 0; i < r_.size[kOfQ]; ++i) {
        const int64_t q = (b * r_.q[kShared] + i * r_.q[kOfQ]) * row + at;
        std::memset(args.output<char>(kDq) + q, 0, static_cast<size_t>(width));
        run_(rows, args.input<char>(kK) + k, args.input<char>(kQ) + q, args.input<char>(kW) + at,
             args.input<char>(kG) + (b * r_.scores[kShared] + i * r_.scores[kOfQ]) * bytes_,
             args.output<char>(kDk) + k, args.output<char>(kDq) + q, dw, i > 0);
      }
    }
  }
  static void clear(char* rows, int64_t count, int64_t step, int64_t width) {
    for (int64_t j = 0; j < count; ++j) std::memset(rows + j * step, 0, static_cast<size_t>(width));
  }

  Rows r_;
  int64_t bytes_;
  decltype(simd::AdditiveScoresKernels::backward) run_;
  simd::ReduceColumns add_up_;
  Blocks shared_, columns_;
};

}  // namespace

FOVEA_KERNEL(cpu, additive_scores, rows) {
  kernel.dtypes({DType::f32, DType::f64}).when(one_run_each, kRefusal).prepare(prepare_scores);
}

FOVEA_KERNEL(cpu, additive_scores_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).when(one_run_each, kRefusal).prepare([](const KernelRequest& r) {
    return std::make_unique<Backward>(r);
  });
}

}  // namespace fovea
