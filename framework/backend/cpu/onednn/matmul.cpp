#include "framework/backend/cpu/onednn/matmul.h"

#include <algorithm>
#include <string>
#include <utility>

#include "framework/backend/cpu/onednn/convert.h"
#include "framework/backend/cpu/onednn/gemm.h"
#include "framework/backend/cpu/onednn/signals_held.h"
#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

constexpr int64_t kAlign = 64;
// Few large blocks are best, since each packs its share of A and B anew: 64 blocks measured up to 40% slower
// than 8. So 8 as soon as that pays, and more only where they are large all the same.
constexpr int64_t kUsualBlocks = 8, kMaxBlocks = 64;
constexpr double kBlockMicroseconds = 40, kLargeBlockMicroseconds = 700;
constexpr int64_t kMinTileM = 32, kMinTileN = 64;
// Sums longer than this are cut where C alone gives too few tiles.
constexpr int64_t kMinPartK = 1024;
constexpr int64_t kMaxParts = 8;

std::string str(int64_t v) { return std::to_string(v); }

// About how long one core takes: arithmetic at 200 GFLOP/s, memory at 20 GB/s.
double microseconds(double m, double n, double k) {
  return 2 * m * n * k / 200e3 + 4 * (m * k + k * n + 2 * m * n) / 20e3;
}

int64_t power_of_two_below(double x, int64_t most) {
  int64_t p = 1;
  while (static_cast<double>(2 * p) <= x && 2 * p <= most) p *= 2;
  return p;
}

int64_t cut_evenly(int64_t size, int64_t pieces, int64_t multiple) {
  const int64_t even = (size + pieces - 1) / pieces;
  return std::min(size, (even + multiple - 1) / multiple * multiple);
}

int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

void check_size(const char* name, int64_t v) {
  if (v < 0) invalid("matmul: " + std::string(name) + " is " + str(v) + "; a size cannot be negative");
}

void check(const MatmulDesc& d) {
  check_size("m", d.m);
  check_size("n", d.n);
  check_size("k", d.k);
  if (d.batch_rank < 0 || d.batch_rank > kMaxBatchDims)
    invalid("matmul: " + str(d.batch_rank) + " batch dims; at most " + str(kMaxBatchDims) + " are supported");
  int64_t batches = 1;
  for (int i = 0; i < d.batch_rank; ++i) {
    check_size("a batch dim", d.batch[i]);
    if (d.batch[i] > 1 && d.c_batch[i] == 0)
      invalid("matmul: C has stride 0 in batch dim " + str(i) + " of size " + str(d.batch[i]));
    batches = checked_mul(batches, std::max<int64_t>(d.batch[i], 1), "matmul's batch");
  }
  for (const auto& [x, y] : {std::pair{d.m, d.n}, {d.m, d.k}, {d.k, d.n}})
    checked_mul(checked_mul(checked_mul(std::max<int64_t>(x, 1), std::max<int64_t>(y, 1), "a matrix"),
                            batches, "matmul's batch"),
                16, "matmul's bytes");
  for (DType t : {d.a, d.b, d.c})
    if (!is_floating(t))
      fail(ErrorKind::Unsupported, "matmul: dtype " + std::string(to_string(t)) + " is not floating point");
  const int doubles = (d.a == DType::f64) + (d.b == DType::f64) + (d.c == DType::f64);
  if (doubles != 0 && doubles != 3)
    fail(ErrorKind::Unsupported, "matmul: f64 cannot be mixed with other dtypes: a is " +
                                     std::string(to_string(d.a)) + ", b " + std::string(to_string(d.b)) +
                                     ", c " + std::string(to_string(d.c)));
}

}  // namespace

// One tile of one matrix, and one part of its sum.
struct MatmulPlan::Item {
  int64_t batch, row, rows, col, cols, part;
  int64_t index[kMaxBatchDims];

  int64_t offset(const int64_t* stride, int rank) const {
    int64_t sum = 0;
    for (int i = 0; i < rank; ++i) sum += index[i] * stride[i];
    return sum;
  }
};

