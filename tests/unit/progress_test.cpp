// Progress lines, and the text they are made of.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/utf8.h"
#include "frontends/nn/report/progress.h"
#include "tests/support/errors.h"

namespace fovea::nn {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Utf8, DecodesAndReplacesWhatIsInvalid) {
  struct Case {
    std::string bytes;
    std::u32string want;
  };
  const char32_t bad = U'\uFFFD';
  for (const Case& c : std::vector<Case>{{"aé€😀", U"aé€😀"},
                                         {"\x80", {bad}},
                                         {"\xC3", {bad}},
                                         {"\xC0\xAF", {bad, bad}},           // an overlong '/'
                                         {"\xE0\x80\x80", {bad, bad, bad}},  // an overlong zero
                                         {"\xED\xA0\x80", {bad, bad, bad}},  // half of a surrogate pair
                                         {"\xF4\x90\x80\x80", {bad, bad, bad, bad}},  // beyond U+10FFFF
                                         {"\xF0\x9F\x98", {bad, bad, bad}},
                                         {"\xE2\x82x", {bad, bad, U'x'}},
                                         {std::string(1, '\0'), {U'\0'}}}) {
    std::u32string got;
    for (std::string_view rest = c.bytes; !rest.empty();) got += next_code_point(rest);
    EXPECT_EQ(got, c.want);
  }
}

TEST(Utf8, WidthsOnATerminal) {
  EXPECT_EQ(display_width("hello"), 5);
  EXPECT_EQ(display_width("héllo"), 5);
  EXPECT_EQ(display_width("he\xCC\x81llo"), 5);  // e and a combining accent
  EXPECT_EQ(display_width("注意力"), 6);
  EXPECT_EQ(display_width("😀"), 2);
  EXPECT_EQ(display_width("▁the"), 4);
  EXPECT_EQ(clip_to_width("注意力", 5), "注意");
  EXPECT_EQ(clip_to_width("he\xCC\x81llo", 2), "he\xCC\x81");
  EXPECT_EQ(clip_to_width("abc", 0), "");
  EXPECT_EQ(printable_line("a\nb\x1b[31m\x80é"), "a�b�[31m�é");
}

ProgressState half_done() {
  ProgressState s;
  s.label = "Epoch 3/10";
  s.done = 500;
  s.total = 1000;
  s.elapsed = 50;
  s.rate = 10;
  s.metrics = {{"loss", 0.41234}, {"accuracy", 0.9}};
  return s;
}

TEST(Progress, LineShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(
      progress_line(half_done(), {.width = 120}),
      "Epoch 3/10  [===============               ]   50%  500/1000  10 steps/s  ETA 0:50  loss 0.4123  "
      "accuracy 0.9000");
  EXPECT_EQ(progress_line(half_done(), {.width = 200, .bar = false}),
            "Epoch 3/10   50%  500/1000  10 steps/s  ETA 0:50  loss 0.4123  accuracy 0.9000");
}

TEST(Progress, UnicodeBarGrowsByHalves) {
  ProgressState s;
  s.total = 16;
  auto bar = [&](int64_t done) {
    s.done = done;
    const std::string line = progress_line(s, {.width = 14, .unicode = true});
    return line.substr(0, line.find('%') - 5);
  };
  EXPECT_EQ(bar(0), "        ");
  EXPECT_EQ(bar(1), "╸       ");
  EXPECT_EQ(bar(2), "━       ");
  EXPECT_EQ(bar(15), "━━━━━━━╸");
  EXPECT_EQ(bar(16), "━━━━━━━━");
}

TEST(Progress, NoLineIsWiderThanAsked) {
  ProgressState s = half_done();
  s.label = "訓練 épo\xCC\x81que 3/10";
  s.metrics.push_back({"perplexité 困惑度", 12.5});
  for (int width = 0; width <= 160; ++width)
    for (bool unicode : {false, true})
      for (bool bar : {false, true}) {
        const std::string line = progress_line(s, {.width = width, .bar = bar, .unicode = unicode});
        EXPECT_LE(display_width(line), width) << line;
        EXPECT_EQ(line.find("\xEF\xBF\xBD"), std::string::npos) << "cut within a character: " << line;
      }
  // The remaining time and the loss outlive the counts.
  const std::string narrow = progress_line(half_done(), {.width = 60});
  EXPECT_HAS(narrow, "ETA 0:50");
  EXPECT_HAS(narrow, "loss");
  EXPECT_EQ(narrow.find("500/1000"), std::string::npos);
}

TEST(Progress, NeverHundredPercentBeforeTheEnd) {
  ProgressState s;
  s.total = 100000;
  s.done = 99999;
  EXPECT_HAS(progress_line(s, {}), " 99%");
  s.done = 100000;
  EXPECT_HAS(progress_line(s, {}), "100%");
  s.done = 200000;  // more than was announced
  EXPECT_HAS(progress_line(s, {}), "100%");
}

