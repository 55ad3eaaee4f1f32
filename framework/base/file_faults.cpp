#include "framework/base/file_faults.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr std::string_view kStepNames[kFileStepCount] = {"open", "read", "write", "fsync", "rename"};

struct Outcome {
  std::string_view name;
  int error;
};
constexpr Outcome kOutcomes[] = {{"EIO", EIO},
                                 {"ENOSPC", ENOSPC},
                                 {"EINTR", EINTR},
                                 {"short", FileFaults::kShort},
                                 {"kill", FileFaults::kKill}};

[[noreturn]] void malformed(std::string_view part) {
  invalid("FOVEA_FAULT: \"" + std::string(part) +
          "\" is not step:k:what with a step of open, read, write, fsync, rename, k >= 1 and what of EIO, "
          "ENOSPC, EINTR, short, kill");
}

// The text up to `separator`, which is taken off `rest` together with it.
std::string_view next_part(std::string_view& rest, char separator) {
  const size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

void parse_one(FileFaults& faults, std::string_view text) {
  std::string_view rest = text;
  const std::string_view name = next_part(rest, ':');
  const std::string_view count = next_part(rest, ':');
  const std::string_view what = rest.empty() ? std::string_view("EIO") : rest;

  int step = 0;
  while (step < kFileStepCount && kStepNames[step] != name) ++step;
  int64_t k = 0;
  for (char c : count) {
    if (c < '0' || c > '9' || k > 1'000'000'000) malformed(text);
    k = k * 10 + (c - '0');
  }
  if (step == kFileStepCount || k < 1) malformed(text);
  for (const Outcome& o : kOutcomes)
    if (o.name == what) return faults.arm(static_cast<FileStep>(step), k, o.error);
  malformed(text);
}

void read_environment(FileFaults& faults) {
  const char* text = std::getenv("FOVEA_FAULT");
  if (!text) return;
  for (std::string_view rest = text; !rest.empty();) parse_one(faults, next_part(rest, ','));
}

}  // namespace

void FileFaults::arm(FileStep step, int64_t k, int error) {
  Step& s = (*this)[step];
  s.error = error;
  s.fail_at = s.calls + k;
}

void FileFaults::reset() {
  for (Step& s : steps) {
    s.fail_at = 0;
    s.error = 0;
    s.calls = 0;
  }
  no_openat2 = false;
}

FileFaults& file_faults() {
  static FileFaults faults;
  static const bool ready = (read_environment(faults), true);
  (void)ready;
  return faults;
}

int next_fault(FileStep step) {
  FileFaults::Step& s = file_faults()[step];
  const int64_t call = s.calls.fetch_add(1, std::memory_order_relaxed) + 1;
  if (call != s.fail_at.load(std::memory_order_relaxed)) return 0;
  if (s.error == FileFaults::kKill) std::raise(SIGKILL);
  return s.error;
}

}  // namespace fovea
