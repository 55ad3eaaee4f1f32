// Generation from saved graphs: an encoder and a decoder that is stepped over caches.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "frontends/nn/generate.h"
#include "graph/ir/graph.h"
#include "optim/lower/program.h"

namespace fovea::nn {

/// An entry of a saved module, compiled, with its weights: the inputs called param/… and buffer/…, which come
/// first.
struct GraphEntry {
  std::unique_ptr<Program> program;
  std::vector<Array> weights;
  std::vector<std::string> inputs;  ///< names of those behind the weights

  /// InvalidArgument where the entry or a weight is missing. `options.donate` counts inputs behind the
  /// weights.
  static GraphEntry make(const std::shared_ptr<fovea::Module>& module, const std::string& name,
                         const std::map<std::string, Array>& weights, CompileOptions options = {});
  std::vector<Array> run(const std::vector<Array>& inputs) const;
};

/// The compiled entries encode, decode_step and decode_rows of a module, with their weights:
///
///   encode       inputs -> context..., first states...
///   decode_step  tokens i32 [R], position i64, context.*, state.* -> log_probs f32 [R, vocab], states...
///   decode_rows  the same with rows i64 [R] behind position: row i goes on from row rows[i] of the states
///
/// The first axis of contexts and states is the sequence. States that encode does not give begin as zeros. An
/// axis that is called C in the type of a state is a capacity: it is made long enough for the positions that
/// come. One object serves any number of threads.
class DecoderGraphs {
 public:
  /// InvalidArgument where an entry or weight is missing, or the entries do not fit together.
  DecoderGraphs(std::shared_ptr<fovea::Module> module, const std::map<std::string, Array>& weights);

  struct State {
    TensorType type;
    int64_t capacity_axis = -1;
  };
  GraphEntry encode, step, rows;
  std::vector<State> states;
  size_t contexts = 0;
};

/// One batch in the making.
class GraphDecoder : public StepDecoder {
 public:
  /// Encodes `inputs`, whose first axis is the sequence.
  GraphDecoder(const DecoderGraphs& graphs, const std::vector<Array>& inputs);
  Array step(std::span<const int32_t> tokens, std::span<const int64_t> from) override;

 private:
  void make_room();
  void follow(std::span<const int64_t> from);
  Array run(const GraphEntry& entry, const std::vector<Array>& arguments, bool in_place);

  const DecoderGraphs& graphs_;
  std::vector<Array> encoded_;     // contexts of all sequences
  std::vector<Array> context_;     // a row for each row of the batch
  std::vector<int64_t> sequence_;  // of each row
  std::vector<Array> states_, spare_;
  Array log_probs_;
  int64_t position_ = 0, capacity_ = 0;
};

}  // namespace fovea::nn