MatmulPlan::MatmulPlan(const MatmulDesc& desc) : d_(desc) {
  check(d_);
  compute_ = d_.c == DType::f64 ? DType::f64 : DType::f32;
  put_c_rows_first();
  merge_batches();
  for (int i = 0; i < d_.batch_rank; ++i) batches_ *= d_.batch[i];
  if (batches_ == 0 || d_.m == 0 || d_.n == 0) return;
  copy_operands();
  cut();
}

void MatmulPlan::put_c_rows_first() {
  MatmulDesc& d = d_;
  if (d.n <= 1) d.c_col = 1;
  if (d.m <= 1) d.c_row = d.c_col == 1 ? std::max<int64_t>(d.n, 1) : 1;
  if (d.residual && d.m <= 1) d.residual_row = d.n;
  if (d.c_col != 1 && d.c_row == 1 && !d.bias && !d.residual) {
    swapped_ = true;
    std::swap(d.a, d.b);
    std::swap(d.m, d.n);
    std::swap(d.c_row, d.c_col);
    std::swap(d.a_batch, d.b_batch);
    std::swap(d.a_row, d.b_col);
    std::swap(d.a_col, d.b_row);
  }
  if (d.c_col != 1 || d.c_row < d.n)
    fail(ErrorKind::Unsupported,
         "matmul: C [" + str(d.m) + ", " + str(d.n) + "] has row stride " + str(d.c_row) +
             " and column stride " + str(d.c_col) +
             (d.bias || d.residual ? "; with a bias or residual its rows must be contiguous"
                                   : "; its rows or its columns must be contiguous"));
}

// [batch, m, k] by one [k, n] is [batch * m, k] by [k, n]. Only the innermost dim, so that rows keep their
// order.
void MatmulPlan::merge_batches() {
  MatmulDesc& d = d_;
  int kept = 0;
  for (int i = 0; i < d.batch_rank; ++i) {
    if (d.batch[i] == 1) continue;
    d.batch[kept] = d.batch[i];
    d.a_batch[kept] = d.a_batch[i];
    d.b_batch[kept] = d.b_batch[i];
    d.c_batch[kept] = d.c_batch[i];
    d.residual_batch[kept++] = d.residual_batch[i];
  }
  d.batch_rank = kept;
  while (d.batch_rank > 0) {
    const int i = d.batch_rank - 1;
    // The row stride of a single row says nothing; the batch's takes its place.
    const int64_t a_row = d.m == 1 ? d.a_batch[i] : d.a_row;
    const int64_t c_row = d.m == 1 ? d.c_batch[i] : d.c_row;
    const int64_t residual_row = d.m == 1 ? d.residual_batch[i] : d.residual_row;
    const bool follows = d.b_batch[i] == 0 && d.a_batch[i] == d.m * a_row && d.c_batch[i] == d.m * c_row &&
                         c_row >= d.n && (!d.residual || d.residual_batch[i] == d.m * residual_row);
    if (!follows) break;
    d.a_row = a_row;
    d.c_row = c_row;
    d.residual_row = residual_row;
    d.m *= d.batch[i];
    --d.batch_rank;
  }
}

int64_t MatmulPlan::reserve(int64_t elements, const char* what) {
  const int64_t offset = workspace_bytes_;
  const int64_t bytes = round_up(checked_mul(elements, size_of(compute_), what), kAlign);
  workspace_bytes_ = checked_add(workspace_bytes_, bytes, what);
  return offset;
}

void MatmulPlan::copy_operands() {
  MatmulDesc& d = d_;
  copy_operand(a_copy_, d.a, d.m, d.k, d.a_row, d.a_col, d.a_batch);
  copy_operand(b_copy_, d.b, d.k, d.n, d.b_row, d.b_col, d.b_batch);
  if (d.c == compute_) return;
  c_copy_ = true;
  c_offset_ = reserve(checked_mul(batches_, checked_mul(d.m, d.n)), "matmul's C");
  int64_t col = 1, row = 0, none[kMaxBatchDims] = {};
  if (d.residual) copy_operand(residual_copy_, d.c, d.m, d.n, d.residual_row, col, d.residual_batch);
  if (d.bias) copy_operand(bias_copy_, d.c, 1, d.n, row, col, none);
}

