// A chunk of logits at a time: made, turned into the loss and its gradient in place, and multiplied back into
// the gradients of x and weight while it is there.
#include <cstring>

#include "framework/backend/cpu/onednn/matmul.h"
#include "framework/backend/kernel.h"
#include "framework/base/checked.h"
#include "ops/shared/blocks.h"
#include "ops/shared/indexing.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/reduce.h"
#include "ops/shared/simd/softmax.h"

namespace fovea {
namespace {

enum Operand { kX, kWeight, kLabels, kBias };
enum Result { kLoss, kLse, kGradX, kGradWeight, kGradBias };

// Chunks of this size cost a few percent over one product of all rows; with fewer rows the weight's gradient,
// which every chunk adds to, is read and written too often.
constexpr int64_t kChunkBytes = 8 << 20, kLeastRows = 512;

int64_t chunk_rows(int64_t rows, int64_t classes, int64_t bytes) {
  const int64_t fit = std::max(kLeastRows, kChunkBytes / std::max<int64_t>(1, classes * bytes));
  const int64_t chunks = std::max<int64_t>(1, (rows + fit - 1) / fit);
  return std::max<int64_t>(16, round_up((rows + chunks - 1) / chunks, 16));
}

// The products of one chunk of rows.
struct Products {
  Products(const OperandSpec& weight, int64_t rows, bool bias)
      : Products(weight, rows, weight.shape[1], weight.shape[0], bias) {}
  Products(const OperandSpec& w, int64_t rows, int64_t features, int64_t classes, bool bias)
      : logits(logits_desc(w, rows, features, classes, bias)),
        grad_x(grad_x_desc(w, rows, features, classes)),
        first_weight(grad_weight_desc(w.dtype, rows, features, classes, 0)),
        next_weight(grad_weight_desc(w.dtype, rows, features, classes, 1)) {}

  static onednn::MatmulDesc desc(DType t, int64_t m, int64_t n, int64_t k) {
    onednn::MatmulDesc d;
    d.a = d.b = d.c = t;
    d.m = m, d.n = n, d.k = k;
    d.c_row = n;
    return d;
  }
  static onednn::MatmulDesc logits_desc(const OperandSpec& w, int64_t rows, int64_t features, int64_t classes,
                                        bool bias) {
    onednn::MatmulDesc d = desc(w.dtype, rows, classes, features);
    d.a_row = features;
    d.b_row = w.strides[1], d.b_col = w.strides[0];
    d.bias = bias;
    return d;
  }
  static onednn::MatmulDesc grad_x_desc(const OperandSpec& w, int64_t rows, int64_t features,
                                        int64_t classes) {
    onednn::MatmulDesc d = desc(w.dtype, rows, features, classes);
    d.a_row = classes;
    d.b_row = w.strides[0], d.b_col = w.strides[1];
    return d;
  }
  static onednn::MatmulDesc grad_weight_desc(DType t, int64_t rows, int64_t features, int64_t classes,
                                             double beta) {
    onednn::MatmulDesc d = desc(t, classes, features, rows);
    d.a_row = 1, d.a_col = classes;
    d.b_row = features;
    d.beta = beta;
    return d;
  }
  int64_t workspace(bool gradients) const {
    if (!gradients) return logits.workspace_bytes();
    return std::max({logits.workspace_bytes(), grad_x.workspace_bytes(), first_weight.workspace_bytes(),
                     next_weight.workspace_bytes()});
  }
  onednn::MatmulPlan logits, grad_x, first_weight, next_weight;
};

[[noreturn]] void label_error(int64_t label, int64_t position, int64_t classes) {
  invalid("cross_entropy: label " + std::to_string(label) + " at position " + std::to_string(position) +
          " is out of range for " + std::to_string(classes) + " classes");
}

class LinearCrossEntropy final : public PreparedKernel {
 public:
  explicit LinearCrossEntropy(const KernelRequest& r)
      : dtype_(r.in[kX].dtype),
        bytes_(size_of(dtype_)),
        rows_(r.out[kLse].size()),
        features_(r.in[kWeight].shape[1]),
        classes_(r.in[kWeight].shape[0]),
        chunk_(chunk_rows(rows_, classes_, bytes_)),
        chunks_((rows_ + chunk_ - 1) / chunk_),
        bias_(r.in.size() > kBias),
        gradients_(r.out.size() > kGradX),
        each_row_(r.attrs.text("reduction") == "none"),
        mean_(r.attrs.text("reduction") == "mean"),
        kernels_(simd::softmax_kernels(dtype_)),
        sum_columns_(simd::find_reduce_columns("sum", dtype_)),
        whole_(r.in[kWeight], chunk_, bias_),
        last_(r.in[kWeight], rows_ - (chunks_ - 1) * chunk_, bias_) {
    labels_.label_dtype = r.in[kLabels].dtype;
    labels_.ignore_index = r.attrs.integer("ignore_index");
    labels_.smoothing = r.attrs.number("smoothing");
    auto take = [this](int64_t count) {
      const int64_t at = workspace_;
      workspace_ = checked_add(workspace_, round_up(checked_mul(count, bytes_), 64), "a workspace");
      return at;
    };
    logits_at_ = take(checked_mul(chunk_, classes_, "the logits of a chunk"));
    losses_at_ = take(each_row_ ? 0 : rows_);
    weights_at_ = take(gradients_ ? chunk_ : 0);
    bias_at_ = take(gradients_ && bias_ ? checked_mul(chunks_, classes_) : 0);
    product_at_ = workspace_;
    workspace_ += std::max(whole_.workspace(gradients_), last_.workspace(gradients_));
  }

