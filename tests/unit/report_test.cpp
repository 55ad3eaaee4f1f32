// Reports of a training run: progress lines, CSV and JSON-lines logs, TensorBoard's event files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/file_faults.h"
#include "framework/base/utf8.h"
#include "frontends/nn/report/log.h"
#include "frontends/nn/report/progress.h"
#include "frontends/nn/report/tensorboard.h"
#include "tests/support/errors.h"
#include "tests/support/folder_fixture.h"

namespace fovea::nn {
namespace {

namespace fs = std::filesystem;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using test::error_of;

class ReportTest : public FolderTest {
 protected:
  void append(const std::string& name, const std::string& text) const {
    const int fd = ::open(path(name).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
  }
};

// ---- text ----

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

// ---- progress ----

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

// ---- logs ----

TEST_F(ReportTest, CsvHoldsHeaderAndRecords) {
  const std::string file = path("log.csv");
  MetricLog log(file, MetricLog::Format::csv);
  log.write({1, 1}, std::vector<Metric>{{"loss", 0.1}, {"a,\"b\"", 1.0 / 3}});
  log.write({2, 1}, std::vector<Metric>{{"a,\"b\"", kInf}, {"loss", kNaN}});
  log.write({3, 2}, std::vector<Metric>{{"loss", 5e-324}});
  // Each line is there at once, without closing the log.
  EXPECT_EQ(read_file(file),
            "step,epoch,loss,\"a,\"\"b\"\"\"\n1,1,0.1,0.3333333333333333\n2,1,nan,inf\n3,2,5e-324,\n");
  EXPECT_EQ(split_csv("step,epoch,loss,\"a,\"\"b\"\"\""),
            (std::vector<std::string>{"step", "epoch", "loss", "a,\"b\""}));
}

TEST_F(ReportTest, CsvGrowsColumns) {
  const std::string file = path("log.csv");
  MetricLog log(file, MetricLog::Format::csv);
  log.write({1, 1}, std::vector<Metric>{{"loss", 1}});
  log.write({2, 1}, std::vector<Metric>{{"val_loss", 2}, {"val_bleu", 3}});
  log.write({3, 1}, std::vector<Metric>{{"loss", 4}});
  EXPECT_EQ(read_file(file), "step,epoch,loss,val_loss,val_bleu\n1,1,1,,\n2,1,,2,3\n3,1,4,,\n");
}

TEST_F(ReportTest, JsonLinesHoldRecords) {
  const std::string file = path("log.jsonl");
  MetricLog log(file, MetricLog::Format::json_lines);
  log.write({1, 1}, std::vector<Metric>{{"loss", 0.1}, {"say \"é\"\\", 1.0 / 3}});
  log.write({2, 1}, std::vector<Metric>{{"loss", kNaN}, {"norm", kInf}});
  const std::string text = read_file(file);
  EXPECT_EQ(text.substr(0, 33), "{\"step\":1,\"epoch\":1,\"loss\":0.1,\"s");
  const auto first = nlohmann::json::parse(text.substr(0, text.find('\n')));
  EXPECT_EQ(first["say \"é\"\\"].get<double>(), 1.0 / 3);
  EXPECT_EQ(text.substr(text.find('\n') + 1), "{\"step\":2,\"epoch\":1,\"loss\":null,\"norm\":null}\n");
}

TEST_F(ReportTest, AResumedLogForgetsLaterStepsAndATornLine) {
  for (auto format : {MetricLog::Format::csv, MetricLog::Format::json_lines}) {
    const std::string name = format == MetricLog::Format::csv ? "r.csv" : "r.jsonl";
    auto write_from = [&](int64_t first, int64_t last, int64_t resume) {
      MetricLog log(path(name), format, resume);
      for (int64_t s = first; s <= last; ++s)
        log.write({s, 1}, std::vector<Metric>{{"loss", 1.0 / static_cast<double>(s)}});
    };
    write_from(1, 10, MetricLog::kKeepAll);
    const std::string want = read_file(path(name));
    append(name, format == MetricLog::Format::csv ? "11,1,0.0" : "{\"step\":11,");
    write_from(5, 10, 4);
    EXPECT_EQ(read_file(path(name)), want);
    write_from(11, 10, MetricLog::kKeepAll);
    EXPECT_EQ(read_file(path(name)), want);
  }
}

TEST_F(ReportTest, LogsRefuseWhatIsNotTheirs) {
  append("a", "time,value\n1,2\n");
  EXPECT_HAS(error_of([&] { MetricLog(path("a"), MetricLog::Format::csv); }),
             "a log begins with \"step,epoch\", not with \"time,value\"");
  EXPECT_HAS(error_of([&] { MetricLog(path("a"), MetricLog::Format::json_lines); }), "line 1 at offset 0");
  append("b", "step,epoch,x\n1,1,2\nbad,1,1\n");
  EXPECT_HAS(error_of([&] { MetricLog(path("b"), MetricLog::Format::csv); }),
             "line 3 at offset 19 is no log record");
  EXPECT_EQ(read_file(path("b")), "step,epoch,x\n1,1,2\nbad,1,1\n");

  MetricLog log(path("c"), MetricLog::Format::csv);
  for (const char* name : {"", "step", "epoch", "a\nb", "\x80"})
    EXPECT_HAS(error_of([&] { log.write({1, 1}, std::vector<Metric>{{name, 1}}); }), "InvalidArgument");
  EXPECT_HAS(error_of([&] {
               log.write({1, 1}, std::vector<Metric>{{"x", 1}, {"x", 1}});
             }),
             "holds \"x\" twice");
}

TEST_F(ReportTest, AFullDiskIsATypedError) {
  MetricLog log(path("a"), MetricLog::Format::json_lines);
  file_faults().arm(FileStep::write, 1, ENOSPC);
  EXPECT_HAS(error_of([&] { log.write({1, 1}, {}); }), "ResourceExhausted: cannot append 21 bytes to");
}

// ---- TensorBoard ----

// Vectors of RFC 3720, appendix B.4, and the common check value.
TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string up, down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(up), 0x46DD794Eu);
  EXPECT_EQ(crc32c(down), 0x113FDB5Cu);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
}

// A reader of the record format and of Protobuf's wire format, by their definitions.
struct Wire {
  uint64_t number = 0;
  std::string bytes;
};
using Message = std::vector<std::pair<int, Wire>>;

Message parse(const std::string& text) {
  Message out;
  size_t at = 0;
  auto varint = [&] {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      const auto b = static_cast<unsigned char>(text.at(at++));
      v |= static_cast<uint64_t>(b & 127) << shift;
      if (b < 128) return v;
    }
  };
  while (at < text.size()) {
    const uint64_t key = varint();
    Wire w;
    const size_t fixed = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
    if ((key & 7) == 0) w.number = varint();
    if ((key & 7) == 2) w.bytes = std::string(text, at + 0, 0);
    if ((key & 7) == 2) {
      const uint64_t n = varint();
      w.bytes = text.substr(at, n);
      EXPECT_EQ(w.bytes.size(), n);
      at += n;
    }
    if (fixed) {
      std::memcpy(&w.number, text.data() + at, fixed);
      at += fixed;
    }
    out.emplace_back(static_cast<int>(key >> 3), w);
  }
  return out;
}

