// Tile programs as tensor ops.
#include "framework/base/error.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {
namespace {

DType dtype_of_kind(Kind kind, DType compute) {
  return kind == Kind::real ? compute : kind == Kind::integer ? DType::i64 : DType::boolean;
}

Tensor as_dtype(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : apply1("cast", {x}, {{"dtype", dtype}});
}

class Build {
 public:
  Build(const Program& p, std::span<const Tensor> in, const Shape& space, DType compute)
      : p_(p), in_(in), space_(space), compute_(compute), values_(p.code.size()) {}

  const Tensor& operand(int64_t k) const {
    if (k >= static_cast<int64_t>(in_.size()) || !in_[k].defined())
      invalid("tile program: operand " + std::to_string(k) + " is read, but not given");
    return in_[k];
  }
  Tensor iota(int64_t axis) const {
    const auto rank = static_cast<int64_t>(space_.size());
    const int64_t at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank)
      invalid("tile program: iota over axis " + std::to_string(axis) + " of a space of rank " +
              std::to_string(rank));
    Shape shape(space_.size(), Dim(1));
    shape[at] = space_[at];
    return apply1("iota", {}, {{"shape", shape}, {"axis", at}, {"dtype", DType::i64}});
  }
  Tensor constant(const Instr& i) const {
    const double value = i.kind == Kind::real ? i.number : static_cast<double>(i.index);
    if (i.kind == Kind::integer && static_cast<int64_t>(value) != i.index)  // not exact as a double
      return Tensor(whole(i.index));
    return to_tensor(Arg(value), dtype_of_kind(i.kind, compute_));
  }
  static Array whole(int64_t number) {
    Array a(DType::i64, {});
    *static_cast<int64_t*>(a.raw()) = number;
    return a;
  }
  Tensor leaf(const Instr& i) const {
    if (i.code == Code::input) return as_dtype(operand(i.index), dtype_of_kind(i.kind, compute_));
    if (i.code == Code::constant) return constant(i);
    if (i.code == Code::iota) return iota(i.index);
    const Tensor bits = apply1("rand_bits", {operand(i.a)}, {{"shape", space_}, {"ordinal", i.index}});
    return as_dtype(bits, DType::i64);
  }
  Tensor of(const Instr& i) const {
    const int n = arity(i.code);
    if (n == 0) return leaf(i);
    const Tensor& a = values_[i.a];
    if (i.code == Code::select) return apply1("where", {a, values_[i.b], values_[i.c]});
    if (i.code >= Code::to_real && i.code <= Code::to_boolean)
      return as_dtype(a, dtype_of_kind(i.kind, compute_));
    if (n == 1) return apply1(name_of(i.code), {a});
    const bool bools = p_.code[i.a].kind == Kind::boolean;
    if (bools && (i.code == Code::equal || i.code == Code::not_equal)) {
      const Tensor differs = apply1("logical_xor", {a, values_[i.b]});
      return i.code == Code::equal ? apply1("logical_not", {differs}) : differs;
    }
    return apply1(name_of(i.code), {a, values_[i.b]});
  }
  std::vector<Tensor> run() {
    std::vector<bool> needed(values_.size(), false);
    for (int32_t r : p_.results) needed[r] = true;
    for (size_t v = values_.size(); v-- > 0;) {
      const Instr& i = p_.code[v];
      const int n = arity(i.code);
      if (!needed[v]) continue;
      if (n > 0) needed[i.a] = true;
      if (n > 1) needed[i.b] = true;
      if (n > 2) needed[i.c] = true;
    }
    for (size_t v = 0; v < values_.size(); ++v)
      if (needed[v]) values_[v] = of(p_.code[v]);
    std::vector<Tensor> out;
    for (int32_t r : p_.results) {
      const Tensor& y = values_[r];
      out.push_back(y.shape() == space_ ? y : apply1("broadcast_to", {y}, {{"shape", space_}}));
    }
    return out;
  }

 private:
  const Program& p_;
  std::span<const Tensor> in_;
  const Shape& space_;
  DType compute_;
  std::vector<Tensor> values_;
};

}  // namespace

std::vector<Tensor> build(const Program& program, std::span<const Tensor> inputs, const Shape& space,
                          DType compute) {
  return Build(program, inputs, space, compute).run();
}

}  // namespace fovea::tiles
