// Learning-rate schedules: functions of the step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::nn {

/// A learning rate for every step, the first of which is 1. A value: copied, compared, written as text and
/// read back. The makers throw InvalidArgument for a rate that is negative or not finite and for a length
/// below the stated one.
class Schedule {
 public:
  /// Always `lr`.
  static Schedule constant(double lr);
  /// lr min(step / warmup, sqrt(warmup / step)) (Vaswani et al. 2017, section 5.3, scaled to peak at `lr`).
  /// warmup >= 1.
  static Schedule inverse_sqrt(double lr, int64_t warmup);
  /// Rises evenly to `lr` at step `warmup` (>= 0), then half a cosine down to `min_lr` at step `total` (>
  /// warmup), and stays there (Loshchilov and Hutter 2017, without restarts).
  static Schedule cosine(double lr, int64_t warmup, int64_t total, double min_lr = 0);
  /// Rises evenly to `lr` at step `warmup` (>= 0), then falls evenly to `end_lr` at step `total` (> warmup),
  /// and stays there.
  static Schedule linear(double lr, int64_t warmup, int64_t total, double end_lr = 0);
  /// lr factor^k at a step that has k of `milestones` (rising) behind it: the rate changes in the step after
  /// a milestone.
  static Schedule step_decay(double lr, double factor, std::vector<int64_t> milestones);
  /// lr factor^floor((step - 1) / every). every >= 1.
  static Schedule exponential(double lr, double factor, int64_t every);

  /// The rate of `step`; steps below 1 count as 1.
  double operator()(int64_t step) const;

  /// {"kind":"cosine","lr":0.001,...}: reads back to an equal schedule.
  std::string str() const;
  /// Reads what str() writes. InvalidArgument for anything else.
  static Schedule parse(std::string_view text);

  bool operator==(const Schedule&) const = default;

 private:
  enum class Kind : uint8_t { constant, inverse_sqrt, cosine, linear, step_decay, exponential };
  Schedule(Kind kind, double lr) : kind_(kind), lr_(lr) {}
  const Schedule& checked() const;

  Kind kind_;
  double lr_, end_ = 0, factor_ = 1;
  int64_t warmup_ = 0, total_ = 0, every_ = 1;
  std::vector<int64_t> milestones_;
};

}  // namespace fovea::nn