Wire field(const Message& m, int number) {
  for (const auto& [n, w] : m)
    if (n == number) return w;
  ADD_FAILURE() << "no field " << number;
  return {};
}

template <class T>
T load(const std::string& text, size_t at) {
  T v;
  std::memcpy(&v, text.data() + at, sizeof v);
  return v;
}

std::vector<Message> events(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<Message> out;
  for (size_t at = 0; at < text.size();) {
    const auto n = load<uint64_t>(text, at);
    EXPECT_EQ(load<uint32_t>(text, at + 8), masked_crc32c(text.substr(at, 8)));
    const std::string record = text.substr(at + 12, n);
    EXPECT_EQ(load<uint32_t>(text, at + 12 + n), masked_crc32c(record));
    out.push_back(parse(record));
    at += 16 + n;
  }
  return out;
}

TEST_F(ReportTest, EventFilesHoldScalarsAndPictures) {
  EventWriter writer(path("runs/deep/one"));
  EXPECT_HAS(writer.path(), path("runs/deep/one") + "/events.out.tfevents.");
  writer.scalar("train/loss", 300, 0.25);
  writer.scalar("train/loss", int64_t{1} << 40, -kInf);
  writer.image("attention", 5, 640, 480, std::string("\x89PNG\0", 5));
  const auto all = events(writer.path());
  ASSERT_EQ(all.size(), 4u);

  EXPECT_EQ(field(all[0], 3).bytes, "brain.Event:2");
  const double wall = std::bit_cast<double>(field(all[0], 1).number);
  EXPECT_NEAR(wall, static_cast<double>(::time(nullptr)), 5);

  EXPECT_EQ(field(all[1], 2).number, 300u);
  Message value = parse(field(parse(field(all[1], 5).bytes), 1).bytes);
  EXPECT_EQ(field(value, 1).bytes, "train/loss");
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(field(value, 2).number)), 0.25f);
  EXPECT_EQ(field(all[2], 2).number, uint64_t{1} << 40);
  value = parse(field(parse(field(all[2], 5).bytes), 1).bytes);
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(field(value, 2).number)),
            -std::numeric_limits<float>::infinity());

  const Message image = parse(field(parse(field(parse(field(all[3], 5).bytes), 1).bytes), 4).bytes);
  EXPECT_EQ(field(image, 1).number, 480u);
  EXPECT_EQ(field(image, 2).number, 640u);
  EXPECT_EQ(field(image, 4).bytes, std::string("\x89PNG\0", 5));
}

TEST_F(ReportTest, AResumedRunStartsASessionAfterItsStep) {
  EventWriter first(folder_);
  EventWriter second(folder_, 120);
  EXPECT_LT(first.path(), second.path());  // TensorBoard reads them in the order of their names
  const auto all = events(second.path());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(field(all[1], 2).number, 121u);
  EXPECT_EQ(field(parse(field(all[1], 7).bytes), 1).number, 1u);
}

TEST_F(ReportTest, EventErrorsAreTyped) {
  EXPECT_HAS(error_of([&] { EventWriter w(""); }), "InvalidArgument");
  append("file", "x");
  EXPECT_HAS(error_of([&] { EventWriter w(path("file/run")); }), "IO: cannot make the folder");
  EventWriter writer(folder_);
  EXPECT_HAS(error_of([&] { writer.scalar("", 1, 1); }), "empty tag");
  EXPECT_HAS(error_of([&] { writer.image("a", 1, 0, 5, ""); }), "0 x 5 pixels");
}

}  // namespace
}  // namespace fovea::nn
