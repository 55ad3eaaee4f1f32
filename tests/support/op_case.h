// Cases for tests of ops, made from what the ops declare: samples, other types, other sizes, other layouts.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "optim/lower/program.h"

namespace fovea::test {

/// One node to try: an op with operands (types included) and attributes.
struct OpCase {
  const OpDecl* op = nullptr;
  std::string what;  ///< "softmax, sample 1"
  std::vector<In> in;
  Attrs attrs;

  std::vector<TensorType> types() const;
  /// What the declaration infers; throws its error. `normal` gets the completed attributes.
  std::vector<TensorType> infer(Attrs* normal = nullptr) const;
  bool valid() const;
  /// "softmax, sample 1: f32[2, 5] {axis = -1}"
  std::string str() const;
};

std::vector<OpCase> sample_cases(const OpDecl& op);
/// Ops whose attributes name functions (call, scan, ...), and input and constant, which are no operations.
bool is_structural(const OpDecl& op);
/// For parametrised suites over all_ops(): the op's name.
std::string op_name(const testing::TestParamInfo<const OpDecl*>& info);

/// The case with its floating operands in `dtype`; for an integer or bool type, the floating operands become
/// that type, and values grow to whole numbers. Nothing where the declaration refuses it.
std::optional<OpCase> with_dtype(const OpCase& c, DType dtype);
/// The case with every distinct size replaced by one from `sizes` (size 1 stays), at most `most` elements an
/// operand and a result. Multiples stay multiples in part of the attempts. Nothing where no attempt satisfies
/// the declaration.
std::optional<OpCase> resized(const OpCase& c, const std::vector<int64_t>& sizes, std::mt19937& random,
                              int64_t most);

/// Random operands as the case says.
std::vector<Array> operands(const OpCase& c, unsigned seed);
/// Operands that have to be the results of another op on the rest of them (attention's in its backward)
/// become these, from the reference kernels in f64.
void make_consistent(const OpCase& c, std::vector<Array>& in);
/// The same values, floating ones in f64.
std::vector<Array> widened(const std::vector<Array>& in);
OpCase widened(OpCase c);

enum class Layout { row_major, transposed, stepped, broadcast };
/// The values in another layout. broadcast: the first axis repeats its first slice (the values change).
Array with_layout(const Array& a, Layout layout);

/// A program of the case alone.
std::unique_ptr<Program> program_of(const OpCase& c, const std::string& backend,
                                    std::vector<std::pair<int, int>> donate = {});
/// Runs with result memory full of ones (NaN for floats) between guard bytes, which must stay as they were.
std::vector<Array> guarded_run(const Plan& plan, const std::vector<Array>& in);
/// program_of, then guarded_run.
std::vector<Array> run_case(const OpCase& c, const std::string& backend, const std::vector<Array>& in);

/// The request that lowering would make of these operands, and the CPU kernel that takes it (nullptr: none).
KernelRequest request_of(const OpCase& c, const std::vector<Array>& in);
const Kernel* kernel_for(const KernelRequest& request);

/// How far results may be off: |got - want| <= epsilon(dtype) * max(ulps * max(|want|, floor * largest
/// |want|, smallest normal number), absolute). Integers and bools must be equal.
struct Tolerance {
  double ulps = 4;
  double floor = 0;
  double absolute = 0;
};
/// Empty, or where and by how much the first element differs: "element 3: got 1.5, expected 1.25 (40 ulps)".
/// `ulps_seen` is raised to the largest deviation.
std::string difference(const Array& got, const Array& want, Tolerance tolerance, double* ulps_seen = nullptr);
/// Empty, or the first element whose bits differ.
std::string bit_difference(const Array& a, const Array& b);

}  // namespace fovea::test
