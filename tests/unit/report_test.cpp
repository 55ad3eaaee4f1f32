// Logs of a training run: CSV, JSON lines, TensorBoard's event files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/file_faults.h"
#include "frontends/nn/report/log.h"
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
