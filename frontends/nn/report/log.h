// Logs of a training run: one record a line, as CSV or JSON lines.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "framework/base/file.h"
#include "frontends/nn/report/progress.h"

namespace fovea::nn {

/// Where in a run its values were measured.
struct LogPosition {
  int64_t step = 0;
  int64_t epoch = 0;
};

/// A log that grows by one line for each record, written to the system at once.
///
/// CSV:        step,epoch,loss,accuracy     a header, then numbers that read back to the same double; "nan"
/// and "inf"
///             100,1,0.4123,0.91            as they are; empty where a record has no such value
/// JSON lines: {"step":100,"epoch":1,"loss":0.4123}     null for NaN and infinities, which JSON does not have
///
/// Opening a log that is there already goes on with it: a last line that was cut short is dropped, and so are
/// the records after `resume_step`, which a resumed run writes again.
class MetricLog {
 public:
  enum class Format : uint8_t { csv, json_lines };
  static constexpr int64_t kKeepAll = INT64_MAX;

  /// IO for what the system refuses; Corrupt when `path` holds something that is no such log.
  MetricLog(const std::string& path, Format format, int64_t resume_step = kKeepAll);

  /// Appends one record. A name that a CSV log has no column for adds one (the file is then written anew).
  /// InvalidArgument for a name that is empty, repeated, "step", "epoch", or holds control characters.
  void write(LogPosition at, std::span<const Metric> values);

  const std::string& path() const { return path_; }

 private:
  void resume(int64_t resume_step);
  void add_columns(std::span<const Metric> values);
  std::string csv_line(LogPosition at, std::span<const Metric> values) const;

  std::string path_;
  Format format_;
  std::vector<std::string> columns_;  // of a CSV log, without step and epoch
  bool has_header_ = false;
  std::unique_ptr<AppendFile> file_;
};

/// The fields of one line of CSV (RFC 4180, without line breaks inside fields).
std::vector<std::string> split_csv(std::string_view line);

}  // namespace fovea::nn