// Decides whether an operand is read in place, and gives the strides to read it with.
void MatmulPlan::copy_operand(Copy& copy, DType from, int64_t rows, int64_t cols, int64_t& row, int64_t& col,
                              int64_t* batch) {
  if (rows == 0 || cols == 0) return;
  if (cols == 1) col = 1;
  if (rows == 1) row = col == 1 ? cols : 1;
  const bool plain = col == 1 && row >= cols;
  const bool transposed = row == 1 && col >= rows;
  if (from == compute_ && (plain || (transposed && compute_ == DType::f32))) return;

  copy.used = true;
  copy.from = from;
  // The copy keeps a transposed matrix transposed, so that both sides are contiguous. A single row becomes
  // dense.
  const bool keep = transposed && !plain && rows > 1 && compute_ == DType::f32;
  copy.rows = keep ? cols : rows;
  copy.cols = keep ? rows : cols;
  copy.row_stride = keep ? col : row;
  copy.col_stride = keep ? row : col;
  row = keep ? 1 : cols;
  col = keep ? rows : 1;
  copy.matrices = 1;
  for (int i = d_.batch_rank - 1; i >= 0; --i) {
    copy.batch_stride[i] = batch[i];
    copy.batch[i] = batch[i] == 0 ? 1 : d_.batch[i];  // a broadcast matrix is copied once
    batch[i] = batch[i] == 0 ? 0 : copy.matrices * rows * cols;
    copy.matrices *= copy.batch[i];
  }
  copy.offset = reserve(copy.matrices * rows * cols, "matmul's workspace");
}

void MatmulPlan::cut() {
  const int64_t m = d_.m, n = d_.n, k = std::max<int64_t>(d_.k, 1);
  const double one = microseconds(static_cast<double>(m), static_cast<double>(n), static_cast<double>(k));
  const double all = one * static_cast<double>(batches_);
  // Whole matrices of a batch pack nothing twice, so there the blocks may be small.
  const bool whole = batches_ >= kMaxBlocks / 2;
  const int64_t wanted =
      std::max(power_of_two_below(all / kBlockMicroseconds, whole ? kMaxBlocks : kUsualBlocks),
               power_of_two_below(all / kLargeBlockMicroseconds, kMaxBlocks));
  const int64_t wanted_tiles = pieces(wanted, batches_);
  tile_m_ = m;
  tile_n_ = n;
  double least = -1;
  int64_t best_tiles = 1;
  // Of the cuts into about the wanted number take the one that reads the least: each row of tiles reads all
  // of B, each column all of A.
  for (int64_t rows = 1; rows <= wanted_tiles; rows *= 2) {
    const int64_t cols =
        power_of_two_below(static_cast<double>(wanted_tiles) / static_cast<double>(rows), kMaxBlocks);
    const int64_t tm = std::max(cut_evenly(m, rows, 8), std::min(m, kMinTileM));
    const int64_t tn = std::max(cut_evenly(n, cols, n / cols >= 192 ? 48 : 16), std::min(n, kMinTileN));
    const int64_t tiles = pieces(m, tm) * pieces(n, tn);
    const double read = static_cast<double>(pieces(m, tm)) * static_cast<double>(n) +
                        static_cast<double>(pieces(n, tn)) * static_cast<double>(m);
    const bool more = 4 * tiles >= 5 * best_tiles, fewer = 5 * tiles <= 4 * best_tiles;
    if (least >= 0 && !more && (fewer || read >= least)) continue;
    least = read;
    best_tiles = tiles;
    tile_m_ = tm;
    tile_n_ = tn;
  }
  tiles_m_ = pieces(m, tile_m_);
  tiles_n_ = pieces(n, tile_n_);
  const int64_t tiles = batches_ * tiles_m_ * tiles_n_;
  part_k_ = d_.k;
  if (2 * tiles <= wanted && k >= 2 * kMinPartK) {
    parts_ = std::min({kMaxParts, wanted / tiles, k / kMinPartK});
    part_k_ = pieces(k, parts_);
    parts_ = pieces(k, part_k_);
    parts_offset_ =
        reserve(checked_mul(checked_mul(parts_, batches_), checked_mul(m, n)), "matmul's partial sums");
  }
  items_ = tiles * parts_;
  items_per_block_ = pieces(items_, wanted);
}

