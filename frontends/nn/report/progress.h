// The progress bar of a training run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::nn {

/// A named number that is reported: a loss, an accuracy, a learning rate.
struct Metric {
  std::string name;
  double value = 0;
};

/// Where a run stands; what a line of progress is made of.
struct ProgressState {
  std::string label;          ///< "Epoch 3/10"
  std::string unit = "step";  ///< what is counted
  int64_t done = 0;
  int64_t total = 0;   ///< 0: not known
  double elapsed = 0;  ///< seconds
  double rate = 0;     ///< items a second; 0: not known yet
  bool finished = false;
  std::vector<Metric> metrics;
};

/// How a line may look.
struct ProgressStyle {
  int width = 80;        ///< columns; the line takes at most these
  bool bar = true;       ///< draw the bar itself
  bool unicode = false;  ///< line-drawing characters; otherwise ASCII
  bool color = false;    ///< ANSI colours
};

/// One line of at most style.width columns. What is least important is left out first: later metrics, then
/// the counts, the rate, and the remaining time.
std::string progress_line(const ProgressState& state, const ProgressStyle& style);

/// "0:07", "12:34", "3:04:05", "2d 03:04".
std::string format_duration(double seconds);
/// Four significant digits, in plain or exponent form: "0.4123", "1234", "1.2e-07", "nan".
std::string format_metric(double value);

/// A progress bar on a terminal, redrawn at most ten times a second; elsewhere (a file, a pipe) a plain line
/// every ten seconds and one at the end. A failing output is ignored: reporting never stops a run. One
/// thread.
class ProgressBar {
 public:
  enum class Output : uint8_t { detect, terminal, plain, silent };
  struct Options {
    std::string label = {};
    std::string unit = "step";
    int64_t total = 0;
    int64_t start = 0;  ///< items that were done before (a resumed run); they do not count for the rate
    int fd = 2;
    Output output = Output::detect;
    double (*clock)() = nullptr;  ///< seconds, monotonic; null for the system's
  };

  explicit ProgressBar(Options options);
  /// Ends the line that is being drawn.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;

  /// `done` items are done; draws when it is time to.
  void update(int64_t done, std::span<const Metric> metrics = {});
  /// Prints a line of text above the bar.
  void message(std::string_view text);
  /// Draws the last state and ends the line. Later calls do nothing.
  void finish();

 private:
  void draw(double now);
  void measure(double now);
  void print(std::string_view text) const;

  Options options_;
  ProgressState state_;
  ProgressStyle style_;
  double start_time_ = 0;
  double last_draw_ = 0;
  double last_measure_ = 0;
  int64_t last_done_ = 0;
  double rate_sum_ = 0;     // exponentially weighted items a second, not yet divided by the sum of weights
  double rate_weight_ = 0;  // the sum of weights, below 1 while the run is young
  bool drawn_ = false;      // the cursor stands behind a drawn line
};

}  // namespace fovea::nn
