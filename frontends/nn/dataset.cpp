#include "frontends/nn/dataset.h"

#include <cstring>

#include "framework/base/error.h"

namespace fovea::nn {
namespace {

// Rows of arrays in memory, in the order that data::index_batches gives.
class ArraySource final : public BatchSource {
 public:
  ArraySource(std::vector<Array> arrays, data::IndexBatchOptions options)
      : arrays_(std::move(arrays)), options_(options) {}

  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    groups_ = data::index_batches(arrays_[0].dim(0), options_, seed, epoch);
    return static_cast<int64_t>(groups_.size());
  }
  Batch make(int64_t index) override {
    Batch batch;
    for (const Array& a : arrays_) batch.push_back(take_rows(a, groups_[static_cast<size_t>(index)]));
    return batch;
  }

 private:
  std::vector<Array> arrays_;
  data::IndexBatchOptions options_;
  data::Groups groups_;
};

}  // namespace

Array take_rows(const Array& array, const std::vector<int64_t>& rows) {
  if (array.rank() < 1) invalid("there are no rows to take of an array without axes");
  const Array from = array.contiguous();
  Dims shape = from.shape();
  shape[0] = static_cast<int64_t>(rows.size());
  Array out(from.dtype(), shape);
  const int64_t row = from.dim(0) == 0 ? 0 : from.nbytes() / from.dim(0);
  auto* to = static_cast<char*>(out.raw());
  const auto* base = static_cast<const char*>(from.raw());
  for (int64_t r : rows) {
    if (r < 0 || r >= from.dim(0))
      invalid("row " + std::to_string(r) + " of an array with " + std::to_string(from.dim(0)) + " rows");
    std::memcpy(to, base + r * row, static_cast<size_t>(row));
    to += row;
  }
  return out;
}

Dataset::Dataset(std::vector<Array> inputs, Array labels) : arrays_(std::move(inputs)) {
  if (arrays_.empty()) invalid("a data set needs at least one input");
  arrays_.push_back(std::move(labels));
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const std::string name = i + 1 == arrays_.size() ? "labels" : "input " + std::to_string(i);
    if (!arrays_[i].defined()) invalid("data set: " + name + " is undefined");
    if (arrays_[i].rank() < 1) invalid("data set: " + name + " has no axis 0 to count examples along");
    if (arrays_[i].dim(0) != arrays_[0].dim(0))
      invalid("data set: " + name + " has " + std::to_string(arrays_[i].dim(0)) + " rows, input 0 has " +
              std::to_string(arrays_[0].dim(0)));
    arrays_[i] = arrays_[i].contiguous();
  }
  if (arrays_[0].dim(0) == 0) invalid("data set: there are 0 examples");
}

Dataset::Dataset(std::function<std::unique_ptr<BatchSource>()> make) : make_(std::move(make)) {}

int64_t Dataset::size() const { return arrays_.empty() ? 0 : arrays_[0].dim(0); }

std::unique_ptr<BatchSource> Dataset::batches(const data::IndexBatchOptions& options) const {
  if (!defined()) invalid("the data set is empty");
  if (make_) return make_();
  return std::make_unique<ArraySource>(arrays_, options);
}

Batch Dataset::example() const {
  if (!defined()) invalid("the data set is empty");
  if (!make_) {
    Batch out;
    for (const Array& a : arrays_) out.push_back(a.slice(0, 0, 1));
    return out;
  }
  const auto source = make_();
  if (source->begin_epoch(0, 0) < 1) invalid("the data set's source has 0 batches in epoch 0");
  return source->make(0);
}

}  // namespace fovea::nn
