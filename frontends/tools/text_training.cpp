#include "frontends/tools/text_training.h"

namespace fovea::tools {

TextRun train_on_text(nn::Model& model, const TrainingOptions& options, const RunStart& start,
                      const std::vector<int32_t>& ids, int64_t length, int64_t valid_windows,
                      const MakeBatch& make) {
  const auto cut = static_cast<std::ptrdiff_t>(training_part(ids.size(), length));
  const auto train = std::make_shared<const std::vector<int32_t>>(ids.begin(), ids.begin() + cut);
  const auto valid = std::make_shared<const std::vector<int32_t>>(ids.begin() + cut, ids.end());
  const WindowOptions windows{.length = length, .batch = options.batch};
  TextRun run;
  run.per_epoch = (window_count(train->size(), windows) + windows.batch - 1) / windows.batch;
  nn::FitOptions fit =
      fit_options(options, start, warmup_cosine(options.lr, total_steps(options, run.per_epoch)));
  fit.validation = windows_of(
      valid, {.length = length, .batch = options.batch, .training = false, .most = valid_windows}, make);
  fit.items = [](const nn::Batch& batch) { return batch[0].size(); };
  fit.unit = "token";
  run.history = model.fit(windows_of(train, windows, make), fit);
  finish_run(options, model, run.history, start);
  return run;
}

}  // namespace fovea::tools
