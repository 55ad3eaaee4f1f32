#include "frontends/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"

namespace fovea::nn {
namespace {

constexpr const char* kKinds[] = {"constant", "inverse_sqrt", "cosine",
                                  "linear",   "step_decay",   "exponential"};

std::string number(double x) { return nlohmann::json(x).dump(); }

}  // namespace

Schedule Schedule::constant(double lr) { return Schedule(Kind::constant, lr).checked(); }

Schedule Schedule::inverse_sqrt(double lr, int64_t warmup) {
  Schedule s(Kind::inverse_sqrt, lr);
  s.warmup_ = warmup;
  return s.checked();
}

Schedule Schedule::cosine(double lr, int64_t warmup, int64_t total, double min_lr) {
  Schedule s(Kind::cosine, lr);
  s.warmup_ = warmup, s.total_ = total, s.end_ = min_lr;
  return s.checked();
}

Schedule Schedule::linear(double lr, int64_t warmup, int64_t total, double end_lr) {
  Schedule s(Kind::linear, lr);
  s.warmup_ = warmup, s.total_ = total, s.end_ = end_lr;
  return s.checked();
}

Schedule Schedule::step_decay(double lr, double factor, std::vector<int64_t> milestones) {
  Schedule s(Kind::step_decay, lr);
  s.factor_ = factor, s.milestones_ = std::move(milestones);
  return s.checked();
}

Schedule Schedule::exponential(double lr, double factor, int64_t every) {
  Schedule s(Kind::exponential, lr);
  s.factor_ = factor, s.every_ = every;
  return s.checked();
}

const Schedule& Schedule::checked() const {
  const std::string name = std::string("schedule ") + kKinds[static_cast<int>(kind_)] + ": ";
  for (const auto& [what, x] :
       {std::pair("lr", lr_), std::pair("end_lr", end_), std::pair("factor", factor_)})
    if (!std::isfinite(x) || x < 0)
      invalid(name + what + " is " + number(x) + ", it must be finite and not negative");
  if (kind_ == Kind::inverse_sqrt && warmup_ < 1)
    invalid(name + "warmup is " + std::to_string(warmup_) + ", less than 1");
  if (warmup_ < 0) invalid(name + "warmup is " + std::to_string(warmup_) + ", less than 0");
  if ((kind_ == Kind::cosine || kind_ == Kind::linear) && total_ <= warmup_)
    invalid(name + "total is " + std::to_string(total_) + ", it must be more than warmup, " +
            std::to_string(warmup_));
  if (every_ < 1) invalid(name + "every is " + std::to_string(every_) + ", less than 1");
  for (size_t i = 0; i < milestones_.size(); ++i)
    if (milestones_[i] < 1 || (i > 0 && milestones_[i] <= milestones_[i - 1]))
      invalid(name + "milestone " + std::to_string(i) + " is " + std::to_string(milestones_[i]) +
              ", they must rise and be at least 1");
  return *this;
}

double Schedule::operator()(int64_t step) const {
  const auto t = static_cast<double>(std::max<int64_t>(step, 1));
  const auto warmup = static_cast<double>(warmup_), total = static_cast<double>(total_);
  if ((kind_ == Kind::cosine || kind_ == Kind::linear) && t < warmup) return lr_ * t / warmup;
  const double progress = std::clamp((t - warmup) / (total - warmup), 0.0, 1.0);  // where there is a total
  switch (kind_) {
    case Kind::constant:
      break;
    case Kind::inverse_sqrt:
      return lr_ * std::min(t / warmup, std::sqrt(warmup / t));
    case Kind::cosine:
      return end_ + (lr_ - end_) * 0.5 * (1 + std::cos(progress * 3.14159265358979323846));
    case Kind::linear:
      return lr_ + (end_ - lr_) * progress;
    case Kind::step_decay: {
      const auto passed =
          std::lower_bound(milestones_.begin(), milestones_.end(), std::max<int64_t>(step, 1));
      return lr_ * std::pow(factor_, static_cast<double>(passed - milestones_.begin()));
    }
    case Kind::exponential:
      return lr_ * std::pow(factor_, std::floor((t - 1) / static_cast<double>(every_)));
  }
  return lr_;
}

std::string Schedule::str() const {
  nlohmann::ordered_json j;
  j["kind"] = kKinds[static_cast<int>(kind_)];
  j["lr"] = lr_;
  if (kind_ == Kind::inverse_sqrt || kind_ == Kind::cosine || kind_ == Kind::linear) j["warmup"] = warmup_;
  if (kind_ == Kind::cosine || kind_ == Kind::linear) j["total"] = total_, j["end_lr"] = end_;
  if (kind_ == Kind::step_decay || kind_ == Kind::exponential) j["factor"] = factor_;
  if (kind_ == Kind::step_decay) j["milestones"] = milestones_;
  if (kind_ == Kind::exponential) j["every"] = every_;
  return j.dump();
}

Schedule Schedule::parse(std::string_view text) {
  try {
    const auto j = nlohmann::json::parse(text);
    const auto kind = j.at("kind").get<std::string>();
    const auto* at = std::find(std::begin(kKinds), std::end(kKinds), kind);
    if (at == std::end(kKinds)) invalid("there is no schedule '" + kind + "'");
    Schedule s(static_cast<Kind>(at - std::begin(kKinds)), j.at("lr").get<double>());
    s.end_ = j.value("end_lr", 0.0);
    s.factor_ = j.value("factor", 1.0);
    s.warmup_ = j.value("warmup", int64_t{0});
    s.total_ = j.value("total", int64_t{0});
    s.every_ = j.value("every", int64_t{1});
    s.milestones_ = j.value("milestones", std::vector<int64_t>{});
    return s.checked();
  } catch (const nlohmann::json::exception& e) {
    invalid("not a schedule: " + std::string(text.substr(0, 200)) + " (" + e.what() + ")");
  }
}

}  // namespace fovea::nn
