// Lists of tensors: what the exporter makes of torch.split, chunk and stack in traced code. They exist while
// the model is read; their lengths must be known then.
#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kMostPieces = 4096;

size_t place_in(Context& c, size_t i, size_t count, bool insert) {
  const int64_t size = static_cast<int64_t>(count), at = c.const_int(i), end = insert ? size + 1 : size;
  const int64_t place = at < 0 ? at + size : at;
  if (place < 0 || place >= end)
    c.invalid("position " + std::to_string(at) + " is out of range for a sequence of " +
              std::to_string(size));
  return static_cast<size_t>(place);
}

std::vector<Tensor> pieces(Context& c) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  const Dim size = x.dim(axis);
  Shape sizes;
  if (c.has(1) && c.in(1).rank() == 1) {
    sizes = c.dims(1);
  } else {
    const int64_t each = c.has(1) ? c.const_int(1) : 1;
    if (each < 1) c.invalid("its pieces have size " + std::to_string(each));
    if (!size.is_const())
      c.unsupported("the number of pieces of an axis of size " + size.str() + " must be known");
    if (size.value() / each > kMostPieces)
      c.unsupported(std::to_string(size.value() / each) + " pieces are more than " +
                    std::to_string(kMostPieces));
    for (int64_t left = size.value(); left > 0; left -= each) sizes.push_back(std::min(left, each));
  }
  std::vector<Tensor> parts = sizes.empty() ? std::vector<Tensor>{} : split(x, sizes, axis);
  if (!c.has(1) && c.integer("keepdims", 1) == 0)
    for (Tensor& part : parts) part = squeeze(part, {axis});
  return parts;
}

}  // namespace

FOVEA_ONNX(SplitToSequence) {
  c.set_sequence(0, pieces(c));
  return {};
}
FOVEA_ONNX(SequenceConstruct) {
  std::vector<Tensor> parts;
  for (size_t i = 0; i < c.inputs(); ++i) parts.push_back(c.in(i));
  c.set_sequence(0, std::move(parts));
  return {};
}
FOVEA_ONNX(SequenceEmpty) {
  c.set_sequence(0, {});
  return {};
}
FOVEA_ONNX(SequenceInsert) {
  std::vector<Tensor> parts = c.sequence(0);
  const size_t at = c.has(2) ? place_in(c, 2, parts.size(), true) : parts.size();
  parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(at), c.in(1));
  c.set_sequence(0, std::move(parts));
  return {};
}
FOVEA_ONNX(SequenceErase) {
  std::vector<Tensor> parts = c.sequence(0);
  if (parts.empty()) c.invalid("its sequence is empty");
  const size_t at = c.has(1) ? place_in(c, 1, parts.size(), false) : parts.size() - 1;
  parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at));
  c.set_sequence(0, std::move(parts));
  return {};
}
FOVEA_ONNX(SequenceAt) {
  const std::vector<Tensor>& parts = c.sequence(0);
  return {parts[place_in(c, 1, parts.size(), false)]};
}
FOVEA_ONNX(SequenceLength) { return {Array::scalar(static_cast<int64_t>(c.sequence(0).size()))}; }
FOVEA_ONNX(ConcatFromSequence) {
  const std::vector<Tensor>& parts = c.sequence(0);
  if (parts.empty()) c.invalid("its sequence is empty");
  const bool stacks = c.integer("new_axis", 0) != 0;
  const int64_t axis = axis_of(c, c.integer("axis"), parts[0].rank() + (stacks ? 1 : 0));
  return {stacks ? stack(parts, axis) : concat(parts, axis)};
}

}  // namespace fovea::onnx