MatmulPlan::Item MatmulPlan::item(int64_t index) const {
  Item it{};
  it.part = index % parts_;
  index /= parts_;
  it.col = index % tiles_n_ * tile_n_;
  it.cols = std::min(tile_n_, d_.n - it.col);
  index /= tiles_n_;
  it.row = index % tiles_m_ * tile_m_;
  it.rows = std::min(tile_m_, d_.m - it.row);
  index /= tiles_m_;
  it.batch = index;
  for (int i = d_.batch_rank - 1; i >= 0; --i) {
    it.index[i] = index % d_.batch[i];
    index /= d_.batch[i];
  }
  return it;
}

void MatmulPlan::run(const MatmulArgs& args, ThreadPool& pool) const {
  if (items_ == 0) return;
  if (compute_ == DType::f64) return run_as<double>(args, pool);
  run_as<float>(args, pool);
}

template <class T>
void MatmulPlan::run_as(const MatmulArgs& given, ThreadPool& pool) const {
  MatmulArgs args = given;
  if (swapped_) std::swap(args.a, args.b);
  make_copy<T>(a_copy_, args.a, args.workspace, pool);
  make_copy<T>(b_copy_, args.b, args.workspace, pool);
  make_copy<T>(residual_copy_, args.residual, args.workspace, pool);
  make_copy<T>(bias_copy_, args.bias, args.workspace, pool);
  const auto redirect = [&](const Copy& copy, const void*& operand) {
    if (copy.used) operand = static_cast<const char*>(args.workspace) + copy.offset;
  };
  redirect(a_copy_, args.a);
  redirect(b_copy_, args.b);
  redirect(residual_copy_, args.residual);
  redirect(bias_copy_, args.bias);

  const SignalsHeld held;  // once for all of this thread's blocks
  pool.parallel_for(blocks(), [this, &args](int64_t block) {
    const int64_t end = std::min(items_, (block + 1) * items_per_block_);
    for (int64_t i = block * items_per_block_; i < end; ++i) run_item<T>(args, item(i));
  });
  if (parts_ == 1) return;
  pool.parallel_for(items_ / parts_,
                    [this, &args](int64_t tile) { sum_parts<T>(args, item(tile * parts_)); });
}

template <class T>
void MatmulPlan::make_copy(const Copy& copy, const void* from, void* workspace, ThreadPool& pool) const {
  if (!copy.used) return;
  const int64_t rows = copy.matrices * copy.rows;
  const int64_t per_block = std::max<int64_t>(1, 65536 / std::max<int64_t>(copy.cols, 1));
  struct Job {
    const Copy& copy;
    const void* from;
    T* to;
    int rank;
    int64_t rows, per_block;
  } job{copy,          from, reinterpret_cast<T*>(static_cast<char*>(workspace) + copy.offset),
        d_.batch_rank, rows, per_block};
  pool.parallel_for(pieces(rows, per_block), [&job](int64_t block) {
    const Copy& c = job.copy;
    const int64_t end = std::min(job.rows, (block + 1) * job.per_block);
    for (int64_t r = block * job.per_block; r < end; ++r) {
      int64_t matrix = r / c.rows, offset = r % c.rows * c.row_stride;
      for (int i = job.rank - 1; i >= 0; --i) {
        offset += matrix % c.batch[i] * c.batch_stride[i];
        matrix /= c.batch[i];
      }
      load_row(c.from, element(job.from, c.from, offset), c.col_stride, job.to + r * c.cols, c.cols);
    }
  });
}

template <class T>
T* MatmulPlan::tile_of_c(const MatmulArgs& args, const Item& it) const {
  if (c_copy_) {
    T* all = reinterpret_cast<T*>(static_cast<char*>(args.workspace) + c_offset_);
    return all + (it.batch * d_.m + it.row) * d_.n + it.col;
  }
  return static_cast<T*>(args.c) + it.offset(d_.c_batch, d_.batch_rank) + it.row * d_.c_row + it.col;
}

