#include "optim/explain/recompute.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace fovea {

double RecomputeReport::flops_per_byte() const {
  const int64_t saved = bytes_before - bytes_after;
  return saved > 0 ? static_cast<double>(flops) / static_cast<double>(saved) : 0;
}

RecomputeReport recompute_report(const Plan& plan) {
  RecomputeReport r;
  r.launches = plan.recomputed.launches;
  r.flops = plan.recomputed.flops;
  r.bytes_after = plan.arena_bytes;
  r.bytes_before = plan.arena_bytes + plan.recomputed.bytes;
  if (r.launches == 0) return r;
  // A launch that runs again is the same kernel, prepared once, of the same node.
  std::set<std::pair<int32_t, const PreparedOp*>> seen;
  std::map<std::string, int> again;
  for (const PlanStep& step : plan.steps)
    if (step.prepared && !seen.emplace(step.node, step.prepared.get()).second) ++again[step.op];
  r.ops.assign(again.begin(), again.end());
  std::stable_sort(r.ops.begin(), r.ops.end(), [](auto& a, auto& b) { return a.second > b.second; });
  return r;
}

std::string recompute_text(const RecomputeReport& r) {
  if (r.launches == 0) return "";
  std::string ops;
  for (size_t i = 0; i < r.ops.size() && i < 8; ++i)
    ops += fmt::format("{}{} {}", i ? ", " : "", r.ops[i].second, r.ops[i].first);
  if (r.ops.size() > 8) ops += ", ...";
  auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  return fmt::format(
      "recomputed: {} launch{} again{}, {:.1f} MFLOPs a run for {:.1f} MiB less ({:.1f} MiB -> {:.1f} MiB): "
      "{:.2f} FLOPs a byte",
      r.launches, r.launches == 1 ? " runs" : "es run", ops.empty() ? "" : " (" + ops + ")",
      static_cast<double>(r.flops) / 1e6, mib(r.bytes_before - r.bytes_after), mib(r.bytes_before),
      mib(r.bytes_after), r.flops_per_byte());
}

std::string recompute_json(const RecomputeReport& r) {
  auto ops = nlohmann::ordered_json::object();
  for (const auto& [op, count] : r.ops) ops[op] = count;
  return nlohmann::ordered_json{{"launches", r.launches},
                                {"flops", r.flops},
                                {"bytes_before", r.bytes_before},
                                {"bytes_after", r.bytes_after},
                                {"flops_per_byte", r.flops_per_byte()},
                                {"ops", ops}}
      .dump();
}

}  // namespace fovea
