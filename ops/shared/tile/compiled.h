// A tile program made ready for the machine: loops chosen, registers assigned.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/shared/tile/machine_loops.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {

/// One value: where it comes from and which register holds it.
struct Node {
  Op op = Op::last_code;
  Rep rep = Rep::real;
  int32_t a = -1, b = -1, c = -1;  ///< nodes; of random: a is the operand of the key
  int64_t index = 0;
  LoopFn loop = nullptr;
  int32_t slot = -1;     ///< among the registers of its element size
  int32_t last_use = 0;  ///< the last node that reads it; results: one behind the last node
  int32_t constant = -1;
};

/// Nodes in order. Constants lie as groups of equal elements in `constants`, 64 bytes of the computing type
/// (128 of i64 beside f32) each.
struct Compiled {
  DType compute = DType::f32;
  std::vector<Node> nodes;
  std::vector<int32_t> results;  ///< nodes
  std::vector<char> constants;
  int32_t real_slots = 0, wide_slots = 0;  ///< registers of computing type (masks, i32 too), and of i64
  int64_t operands = 0;                    ///< one more than the largest number of an operand
  bool has_iota = false;
  int64_t strip = 0;  ///< elements that a register holds

  int64_t size(Rep rep) const { return rep == Rep::i64 || compute == DType::f64 ? 8 : 4; }
};

/// `small`: logical indices are below 2^30, so that iota and what is computed from it may be i32 (f32 only).
Compiled compile(const Program& program, DType compute, bool small);

/// Logical indices up to here count as small.
inline constexpr int64_t kSmallIndex = int64_t{1} << 30;

}  // namespace fovea::tiles
