// Rows of x times panels of W, cut into pieces of rows and panels by the shapes alone; bias, activation and
// residual are applied to a piece while it is in the cache.
#include <algorithm>
#include <string>

#include "framework/backend/kernel.h"
#include "ops/shared/simd/panel_product.h"
#include "ops/shared/simd/pointwise.h"

namespace fovea {
namespace {

using simd::kPanelColumns;

constexpr int64_t kDepth = 1024;              // summed at once
constexpr int64_t kRowElements = 160 * 1024;  // of x that a piece reads again for each panel: 640 KiB
constexpr double kPieceFlops = 4e6, kMostPieces = 64;  // about 20 microseconds

int64_t pieces_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

class PackedLinear {
 public:
  explicit PackedLinear(const KernelRequest& r)
      : k_(r.in[0].shape.back()),
        n_(r.attrs.integer("columns")),
        panels_(pieces_of(n_, kPanelColumns)),
        bias_(r.attrs.flag("bias") ? 2 : 0),
        residual_(r.attrs.flag("residual") ? 2 + r.attrs.flag("bias") : 0) {
    for (size_t d = 0; d + 1 < r.in[0].shape.size(); ++d) m_ *= r.in[0].shape[d];
    const std::string& activation = r.attrs.text("activation");
    if (activation != "none") activation_ = simd::find_unary(activation, DType::f32);
    add_ = simd::find_binary("add", DType::f32);
    depths_ = std::max<int64_t>(1, pieces_of(k_, kDepth));
    const int64_t depth = std::max<int64_t>(1, pieces_of(k_, depths_));
    row_pieces_ = std::max<int64_t>(1, pieces_of(m_, std::max<int64_t>(8, kRowElements / depth)));
    const double flops = 2.0 * static_cast<double>(m_) * static_cast<double>(n_) * static_cast<double>(k_);
    const auto wanted = static_cast<int64_t>(std::clamp(flops / kPieceFlops, 1.0, kMostPieces));
    // A few panels a piece, so that the next one can be fetched in time.
    const int64_t most = std::min(panels_, std::max<int64_t>(8, panels_ / 4));
    panel_pieces_ = std::clamp<int64_t>(pieces_of(wanted, row_pieces_), 1, most);
  }

  void run(const KernelArgs& args) const {
    if (m_ == 0) return;
    args.pool.parallel_for(row_pieces_ * panel_pieces_, [&](int64_t piece) {
      const int64_t row = piece % row_pieces_, panel = piece / row_pieces_;
      run_piece(args, m_ * row / row_pieces_, m_ * (row + 1) / row_pieces_, panels_ * panel / panel_pieces_,
                panels_ * (panel + 1) / panel_pieces_);
    });
  }

 private:
  void run_piece(const KernelArgs& args, int64_t row, int64_t row_end, int64_t panel,
                 int64_t panel_end) const {
    float* c = args.output<float>(0) + row * n_;
    simd::PanelProduct<float> p;
    p.rows = row_end - row;
    p.a_row = k_;
    p.c_row = n_;
    for (int64_t i = 0; i < depths_; ++i) {
      const int64_t first = k_ * i / depths_;
      p.depth = k_ * (i + 1) / depths_ - first;
      p.a = args.input<float>(0) + row * k_ + first;
      p.add = i > 0;
      for (int64_t j = panel; j < panel_end; ++j) {
        p.panel = args.input<float>(1) + (j * k_ + first) * kPanelColumns;
        p.next = {p.panel + k_ * kPanelColumns, j + 1 < panel_end ? p.depth * kPanelColumns : 0};
        p.columns = std::min(kPanelColumns, n_ - j * kPanelColumns);
        p.c = c + j * kPanelColumns;
        simd::panel_product(p);
      }
    }
    const int64_t begin = panel * kPanelColumns, columns = std::min(n_, panel_end * kPanelColumns) - begin;
    finish(args, row, row_end, begin, static_cast<size_t>(columns));
  }

  void finish(const KernelArgs& args, int64_t row, int64_t row_end, int64_t begin, size_t columns) const {
    if (bias_ == 0 && residual_ == 0 && !activation_) return;
    for (int64_t r = row; r < row_end; ++r) {
      float* y = args.output<float>(0) + r * n_ + begin;
      if (bias_ > 0) add_(y, args.input<float>(bias_) + begin, y, columns, 0);
      if (activation_) activation_(y, y, columns);
      if (residual_ > 0) add_(y, args.input<float>(residual_) + r * n_ + begin, y, columns, 0);
    }
  }

  int64_t m_ = 1, k_, n_, panels_;
  int bias_, residual_;  // positions among the inputs, 0: not there
  simd::Unary activation_ = nullptr;
  simd::Binary add_ = nullptr;
  int64_t depths_ = 1, row_pieces_ = 1, panel_pieces_ = 1;
};

}  // namespace

FOVEA_KERNEL(cpu, packed_linear, panels) {
  kernel.dtypes({DType::f32}).prepare([](const KernelRequest& r) {
    return make_prepared([product = PackedLinear(r)](const KernelArgs& args) { product.run(args); });
  });
}

}  // namespace fovea
