// Matrix products of strided batches, on raw pointers.
#pragma once

#include <cstdint>

#include "framework/backend/cpu/onednn/epilogue.h"
#include "framework/tensor/dtype.h"

namespace fovea {
class ThreadPool;
}

namespace fovea::onednn {

inline constexpr int kMaxBatchDims = 6;

/// C[b] = activation(alpha A[b] B[b] + beta C[b] + bias) + residual[b], with A [m, k], B [k, n], C [m, n] for
/// each b of the batch dims. All strides are in elements. A and B may have any strides: 0 (broadcast),
/// transposed or negative ones too; what the kernel cannot read in place is copied into the workspace first.
/// C's rows must be contiguous, or its columns if there is neither bias nor residual, and its elements must
/// not overlap.
///
/// f32, f16 and bf16 may be mixed and are multiplied and summed in f32; f64 stands alone. Where beta is 0, C
/// is not read. bias and residual have C's dtype.
struct MatmulDesc {
  DType a = DType::f32, b = DType::f32, c = DType::f32;
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_col = 1;
  int64_t b_row = 0, b_col = 1;
  int64_t c_row = 0, c_col = 1;
  int batch_rank = 0;
  int64_t batch[kMaxBatchDims] = {};
  int64_t a_batch[kMaxBatchDims] = {}, b_batch[kMaxBatchDims] = {}, c_batch[kMaxBatchDims] = {};
  double alpha = 1, beta = 0;
  bool bias = false;  ///< [n]
  Activation activation = Activation::None;
  bool residual = false;  ///< [batch..., m, n], columns contiguous
  int64_t residual_row = 0;
  int64_t residual_batch[kMaxBatchDims] = {};
};

/// A finished tile of C before it leaves the cache, with bias, activation and residual applied: rows [row,
/// row + rows) of [batch..., m] flattened, and columns [col, col + cols). c is its first element, of type
/// double if C is f64, else float.
struct MatmulTile {
  void* c;
  int64_t c_row;
  int64_t row, rows, col, cols;
};

/// The operands of one run. `on_tile`, where given, is called once for each tile, from any thread: further
/// work that should find the tile in the cache. With a column-major C its rows and columns are exchanged.
struct MatmulArgs {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const void* bias = nullptr;
  const void* residual = nullptr;
  void* workspace = nullptr;  ///< workspace_bytes(), aligned to 64
  void (*on_tile)(void* context, const MatmulTile& tile) = nullptr;
  void* tile_context = nullptr;
};

/// A matrix product made ready for one set of shapes and strides. The cut into blocks depends on these alone,
/// so results have equal bits for any number of threads. Preparing costs about two microseconds: nothing is
/// compiled.
class MatmulPlan {
 public:
  /// InvalidArgument or Unsupported with a sentence where the description breaks a rule above.
  explicit MatmulPlan(const MatmulDesc& desc);

  int64_t workspace_bytes() const { return workspace_bytes_; }
  /// How many pieces of work one run hands to the pool.
  int64_t blocks() const { return (items_ + items_per_block_ - 1) / items_per_block_; }
  /// Computes C. Allocates nothing of its own and may run in several threads at once, each with its own
  /// workspace.
  void run(const MatmulArgs& args, ThreadPool& pool) const;

 private:
  // An operand that is converted or re-ordered into the workspace before the product: `matrices` row-major
  // copies.
  struct Copy {
    bool used = false;
    DType from = DType::f32;
    int64_t offset = 0;  // bytes into the workspace
    int64_t matrices = 0, rows = 0, cols = 0, row_stride = 0, col_stride = 0;
    int64_t batch[kMaxBatchDims] = {}, batch_stride[kMaxBatchDims] = {};
  };
  struct Item;

  void put_c_rows_first();
  void merge_batches();
  void copy_operands();
  void copy_operand(Copy& copy, DType from, int64_t rows, int64_t cols, int64_t& row, int64_t& col,
                    int64_t* batch);
  void cut();
  int64_t reserve(int64_t elements, const char* what);

  template <class T>
  void run_as(const MatmulArgs& args, ThreadPool& pool) const;
  template <class T>
  void make_copy(const Copy& copy, const void* from, void* workspace, ThreadPool& pool) const;
  Item item(int64_t index) const;
  template <class T>
  void run_item(const MatmulArgs& args, const Item& item) const;
  template <class T>
  void sum_parts(const MatmulArgs& args, const Item& item) const;
  template <class T>
  void load_c(const MatmulArgs& args, const Item& item) const;
  template <class T>
  void finish(const MatmulArgs& args, const Item& item) const;
  template <class T>
  T* tile_of_c(const MatmulArgs& args, const Item& item) const;

  MatmulDesc d_;
  DType compute_ = DType::f32;
  bool swapped_ = false;  // C^T = B^T A^T is computed, since C's columns are the contiguous ones
  Copy a_copy_, b_copy_, residual_copy_, bias_copy_;
  bool c_copy_ = false;  // C is computed in the workspace and converted from there
  int64_t c_offset_ = 0;
  int64_t batches_ = 1;
  int64_t tile_m_ = 0, tile_n_ = 0, tiles_m_ = 1, tiles_n_ = 1;
  int64_t parts_ = 1, part_k_ = 0, parts_offset_ = 0;  // the sum over k in so many pieces, added in order
  int64_t items_ = 0, items_per_block_ = 1;
  int64_t workspace_bytes_ = 0;
};

}  // namespace fovea::onednn
