#include "frontends/nn/report/log.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "framework/base/error.h"
#include "framework/base/utf8.h"

namespace fovea::nn {
namespace {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string csv_header(const std::vector<std::string>& columns) {
  std::string line = "step,epoch";
  for (const std::string& c : columns) line += "," + csv_field(c);
  return line + "\n";
}

// The shortest text that reads back to the same double.
std::string number(double value) {
  if (std::isnan(value)) return "nan";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

std::string json_line(LogPosition at, std::span<const Metric> values) {
  nlohmann::ordered_json line;
  line["step"] = at.step;
  line["epoch"] = at.epoch;
  for (const Metric& m : values) {
    if (std::isfinite(m.value))
      line[m.name] = m.value;
    else
      line[m.name] = nullptr;
  }
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void check_names(std::span<const Metric> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string& name = values[i].name;
    if (name.empty()) invalid("value " + std::to_string(i) + " of a log record has no name");
    if (name == "step" || name == "epoch")
      invalid("a log record has its own \"" + name + "\"; name the value otherwise");
    if (printable_line(name) != name)
      invalid("the name \"" + name + "\" of a log record is not printable text");
    for (size_t j = 0; j < i; ++j)
      if (values[j].name == name) invalid("a log record holds \"" + name + "\" twice");
  }
}

std::optional<int64_t> parse_step(std::string_view text) {
  int64_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return step;
}

std::optional<int64_t> step_of(std::string_view line, MetricLog::Format format) {
  if (format == MetricLog::Format::csv) return parse_step(line.substr(0, line.find(',')));
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  return json["step"].get<int64_t>();
}

}  // namespace

std::vector<std::string> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      // Two quotes within quotes stand for one.
      if (quoted && i + 1 < line.size() && line[i + 1] == '"')
        fields.back() += line[++i];
      else
        quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

MetricLog::MetricLog(const std::string& path, Format format, int64_t resume_step)
    : path_(path), format_(format) {
  if (::access(path.c_str(), F_OK) == 0) resume(resume_step);
  file_ = std::make_unique<AppendFile>(path_);
}

void MetricLog::resume(int64_t resume_step) {
  const std::string text = read_file(path_);
  std::string kept;
  int64_t line_number = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    ++line_number;
    bool keep = true;
    if (format_ == Format::csv && line_number == 1) {
      columns_ = split_csv(line);
      if (columns_.size() < 2 || columns_[0] != "step" || columns_[1] != "epoch")
        fail(ErrorKind::Corrupt, "\"" + path_ + "\": a log begins with \"step,epoch\", not with \"" +
                                     std::string(line.substr(0, 100)) + "\"");
      columns_.erase(columns_.begin(), columns_.begin() + 2);
      has_header_ = true;
    } else {
      const std::optional<int64_t> step = step_of(line, format_);
      if (!step)
        fail(ErrorKind::Corrupt, "\"" + path_ + "\": line " + std::to_string(line_number) + " at offset " +
                                     std::to_string(begin) + " is no log record");
      keep = *step <= resume_step;
    }
    if (keep) kept.append(line).append("\n");
  }
  if (kept != text) write_file(path_, kept);
}

void MetricLog::add_columns(std::span<const Metric> values) {
  std::vector<std::string> columns = columns_;
  for (const Metric& m : values)
    if (std::find(columns.begin(), columns.end(), m.name) == columns.end()) columns.push_back(m.name);
  if (has_header_ && columns.size() == columns_.size()) return;

  std::string text = csv_header(columns);
  if (has_header_) {
    const std::string old = read_file(path_);
    const std::string padding(columns.size() - columns_.size(), ',');
    for (size_t begin = old.find('\n') + 1, end; (end = old.find('\n', begin)) != std::string::npos;
         begin = end + 1)
      text.append(old, begin, end - begin).append(padding).append("\n");
  }
  write_file(path_, text);
  file_ = std::make_unique<AppendFile>(path_);  // the path is another file now
  columns_ = std::move(columns);
  has_header_ = true;
}

std::string MetricLog::csv_line(LogPosition at, std::span<const Metric> values) const {
  std::string line = std::to_string(at.step) + "," + std::to_string(at.epoch);
  for (const std::string& column : columns_) {
    line += ',';
    for (const Metric& m : values)
      if (m.name == column) line += number(m.value);
  }
  return line + "\n";
}

void MetricLog::write(LogPosition at, std::span<const Metric> values) {
  check_names(values);
  if (format_ == Format::csv) add_columns(values);
  file_->append(format_ == Format::csv ? csv_line(at, values) : json_line(at, values));
}

}  // namespace fovea::nn
