// What a model is fitted to: arrays in memory, or any source of batches.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "framework/tensor/array.h"
#include "frontends/data/batching.h"
#include "frontends/data/loader.h"

namespace fovea::nn {

/// The arrays of one step, for instance inputs and then labels.
using Batch = std::vector<Array>;
using BatchSource = data::BatchSource<Batch>;
using BatchLoader = data::Loader<Batch>;

/// Examples in memory, one for each place along axis 0 of every array, or whatever a source of batches makes.
/// Copies share the arrays.
class Dataset {
 public:
  Dataset() = default;
  /// InvalidArgument, with the numbers, where the arrays do not have equally many rows.
  Dataset(Array input, Array labels) : Dataset(std::vector<Array>{std::move(input)}, std::move(labels)) {}
  Dataset(std::vector<Array> inputs, Array labels);
  /// Batches of the user's own making: inputs, then labels. `make` is called once for each pass that starts.
  explicit Dataset(std::function<std::unique_ptr<BatchSource>()> make);

  bool defined() const { return make_ != nullptr || !arrays_.empty(); }
  /// Number of examples; 0 where a source does not tell.
  int64_t size() const;
  /// The batches of it. The options only matter for arrays in memory.
  std::unique_ptr<BatchSource> batches(const data::IndexBatchOptions& options) const;
  /// A batch, or a row of one, that shows element types and shapes.
  Batch example() const;

 private:
  std::vector<Array> arrays_;
  std::function<std::unique_ptr<BatchSource>()> make_;
};

/// The rows `rows` of `array` along axis 0, in this order.
Array take_rows(const Array& array, const std::vector<int64_t>& rows);

}  // namespace fovea::nn
