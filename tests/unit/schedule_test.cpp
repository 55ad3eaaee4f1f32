// Learning-rate schedules against their formulas worked out by hand.
#include "frontends/nn/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/support/errors.h"

namespace fovea::nn {
namespace {

using test::error_of;

TEST(Schedule, Constant) {
  const Schedule s = Schedule::constant(0.25);
  EXPECT_EQ(s(1), 0.25);
  EXPECT_EQ(s(1000000), 0.25);
}

TEST(Schedule, InverseSqrtRisesEvenlyThenFallsAsOneOverRoot) {
  const Schedule s = Schedule::inverse_sqrt(2e-3, 300);
  EXPECT_DOUBLE_EQ(s(1), 2e-3 / 300);
  EXPECT_DOUBLE_EQ(s(150), 1e-3);
  EXPECT_DOUBLE_EQ(s(300), 2e-3);
  EXPECT_DOUBLE_EQ(s(1200), 1e-3);   // 4 times as far: half
  EXPECT_DOUBLE_EQ(s(30000), 2e-4);  // 100 times: a tenth
  EXPECT_EQ(s(0), s(1));
}

TEST(Schedule, CosineWithWarmup) {
  const Schedule s = Schedule::cosine(1.0, 10, 110, 0.1);
  EXPECT_DOUBLE_EQ(s(1), 0.1);
  EXPECT_DOUBLE_EQ(s(5), 0.5);
  EXPECT_DOUBLE_EQ(s(10), 1.0);
  EXPECT_NEAR(s(35), 0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2, 1e-12);  // a quarter of the way: cos 45 degrees
  EXPECT_NEAR(s(60), 0.55, 1e-12);
  EXPECT_NEAR(s(110), 0.1, 1e-12);
  EXPECT_NEAR(s(5000), 0.1, 1e-12);
}

TEST(Schedule, LinearWithWarmup) {
  const Schedule s = Schedule::linear(0.8, 4, 12, 0.4);
  EXPECT_DOUBLE_EQ(s(1), 0.2);
  EXPECT_DOUBLE_EQ(s(4), 0.8);
  EXPECT_DOUBLE_EQ(s(8), 0.6);
  EXPECT_DOUBLE_EQ(s(12), 0.4);
  EXPECT_DOUBLE_EQ(s(13), 0.4);
  EXPECT_DOUBLE_EQ(Schedule::linear(1, 0, 10)(5), 0.5);
}

TEST(Schedule, StepDecayChangesBehindEachMilestone) {
  const Schedule s = Schedule::step_decay(1.0, 0.5, {10, 20});
  EXPECT_DOUBLE_EQ(s(10), 1.0);
  EXPECT_DOUBLE_EQ(s(11), 0.5);
  EXPECT_DOUBLE_EQ(s(20), 0.5);
  EXPECT_DOUBLE_EQ(s(21), 0.25);
}

TEST(Schedule, ExponentialFallsEveryFewSteps) {
  const Schedule s = Schedule::exponential(1.0, 0.5, 3);
  EXPECT_DOUBLE_EQ(s(3), 1.0);
  EXPECT_DOUBLE_EQ(s(4), 0.5);
  EXPECT_DOUBLE_EQ(s(7), 0.25);
}

TEST(Schedule, TextReadsBackToTheSameSchedule) {
  const Schedule all[] = {Schedule::constant(0.1),
                          Schedule::inverse_sqrt(1.0 / 3, 7),
                          Schedule::cosine(0.3, 5, 50, 0.01),
                          Schedule::linear(0.2, 0, 9, 0.1),
                          Schedule::step_decay(0.1, 0.3, {1, 5}),
                          Schedule::exponential(0.1, 0.9, 4)};
  for (const Schedule& s : all) {
    const Schedule back = Schedule::parse(s.str());
    EXPECT_EQ(back, s) << s.str();
    for (int64_t step : {1, 2, 5, 6, 9, 50, 51}) EXPECT_EQ(back(step), s(step)) << s.str();
  }
  EXPECT_NE(Schedule::constant(0.1), Schedule::constant(0.2));
}

TEST(Schedule, ErrorsNameTheNumbers) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(error_of([] { Schedule::constant(-1); }).find("lr is -1"), std::string::npos);
  EXPECT_NE(error_of([&] { Schedule::constant(nan); }).find("finite"), std::string::npos);
  EXPECT_NE(error_of([] { Schedule::inverse_sqrt(1, 0); }).find("warmup is 0, less than 1"),
            std::string::npos);
  EXPECT_NE(
      error_of([] { Schedule::cosine(1, 10, 10); }).find("total is 10, it must be more than warmup, 10"),
      std::string::npos);
  EXPECT_NE(error_of([] { Schedule::linear(1, -1, 10); }).find("warmup is -1"), std::string::npos);
  EXPECT_NE(error_of([] {
              Schedule::step_decay(1, 0.1, {5, 5});
            }).find("milestone 1 is 5"),
            std::string::npos);
  EXPECT_NE(error_of([] { Schedule::exponential(1, 0.1, 0); }).find("every is 0"), std::string::npos);
  EXPECT_NE(error_of([] { Schedule::parse("{\"kind\":\"zigzag\",\"lr\":1}"); }).find("no schedule 'zigzag'"),
            std::string::npos);
  for (const char* text : {"", "{}", "3", "[1]", "{\"kind\":3,\"lr\":1}", "{\"kind\":\"constant\"}",
                           "{\"kind\":\"constant\",\"lr\":\"x\"}"})
    EXPECT_NE(error_of([&] { Schedule::parse(text); }).find("InvalidArgument: not a schedule"),
              std::string::npos)
        << text;
}

}  // namespace
}  // namespace fovea::nn
