#include "ops/shared/indexing.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/softmax.h"

namespace fovea {
namespace {

enum class Reduction { none, sum, mean };

struct Prepared {
  explicit Prepared(const KernelRequest& r)
      : size(r.in[0].shape, 1),
        blocks(size.blocks()),
        kernels(simd::softmax_kernels(r.in[0].dtype)),
        bytes(size_of(r.in[0].dtype)),
        wide(r.in[0].dtype == DType::f64) {
    const std::string& text = r.attrs.text("reduction");
    reduction = text == "none" ? Reduction::none : text == "sum" ? Reduction::sum : Reduction::mean;
    options.label_dtype = r.in[1].dtype;
    options.ignore_index = r.attrs.integer("ignore_index");
    options.smoothing = r.attrs.number("smoothing");
  }
  int64_t row_bytes() const { return wide ? 8 : 4; }
  simd::CrossEntropyArgs labels_from(const void* labels, int64_t row) const {
    simd::CrossEntropyArgs args = options;
    args.labels = static_cast<const char*>(labels) + row * size_of(options.label_dtype);
    return args;
  }
  /// Rows that are not ignored.
  int64_t count(const void* labels) const {
    int64_t n = 0;
    for (int64_t i = 0; i < size.rows; ++i)
      n += index_at(options.label_dtype, labels, i) != options.ignore_index;
    return n;
  }

  RowSizes size;
  Blocks blocks;
  const simd::SoftmaxKernels* kernels;
  int64_t bytes;
  bool wide;
  Reduction reduction;
  simd::CrossEntropyArgs options;
};

[[noreturn]] void label_error(int64_t label, int64_t position, int64_t classes) {
  invalid("cross_entropy: label " + std::to_string(label) + " at position " + std::to_string(position) +
          " is out of range for " + std::to_string(classes) + " classes");
}

template <class T>
void reduce(const T* losses, int64_t rows, double divisor, void* out) {
  double total = 0;
  for (int64_t i = 0; i < rows; ++i) total += static_cast<double>(losses[i]);
  *static_cast<T*>(out) = static_cast<T>(total / divisor);
}

// gloss is one value a row, or one for all.
template <class T>
void make_weights(const Prepared& p, const T* gloss, const void* labels, T* weights) {
  const double divisor = p.reduction == Reduction::mean ? static_cast<double>(p.count(labels)) : 1;
  for (int64_t i = 0; i < p.size.rows; ++i)
    weights[i] = static_cast<T>(static_cast<double>(gloss[p.reduction == Reduction::none ? i : 0]) / divisor);
}

}  // namespace

FOVEA_KERNEL(cpu, cross_entropy, rows) {
  kernel.prepare([](const KernelRequest& r) {
    const Prepared p(r);
    return make_prepared(
        [p](const KernelArgs& args) {
          char* losses =
              p.reduction == Reduction::none ? args.output<char>(0) : static_cast<char*>(args.workspace);
          for_blocks(args.pool, p.blocks, [&](int64_t, int64_t begin, int64_t end) {
            const int64_t bad = p.kernels->cross_entropy(
                args.input<char>(0) + begin * p.size.n * p.bytes, p.labels_from(args.in[1], begin),
                losses + begin * p.row_bytes(), args.output<char>(1) + begin * p.row_bytes(),
                static_cast<size_t>(end - begin), static_cast<size_t>(p.size.n));
            if (bad >= 0)
              label_error(index_at(p.options.label_dtype, args.in[1], begin + bad), begin + bad, p.size.n);
          });
          if (p.reduction == Reduction::none) return;
          const double divisor =
              p.reduction == Reduction::mean ? static_cast<double>(p.count(args.in[1])) : 1;
          if (p.wide)
            reduce(reinterpret_cast<const double*>(losses), p.size.rows, divisor, args.out[0]);
          else
            reduce(reinterpret_cast<const float*>(losses), p.size.rows, divisor, args.out[0]);
        },
        p.reduction == Reduction::none ? 0 : p.size.rows * p.row_bytes());
  });
}

FOVEA_KERNEL(cpu, cross_entropy_backward, rows) {
  kernel.in_place(0).prepare([](const KernelRequest& r) {
    const Prepared p(r);
    return make_prepared(
        [p](const KernelArgs& args) {
          if (p.wide)
            make_weights(p, args.input<double>(3), args.in[1], static_cast<double*>(args.workspace));
          else
            make_weights(p, args.input<float>(3), args.in[1], static_cast<float*>(args.workspace));
          const char* weights = static_cast<const char*>(args.workspace);
          for_blocks(args.pool, p.blocks, [&](int64_t, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t label = index_at(p.options.label_dtype, args.in[1], i);
              if (label != p.options.ignore_index && (label < 0 || label >= p.size.n))
                label_error(label, i, p.size.n);
            }
            const int64_t at = begin * p.size.n * p.bytes;
            p.kernels->cross_entropy_backward(
                args.input<char>(0) + at, p.labels_from(args.in[1], begin),
                args.input<char>(2) + begin * p.row_bytes(), weights + begin * p.row_bytes(),
                args.output<char>(0) + at, static_cast<size_t>(end - begin), static_cast<size_t>(p.size.n));
          });
        },
        p.size.rows * p.row_bytes());
  });
}

}  // namespace fovea
