// The methods of Tensor that are ops. They live here because ops come after the graph.
#include "graph/build/index.h"
#include "ops/core/cast/cast.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"

namespace fovea {

Tensor Tensor::reshape(Shape shape, Source source) const {
  return fovea::reshape(Arg(*this, source), std::move(shape));
}
Tensor Tensor::transpose(int64_t a, int64_t b, Source source) const {
  return fovea::transpose(Arg(*this, source), a, b);
}
Tensor Tensor::permute(std::vector<int64_t> axes, Source source) const {
  return fovea::permute(Arg(*this, source), std::move(axes));
}
Tensor Tensor::cast(DType dtype, Source source) const { return fovea::cast(Arg(*this, source), dtype); }

Tensor Tensor::operator[](const std::vector<Index>& index) const {
  int64_t taken = 0, open = 0;
  for (const Index& i : index) {
    open += i.kind == Index::Kind::ellipsis;
    taken += i.kind != Index::Kind::ellipsis && i.kind != Index::Kind::newaxis;
  }
  if (open > 1) invalid("index: more than one ellipsis");
  if (taken > rank())
    invalid("index: " + std::to_string(taken) + " axes are indexed, the tensor has rank " +
            std::to_string(rank()));
  // First every axis that stays is cut, then one reshape adds the new axes and drops the single elements.
  Tensor x = *this;
  std::vector<bool> dropped, added;
  const auto keep = [&](int64_t axes) {
    dropped.insert(dropped.end(), axes, false);
    added.insert(added.end(), axes, false);
  };
  const Source source = index.empty() ? Source{} : index[0].source;
  bool changes_axes = false;
  int64_t axis = 0;
  for (const Index& i : index) {
    switch (i.kind) {
      case Index::Kind::ellipsis:
        axis += rank() - taken;
        keep(rank() - taken);
        continue;
      case Index::Kind::newaxis:
        changes_axes = true;
        dropped.push_back(false);
        added.push_back(true);
        continue;
      case Index::Kind::all:
        keep(1);
        break;
      case Index::Kind::range: {
        const Dim n = x.dim(axis);
        if (i.step == 0) invalid("index: the step of axis " + std::to_string(axis) + " is 0");
        // An open end going down lies before element 0, which no number of Python's can say.
        const Dim start = i.start ? *i.start : i.step > 0 ? Dim(0) : n - Dim(1);
        const Dim stop = i.stop ? *i.stop : i.step > 0 ? n : Dim(-1) - n;
        if (!(i.step == 1 && start == Dim(0) && stop == n))
          x = slice(Arg(x, source), axis, start, stop, i.step);
        keep(1);
        break;
      }
      case Index::Kind::at: {
        const Dim n = x.dim(axis), at = i.start->is_const() && i.start->value() < 0 ? n + *i.start : *i.start;
        if (at.is_const() && (at.value() < 0 || (n.is_const() && at.value() >= n.value())))
          invalid("index: " + i.start->str() + " is out of range for axis " + std::to_string(axis) +
                  " of size " + n.str());
        x = slice(Arg(x, source), axis, at, at + Dim(1));
        dropped.push_back(true);
        added.push_back(false);
        changes_axes = true;
        break;
      }
    }
    ++axis;
  }
  if (!changes_axes) return x;
  keep(rank() - axis);
  Shape shape;
  int64_t from = 0;
  for (size_t i = 0; i < added.size(); ++i) {
    if (added[i])
      shape.push_back(1);
    else if (!dropped[i])
      shape.push_back(x.dim(from));
    from += !added[i];
  }
  return fovea::reshape(Arg(x, source), shape);
}

}  // namespace fovea
