// Runs a tiles::Program on tiles of rows x columns that stay in the cache: one vector loop an instruction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "framework/tensor/dtype.h"
#include "ops/shared/simd/random.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {

/// One operand of a tile: its first element (row 0, column 0 of this tile), steps in elements (0: broadcast).
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t row = 0, column = 0;
};

/// Where a tile lies and what it reads. Results are rows x columns with `result_row` elements from row to
/// row.
struct Tile {
  int64_t rows = 0, columns = 0;
  const Operand* operands = nullptr;  ///< one for each operand number of the program
  const int64_t* index = nullptr;     ///< logical index of the tile's first element along every axis
  int64_t rank = 2;                   ///< axes of the iteration space; rows are axis rank-2, columns rank-1
  uint64_t linear = 0;                ///< logical linear index of the first element, for random
  uint64_t linear_row = 0;            ///< added from row to row (columns are consecutive)
};

/// A program compiled for one computing type. run() allocates nothing and may be called from many threads.
class Machine {
 public:
  /// `compute`: f32 or f64. Operand kinds are converted while loading (half types, any integer, bool).
  Machine(const Program& program, DType compute);
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  /// Scratch memory of run() for tiles of at most this many elements, 64-byte aligned.
  int64_t scratch_bytes(int64_t rows, int64_t columns) const;
  /// results[k]: memory of result k; dtype result_types[k] (compute type unless told). Results may be the
  /// same memory as operands with the same layout.
  void run(const Tile& tile, void* const* results, const DType* result_types, int64_t result_row,
           void* scratch) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::tiles
