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

namespace {

// x[index] under way: every axis that stays is cut at once; one reshape at the end adds the new axes and
// drops those of which a single element was taken.
class Selection {
 public:
  Selection(Tensor x, Source source) : x_(std::move(x)), source_(source) {}

  void keep(int64_t axes) {
    results_.insert(results_.end(), static_cast<size_t>(axes), kKept);
    axis_ += axes;
  }
  void add() { results_.push_back(kNew); }
  void cut(const Index& i) {
    const Dim n = x_.dim(axis_);
    if (i.step == 0) invalid("index: the step of axis " + std::to_string(axis_) + " is 0");
    // An open end going down lies before element 0, which no number of Python's can say.
    const Dim start = i.start ? *i.start : i.step > 0 ? Dim(0) : n - Dim(1);
    const Dim stop = i.stop ? *i.stop : i.step > 0 ? n : Dim(-1) - n;
    if (!(i.step == 1 && start == Dim(0) && stop == n))
      x_ = slice(Arg(x_, source_), axis_, start, stop, i.step);
    keep(1);
  }
  void take(const Index& i) {
    const Dim n = x_.dim(axis_), at = i.start->is_const() && i.start->value() < 0 ? n + *i.start : *i.start;
    if (at.is_const() && (at.value() < 0 || (n.is_const() && at.value() >= n.value())))
      invalid("index: " + i.start->str() + " is out of range for axis " + std::to_string(axis_) +
              " of size " + n.str());
    x_ = slice(Arg(x_, source_), axis_, at, at + Dim(1));
    results_.push_back(kDropped);
    ++axis_;
  }
  Tensor finish() {
    keep(x_.rank() - axis_);
    bool reshapes = false;
    Shape shape;
    int64_t from = 0;
    for (Axis result : results_) {
      reshapes = reshapes || result != kKept;
      if (result == kNew) shape.push_back(1);
      if (result == kKept) shape.push_back(x_.dim(from));
      from += result != kNew;
    }
    return reshapes ? fovea::reshape(Arg(x_, source_), shape) : x_;
  }

 private:
  enum Axis : uint8_t { kKept, kNew, kDropped };

  Tensor x_;
  Source source_;
  std::vector<Axis> results_;
  int64_t axis_ = 0;  // of x that comes next
};

}  // namespace

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
  Selection selection(*this, index.empty() ? Source{} : index[0].source);
  for (const Index& i : index) {
    switch (i.kind) {
      case Index::Kind::ellipsis:
        selection.keep(rank() - taken);
        break;
      case Index::Kind::newaxis:
        selection.add();
        break;
      case Index::Kind::all:
        selection.keep(1);
        break;
      case Index::Kind::range:
        selection.cut(i);
        break;
      case Index::Kind::at:
        selection.take(i);
        break;
    }
  }
  return selection.finish();
}

}  // namespace fovea
