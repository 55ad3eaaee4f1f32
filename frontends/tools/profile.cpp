#include "frontends/tools/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "framework/base/file.h"
#include "framework/runtime/plan.h"

namespace fovea::tools {

void write_profile(const std::string& path, const std::function<void()>& step) {
  const std::vector<LaunchTime> times = record_launches(step);
  auto events = nlohmann::json::array();
  struct Total {
    double us = 0;
    int calls = 0;
  };
  std::map<std::string, Total> totals;
  double all = 0;
  for (const LaunchTime& t : times) {
    const double us = (t.end - t.begin) * 1e6;
    const std::string name = t.kernel.empty() ? t.op : t.op + " (" + t.kernel + ")";
    events.push_back({{"name", name},
                      {"cat", t.op},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", (t.begin - times[0].begin) * 1e6},
                      {"dur", us},
                      {"args", {{"source", t.source}}}});
    Total& total = totals[name];
    total.us += us;
    total.calls += 1;
    all += us;
  }
  write_file(path, nlohmann::json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump());
  std::vector<std::pair<std::string, Total>> heaviest(totals.begin(), totals.end());
  std::sort(heaviest.begin(), heaviest.end(), [](auto& a, auto& b) { return a.second.us > b.second.us; });
  fmt::print(stderr, "{:>10} {:>6} {:>6}  kernel\n", "ms", "share", "calls");
  for (size_t i = 0; i < heaviest.size() && i < 20; ++i)
    fmt::print(stderr, "{:10.3f} {:5.1f}% {:6}  {}\n", heaviest[i].second.us / 1e3,
               heaviest[i].second.us / all * 100, heaviest[i].second.calls, heaviest[i].first);
  fmt::print(stderr, "{:10.3f} total in {} launches\n", all / 1e3, times.size());
}

}  // namespace fovea::tools
