#include "frontends/nn/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "framework/base/utf8.h"

namespace fovea::nn {
namespace {

constexpr double kTerminalInterval = 0.1;  // seconds between redraws
constexpr double kPlainInterval = 10;
constexpr double kRateMemory = 10;  // seconds over which the rate is smoothed
constexpr int kLongestBar = 30;
constexpr int kShortestBar = 8;

double system_clock() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

// 950, 1.25k, 32.1M: three digits and a unit.
std::string format_rate(double rate) {
  const char* suffix = "";
  for (const char* next : {"k", "M", "G"}) {
    if (rate < 999.5) break;
    rate /= 1000;
    suffix = next;
  }
  return format("%.3g", rate) + suffix;
}

std::string rate_text(const ProgressState& s) {
  if (s.rate <= 0 || !std::isfinite(s.rate)) return "";
  if (s.rate < 0.95) return format_duration(1 / s.rate) + "/" + s.unit;
  return format_rate(s.rate) + " " + s.unit + (s.unit.ends_with('s') ? "/s" : "s/s");
}

std::string time_text(const ProgressState& s) {
  if (s.finished) return "in " + format_duration(s.elapsed);
  if (s.total <= 0 || s.rate <= 0) return format_duration(s.elapsed);
  return "ETA " + format_duration(static_cast<double>(std::max<int64_t>(0, s.total - s.done)) / s.rate);
}

std::string bar_text(double fraction, int columns, const ProgressStyle& style) {
  // In halves of a column with line characters, in whole ones without.
  const int filled = static_cast<int>(fraction * columns * 2 + 1e-9);
  std::string on, off;
  for (int i = 0; i < columns; ++i) {
    const int here = filled - 2 * i;
    if (style.unicode) {
      if (here >= 2)
        on += "━";
      else if (here == 1)
        on += "╸";
      else
        off += style.color ? "━" : " ";
    } else {
      (here >= 2 ? on : off) += here >= 2 ? "=" : here == 1 ? ">" : " ";
    }
  }
  if (!style.color) return style.unicode ? on + off : "[" + on + off + "]";
  return "\x1b[36m" + on + "\x1b[0m\x1b[2m" + off + "\x1b[0m";
}

// A part of the line; those with the highest `rank` are dropped first.
struct Part {
  std::string text;
  int rank;
};

int width_of(const std::vector<Part>& parts) {
  int width = 0;
  for (const Part& p : parts) width += display_width(p.text) + 2;
  return std::max(0, width - 2);
}

bool says_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (!value || !*value) continue;
    std::string lower = value;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return lower.find("utf-8") != std::string::npos || lower.find("utf8") != std::string::npos;
  }
  return false;
}

ProgressBar::Output detect(int fd) {
  const char* term = std::getenv("TERM");
  const bool dumb = !term || !*term || std::string_view(term) == "dumb";
  return ::isatty(fd) && !dumb ? ProgressBar::Output::terminal : ProgressBar::Output::plain;
}

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds > 1e9) return "?";
  const int64_t s = std::llround(std::max(0.0, seconds));
  const int minutes = static_cast<int>(s / 60 % 60), hours = static_cast<int>(s / 3600),
            rest = static_cast<int>(s % 60);
  if (s < 3600) return format("%d:%02d", minutes, rest);
  if (s < 86400) return format("%d:%02d:%02d", hours, minutes, rest);
  return format("%dd %02d:%02d", hours / 24, hours % 24, minutes);
}

std::string format_metric(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-3 || size >= 1e6)) return format("%.2e", value);
  if (value == std::floor(value) && size >= 100) return format("%.0f", value);
  return format(size < 1 ? "%.4f" : "%.4g", value);
}