template <class T>
void MatmulPlan::load_c(const MatmulArgs& args, const Item& it) const {
  if (!c_copy_ || d_.beta == 0) return;
  T* tile = tile_of_c<T>(args, it);
  const int64_t base = it.offset(d_.c_batch, d_.batch_rank) + it.row * d_.c_row + it.col;
  for (int64_t r = 0; r < it.rows; ++r)
    load_row(d_.c, element(args.c, d_.c, base + r * d_.c_row), 1, tile + r * d_.n, it.cols);
}

template <class T>
void MatmulPlan::run_item(const MatmulArgs& args, const Item& it) const {
  const MatmulDesc& d = d_;
  const int64_t k0 = it.part * part_k_;
  const int64_t k = std::min(part_k_, d.k - k0);
  const T* a =
      static_cast<const T*>(args.a) + it.offset(d.a_batch, d.batch_rank) + it.row * d.a_row + k0 * d.a_col;
  const T* b =
      static_cast<const T*>(args.b) + it.offset(d.b_batch, d.batch_rank) + it.col * d.b_col + k0 * d.b_row;
  const GemmOperand<T> ga{a, d.a_row, d.a_col}, gb{b, d.b_row, d.b_col};
  const T alpha = static_cast<T>(d.alpha);
  if (parts_ > 1) {
    T* all = reinterpret_cast<T*>(static_cast<char*>(args.workspace) + parts_offset_);
    T* part = all + ((it.part * batches_ + it.batch) * d.m + it.row) * d.n + it.col;
    return gemm(it.rows, it.cols, k, alpha, ga, gb, T(0), part, d.n);
  }
  load_c<T>(args, it);
  gemm(it.rows, it.cols, k, alpha, ga, gb, static_cast<T>(d.beta), tile_of_c<T>(args, it),
       c_copy_ ? d.n : d.c_row);
  finish<T>(args, it);
}

template <class T>
void MatmulPlan::sum_parts(const MatmulArgs& args, const Item& it) const {
  load_c<T>(args, it);
  T* c = tile_of_c<T>(args, it);
  const int64_t c_row = c_copy_ ? d_.n : d_.c_row;
  const T beta = static_cast<T>(d_.beta);
  const T* all = reinterpret_cast<const T*>(static_cast<const char*>(args.workspace) + parts_offset_);
  for (int64_t r = 0; r < it.rows; ++r) {
    T* to = c + r * c_row;
    for (int64_t j = 0; j < it.cols; ++j) to[j] = beta == 0 ? T(0) : beta * to[j];
    for (int64_t p = 0; p < parts_; ++p) {
      const T* part = all + ((p * batches_ + it.batch) * d_.m + it.row + r) * d_.n + it.col;
      for (int64_t j = 0; j < it.cols; ++j) to[j] += part[j];
    }
  }
  finish<T>(args, it);
}

template <class T>
void MatmulPlan::finish(const MatmulArgs& args, const Item& it) const {
  const MatmulDesc& d = d_;
  T* c = tile_of_c<T>(args, it);
  const int64_t c_row = c_copy_ ? d.n : d.c_row;
  Epilogue<T> e;
  e.activation = d.activation;
  if (d.bias) e.bias = static_cast<const T*>(args.bias) + it.col;
  if (d.residual) {
    e.residual_row = d.residual_row;
    e.residual = static_cast<const T*>(args.residual) + it.offset(d.residual_batch, d.batch_rank) +
                 it.row * d.residual_row + it.col;
  }
  apply_epilogue(e, c, c_row, it.rows, it.cols);
  if (args.on_tile != nullptr)
    args.on_tile(args.tile_context, {c, c_row, it.batch * d.m + it.row, it.rows, it.col, it.cols});
  if (!c_copy_) return;
  const int64_t base = it.offset(d.c_batch, d.batch_rank) + it.row * d.c_row + it.col;
  for (int64_t r = 0; r < it.rows; ++r)
    store_row(d.c, c + r * c_row, element(args.c, d.c, base + r * d.c_row), it.cols);
}

}  // namespace fovea::onednn