  int64_t workspace_bytes() const override { return workspace_; }

  void launch(const KernelArgs& args) const override {
    if (dtype_ == DType::f64)
      run<double>(args);
    else
      run<float>(args);
  }

 private:
  template <class T>
  struct Memory {
    T *logits, *losses, *lse, *weights, *bias_parts;
  };

  int64_t rows_that_count(const KernelArgs& args) const {
    int64_t n = 0;
    for (int64_t i = 0; i < rows_; ++i)
      n += index_at(labels_.label_dtype, args.in[kLabels], i) != labels_.ignore_index;
    return n;
  }

  template <class T>
  void run(const KernelArgs& args) const {
    char* work = static_cast<char*>(args.workspace);
    auto at = [work](int64_t offset) { return reinterpret_cast<T*>(work + offset); };
    const Memory<T> memory{at(logits_at_), each_row_ ? args.output<T>(kLoss) : at(losses_at_),
                           args.output<T>(kLse), at(weights_at_), at(bias_at_)};
    const double divisor = mean_ ? static_cast<double>(rows_that_count(args)) : 1;
    if (gradients_)
      for (int64_t i = 0; i < chunk_; ++i) memory.weights[i] = static_cast<T>(1 / divisor);
    for (int64_t chunk = 0; chunk < chunks_; ++chunk) run_chunk(args, memory, chunk);
    if (gradients_ && rows_ == 0) std::memset(args.out[kGradWeight], 0, bytes(classes_ * features_));
    if (gradients_ && bias_) sum_columns(args, memory.bias_parts, args.output<T>(kGradBias), chunks_);
    if (each_row_) return;
    double total = 0;
    for (int64_t i = 0; i < rows_; ++i) total += static_cast<double>(memory.losses[i]);
    *args.output<T>(kLoss) = static_cast<T>(total / divisor);
  }

  template <class T>
  void run_chunk(const KernelArgs& args, const Memory<T>& memory, int64_t chunk) const {
    const int64_t first = chunk * chunk_, count = std::min(chunk_, rows_ - first);
    const Products& products = chunk + 1 < chunks_ ? whole_ : last_;
    const T* x = args.input<T>(kX) + first * features_;
    onednn::MatmulArgs m;
    m.workspace = static_cast<char*>(args.workspace) + product_at_;
    m.a = x, m.b = args.in[kWeight], m.c = memory.logits;
    m.bias = bias_ ? args.in[kBias] : nullptr;
    products.logits.run(m, args.pool);
    m.bias = nullptr;
    losses(args, memory, first, count);
    if (!gradients_) return;
    m.a = memory.logits, m.b = args.in[kWeight], m.c = args.output<T>(kGradX) + first * features_;
    products.grad_x.run(m, args.pool);
    m.a = memory.logits, m.b = x, m.c = args.out[kGradWeight];
    (chunk == 0 ? products.first_weight : products.next_weight).run(m, args.pool);
    if (bias_) sum_columns(args, memory.logits, memory.bias_parts + chunk * classes_, count);
  }

  // Losses of the chunk's rows; with gradients, each row's logits become their gradient while it is in cache.
  template <class T>
  void losses(const KernelArgs& args, const Memory<T>& memory, int64_t first, int64_t count) const {
    const Blocks blocks(count, std::max<int64_t>(1, 16384 / classes_));
    const size_t n = static_cast<size_t>(classes_);
    for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        simd::CrossEntropyArgs labels = labels_;
        labels.labels = args.input<char>(kLabels) + (first + i) * size_of(labels_.label_dtype);
        T* row = memory.logits + i * classes_;
        if (kernels_->cross_entropy(row, labels, memory.losses + first + i, memory.lse + first + i, 1, n) >=
            0)
          label_error(index_at(labels_.label_dtype, args.in[kLabels], first + i), first + i, classes_);
        if (gradients_)
          kernels_->cross_entropy_backward(row, labels, memory.lse + first + i, memory.weights + i, row, 1,
                                           n);
      }
    });
  }

  template <class T>
  void sum_columns(const KernelArgs& args, const T* from, T* to, int64_t rows) const {
    for_blocks(args.pool, Blocks(classes_, 1024), [&](int64_t, int64_t begin, int64_t end) {
      sum_columns_(from + begin, static_cast<size_t>(classes_), to + begin, static_cast<size_t>(rows),
                   static_cast<size_t>(end - begin));
    });
  }

  size_t bytes(int64_t count) const { return static_cast<size_t>(count * bytes_); }

  DType dtype_;
  int64_t bytes_, rows_, features_, classes_, chunk_, chunks_;
  bool bias_, gradients_, each_row_, mean_;
  const simd::SoftmaxKernels* kernels_;
  simd::ReduceColumns sum_columns_;
  simd::CrossEntropyArgs labels_;
  Products whole_, last_;
  int64_t workspace_ = 0, logits_at_ = 0, losses_at_ = 0, weights_at_ = 0, bias_at_ = 0, product_at_ = 0;
};

}  // namespace

FOVEA_KERNEL(cpu, linear_cross_entropy, chunks) {
  kernel
      .when(
          [](const KernelRequest& r) {
            return (r.in[kX].dtype == DType::f32 || r.in[kX].dtype == DType::f64) &&
                   r.in[kWeight].dtype == r.in[kX].dtype;
          },
          "x and weight are not f32 or f64")
      .strided(0b0010)
      .prepare([](const KernelRequest& r) { return std::make_unique<LinearCrossEntropy>(r); });
}

}  // namespace fovea