std::string progress_line(const ProgressState& s, const ProgressStyle& style) {
  const double fraction =
      s.total > 0 ? std::clamp(static_cast<double>(s.done) / static_cast<double>(s.total), 0.0, 1.0) : 0;
  // Never 100% before the last item is done.
  const std::string percent = format("%3d%%", static_cast<int>(fraction * 100));
  const std::string count = s.total > 0 ? std::to_string(s.done) + "/" + std::to_string(s.total)
                                        : std::to_string(s.done) + " " + s.unit + (s.done == 1 ? "" : "s");
  std::vector<Part> parts;
  auto add = [&](std::string text, int rank) {
    if (!text.empty()) parts.push_back({printable_line(text), rank});
  };
  add(s.label, 0);
  const size_t bar_at = parts.size();
  const bool bar = style.bar && s.total > 0;
  if (s.total > 0) add(percent, 1);
  add(count, s.total > 0 ? 5 : 1);
  add(rate_text(s), 4);
  add(time_text(s), 2);
  for (size_t i = 0; i < s.metrics.size(); ++i)
    add(s.metrics[i].name + " " + format_metric(s.metrics[i].value), i == 0 ? 3 : 6 + static_cast<int>(i));

  const int ends = style.unicode ? 0 : 2;
  const int least = bar ? kShortestBar + ends + 2 : 0;
  while (parts.size() > 1 && width_of(parts) + least > style.width) {
    const auto worst =
        std::max_element(parts.begin(), parts.end(), [](auto& a, auto& b) { return a.rank < b.rank; });
    if (worst->rank <= 1) break;
    parts.erase(worst);
  }
  const int room = style.width - width_of(parts) - 2 - ends;
  const std::string drawn =
      bar && room >= kShortestBar ? bar_text(fraction, std::min(room, kLongestBar), style) : "";

  std::string line;
  int left = style.width;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i == bar_at && !drawn.empty()) {
      line += (line.empty() ? "" : "  ") + drawn;
      left -= std::min(room, kLongestBar) + ends + (i > 0 ? 2 : 0);
    }
    const std::string text = (line.empty() ? "" : "  ") + parts[i].text;
    const std::string_view fits = clip_to_width(text, std::max(0, left));
    line += fits;
    left -= display_width(fits);
  }
  return line;
}

ProgressBar::ProgressBar(Options options) : options_(std::move(options)) {
  if (!options_.clock) options_.clock = system_clock;
  if (options_.output == Output::detect) options_.output = detect(options_.fd);
  const bool terminal = options_.output == Output::terminal;
  style_.bar = terminal;
  style_.unicode = terminal && says_utf8();
  style_.color = terminal && !std::getenv("NO_COLOR");
  state_.label = options_.label;
  state_.unit = options_.unit;
  state_.total = std::max<int64_t>(0, options_.total);
  state_.done = last_done_ = options_.start;
  start_time_ = last_measure_ = options_.clock();
  // A terminal shows the bar at once; a log file gets its first line after the first interval.
  last_draw_ = terminal ? start_time_ - 1 : start_time_;
}

ProgressBar::~ProgressBar() {
  if (drawn_) print("\n");
}

void ProgressBar::measure(double now) {
  const double dt = now - last_measure_;
  if (dt <= 0) return;
  const double weight = 1 - std::exp(-dt / kRateMemory);
  rate_sum_ += weight * (static_cast<double>(state_.done - last_done_) / dt - rate_sum_);
  rate_weight_ += weight * (1 - rate_weight_);
  state_.rate = std::max(0.0, rate_sum_ / rate_weight_);
  last_measure_ = now;
  last_done_ = state_.done;
}

void ProgressBar::update(int64_t done, std::span<const Metric> metrics) {
  if (state_.finished || options_.output == Output::silent) return;
  state_.done = done;
  state_.metrics.assign(metrics.begin(), metrics.end());
  const double now = options_.clock();
  const double interval = options_.output == Output::terminal ? kTerminalInterval : kPlainInterval;
  if (now - last_draw_ < interval) return;
  measure(now);
  draw(now);
}

void ProgressBar::draw(double now) {
  last_draw_ = now;
  state_.elapsed = now - start_time_;
  if (options_.output == Output::terminal) {
    style_.width = std::max(1, terminal_width(options_.fd) - 1);  // a full last column would wrap
    print("\r" + progress_line(state_, style_) + "\x1b[K");
    drawn_ = true;
  } else {
    style_.width = 200;
    print(progress_line(state_, style_) + "\n");
  }
}

void ProgressBar::message(std::string_view text) {
  if (options_.output == Output::silent) return;
  if (drawn_) print("\r\x1b[K");
  print(printable_line(text) + "\n");
  if (drawn_) draw(last_draw_);
}

void ProgressBar::finish() {
  if (state_.finished || options_.output == Output::silent) return;
  const double now = options_.clock();
  state_.finished = true;
  // At the end the rate is that of the whole run.
  const double elapsed = now - start_time_;
  state_.rate = elapsed > 0 ? static_cast<double>(state_.done - options_.start) / elapsed : 0;
  draw(now);
  if (drawn_) print("\n");
  drawn_ = false;
}

void ProgressBar::print(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t wrote = ::write(options_.fd, text.data(), text.size());
    if (wrote > 0)
      text.remove_prefix(static_cast<size_t>(wrote));
    else if (wrote == 0 || errno != EINTR)
      return;
  }
}

}  // namespace fovea::nn
