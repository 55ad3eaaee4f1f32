#include "frontends/tools/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "framework/base/file.h"
#include "frontends/tools/step_cost.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

std::string name_of(const LaunchTime& t) { return t.kernel.empty() ? t.op : t.op + " (" + t.kernel + ")"; }

double whole_time(const std::vector<LaunchTime>& launches) {
  double sum = 0;
  for (const LaunchTime& t : launches)
    if (t.depth == 0) sum += t.end - t.begin;
  return sum;
}

// The time of every launch without that of the launches inside it. A loop's entry comes behind those of its
// body.
std::vector<double> own_times(const std::vector<LaunchTime>& launches) {
  std::vector<double> own(launches.size());
  std::vector<double> inside;  // by depth: of launches whose loop has not ended yet
  for (size_t i = 0; i < launches.size(); ++i) {
    const LaunchTime& t = launches[i];
    const size_t depth = static_cast<size_t>(t.depth);
    if (inside.size() < depth + 2) inside.resize(depth + 2, 0);
    const double all = t.end - t.begin;
    own[i] = all - inside[depth + 1];
    inside[depth + 1] = 0;
    inside[depth] += all;
  }
  return own;
}

// Of everything that one line of the table stands for.
struct Total {
  double seconds = 0, least = 0;
  StepCost cost;
  int calls = 0;
};

// "412 GFLOP/s  84%" or "61.2 GB/s  84%", whichever limits.
std::string reached(const Total& t, const MachinePeak& peak) {
  if (t.least <= 0 || t.seconds <= 0) return "";
  const double flops = static_cast<double>(t.cost.flops) / t.seconds * 1e-9,
               bytes = static_cast<double>(t.cost.bytes) / t.seconds * 1e-9;
  const bool computes = flops / peak.gflops >= bytes / peak.read_gbs;
  return fmt::format("{:8.1f} {:<7} {:4.0f}%", computes ? flops : bytes, computes ? "GFLOP/s" : "GB/s",
                     100 * t.least / t.seconds);
}

}  // namespace

std::vector<LaunchTime> fastest_launches(const std::function<void()>& step, int runs) {
  std::vector<LaunchTime> best;
  for (int i = 0; i < runs; ++i) {
    std::vector<LaunchTime> now = record_launches(step);
    if (best.empty() || whole_time(now) < whole_time(best)) best = std::move(now);
  }
  return best;
}

void write_trace(const std::string& path, const std::vector<LaunchTime>& launches) {
  Json events = Json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", "fovea"}}}});
  events.push_back(
      {{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "launches"}}}});
  double begin = launches.empty() ? 0 : launches[0].begin;
  for (const LaunchTime& t : launches) begin = std::min(begin, t.begin);
  for (const LaunchTime& t : launches) {
    Json args{{"op", t.op}, {"kernel", t.kernel}, {"source", t.source}};
    if (t.node >= 0) args["node"] = t.node;
    if (t.prepared) {
      const StepCost cost = cost_of(t.prepared->request);
      args["shapes"] = operands_text(t.prepared->request);
      args["flops"] = cost.flops;
      args["bytes"] = cost.bytes;
    }
    events.push_back({{"name", name_of(t)},
                      {"cat", t.op},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", (t.begin - begin) * 1e6},
                      {"dur", (t.end - t.begin) * 1e6},
                      {"args", std::move(args)}});
  }
  const Json trace{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
  write_file(path, trace.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string heaviest_table(const std::vector<LaunchTime>& launches, const MachinePeak& peak, size_t most) {
  const std::vector<double> own = own_times(launches);
  std::map<std::string, Total> totals;
  std::map<const PreparedOp*, StepCost> costs;
  double all = 0;
  for (size_t i = 0; i < launches.size(); ++i) {
    const LaunchTime& t = launches[i];
    Total& total = totals[name_of(t)];
    total.seconds += own[i];
    total.calls += 1;
    all += own[i];
    if (!t.prepared) continue;
    const auto [at, fresh] = costs.try_emplace(t.prepared.get());
    if (fresh) at->second = cost_of(t.prepared->request);
    total.cost.flops += at->second.flops;
    total.cost.bytes += at->second.bytes;
    total.least += least_seconds(at->second, peak.gflops, peak.read_gbs);
  }
  std::vector<std::pair<std::string, Total>> heaviest(totals.begin(), totals.end());
  std::stable_sort(heaviest.begin(), heaviest.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string text =
      fmt::format("{:>10} {:>6} {:>6} {:>16} {:>5}  kernel\n", "ms", "share", "calls", "reached", "peak");
  for (size_t i = 0; i < heaviest.size() && i < most; ++i) {
    const Total& t = heaviest[i].second;
    text += fmt::format("{:10.3f} {:5.1f}% {:6} {:>22}  {}\n", t.seconds * 1e3, t.seconds / all * 100,
                        t.calls, reached(t, peak), heaviest[i].first);
  }
  if (heaviest.size() > most) {
    double rest = 0;
    for (size_t i = most; i < heaviest.size(); ++i) rest += heaviest[i].second.seconds;
    text +=
        fmt::format("{:10.3f} {:5.1f}% in {} others\n", rest * 1e3, rest / all * 100, heaviest.size() - most);
  }
  return text +
         fmt::format("{:10.3f} total in {} launches; this machine: {:.0f} GFLOP/s, reads {:.1f} GB/s\n",
                     all * 1e3, launches.size(), peak.gflops, peak.read_gbs);
}

}  // namespace fovea::tools