TEST(Progress, WithoutATotal) {
  ProgressState s;
  s.done = 7;
  s.elapsed = 61;
  s.rate = 0.25;
  EXPECT_EQ(progress_line(s, {}), "7 steps  0:04/step  1:01");
}

TEST(Progress, Numbers) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(3599), "59:59");
  EXPECT_EQ(format_duration(3 * 3600 + 4 * 60 + 5), "3:04:05");
  EXPECT_EQ(format_duration(2 * 86400 + 3 * 3600 + 4 * 60), "2d 03:04");
  EXPECT_EQ(format_duration(kNaN), "?");
  EXPECT_EQ(format_duration(kInf), "?");
  EXPECT_EQ(format_duration(-5), "0:00");
  EXPECT_EQ(format_metric(0.41234), "0.4123");
  EXPECT_EQ(format_metric(0), "0.0000");
  EXPECT_EQ(format_metric(12.3456), "12.35");
  EXPECT_EQ(format_metric(1234), "1234");
  EXPECT_EQ(format_metric(1.234e-7), "1.23e-07");
  EXPECT_EQ(format_metric(kNaN), "nan");
  EXPECT_EQ(format_metric(-kInf), "-inf");
}

double g_now = 0;
double fake_clock() { return g_now; }

// What a bar writes, collected through a pipe.
struct Captured {
  int fds[2];
  Captured() {
    EXPECT_EQ(::pipe(fds), 0);
    ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
  }
  ~Captured() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  std::string take() const {
    std::string out(1 << 16, '\0');
    const ssize_t got = ::read(fds[0], out.data(), out.size());
    out.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return out;
  }
};

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Progress, TerminalIsRedrawnAtMostTenTimesASecond) {
  Captured out;
  g_now = 100;
  ProgressBar bar(
      {.total = 10000, .fd = out.fds[1], .output = ProgressBar::Output::terminal, .clock = fake_clock});
  for (int i = 1; i <= 4000; ++i) {  // four seconds of a millisecond each
    g_now = 100 + i * 1e-3;
    bar.update(i);
  }
  const std::string text = out.take();
  EXPECT_LE(count(text, "\r"), 41);
  EXPECT_GE(count(text, "\r"), 36);
  EXPECT_EQ(count(text, "\n"), 0);
  EXPECT_HAS(text, "1k steps/s");
}

TEST(Progress, PlainOutputIsALineEveryTenSeconds) {
  Captured out;
  g_now = 0;
  {
    ProgressBar bar(
        {.label = "train", .total = 600, .fd = out.fds[1], .clock = fake_clock});  // a pipe is detected
    for (int i = 1; i <= 600; ++i) {
      g_now = i * 0.1;
      bar.update(i, std::vector<Metric>{{"loss", 1.0 / i}});
    }
    bar.finish();
    bar.finish();
    bar.update(601);
  }
  const std::string text = out.take();
  EXPECT_GE(count(text, "\n"), 6);
  EXPECT_LE(count(text, "\n"), 7);
  EXPECT_EQ(count(text, "\r"), 0);
  EXPECT_EQ(count(text, "\x1b"), 0);
  EXPECT_HAS(text, "train  100%  600/600  10 steps/s  in 1:00  loss 0.0017\n");
}

TEST(Progress, RateAndRemainingTimeComeFromThisRunAlone) {
  Captured out;
  g_now = 0;
  ProgressBar bar({.total = 1000,
                   .start = 900,
                   .fd = out.fds[1],
                   .output = ProgressBar::Output::plain,
                   .clock = fake_clock});
  g_now = 10;
  bar.update(920);  // 20 items in 10 seconds, 80 to go
  EXPECT_EQ(out.take(), " 92%  920/1000  2 steps/s  ETA 0:40\n");
}

TEST(Progress, MessagesStandAboveTheBar) {
  Captured out;
  g_now = 0;
  {
    ProgressBar bar(
        {.total = 10, .fd = out.fds[1], .output = ProgressBar::Output::terminal, .clock = fake_clock});
    bar.update(1);
    out.take();
    bar.message("saved \x1b]0;evil\x07");
    const std::string text = out.take();
    EXPECT_EQ(text.find("\r\x1b[Ksaved �]0;evil�\n\r"), 0u) << text;
  }
  EXPECT_EQ(out.take(), "\n");  // the destructor leaves the cursor on a fresh line
}

TEST(Progress, ABrokenOutputStopsNothing) {
  ProgressBar bar({.total = 10, .fd = -1, .output = ProgressBar::Output::terminal});
  bar.update(1);
  bar.message("x");
  bar.finish();
}

}  // namespace
}  // namespace fovea::nn
