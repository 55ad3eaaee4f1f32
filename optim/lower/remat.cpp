#include "optim/lower/remat.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <set>

namespace fovea {
namespace {

constexpr size_t kMostSteps = 64;   // to compute one value again
constexpr int64_t kSmallShare = 8;  // operands this much smaller than the value are kept instead
constexpr int32_t kNever = INT_MAX;

// When values live, and what that takes.
struct Lives {
  std::vector<int32_t> first, last, writer;  // by value; last is kNever for what is kept
  std::vector<int64_t> bytes;                // by step
  int32_t peak_step = 0;
  int64_t peak = 0;

  explicit Lives(const RematSchedule& s)
      : first(s.values.size(), 0), last(s.values.size(), -1), writer(s.values.size(), -1) {
    const int32_t steps = static_cast<int32_t>(s.steps.size());
    for (int32_t k = 0; k < steps; ++k) {
      for (int32_t v : s.steps[k].reads)
        if (v >= 0) last[v] = k;
      for (int32_t v : s.steps[k].writes)
        if (v >= 0) first[v] = k, writer[v] = k, last[v] = std::max(last[v], k);
    }
    std::vector<int32_t> end(s.values.size());  // the first step without the value
    for (size_t v = 0; v < end.size(); ++v) {
      if (s.values[v].kept) last[v] = kNever;
      end[v] = last[v] == kNever ? steps : last[v] + 1;
    }
    take_over(s, end);
    std::vector<int64_t> change(static_cast<size_t>(steps) + 1, 0);
    for (size_t v = 0; v < end.size(); ++v) {
      if (writer[v] < 0) continue;
      change[first[v]] += s.values[v].bytes;
      change[end[v]] -= s.values[v].bytes;
    }
    bytes.resize(s.steps.size());
    int64_t live = 0;
    for (int32_t k = 0; k < steps; ++k) {
      bytes[k] = (live += change[k]) + s.launches[s.steps[k].launch].workspace;
      if (bytes[k] > peak) peak = bytes[k], peak_step = k;
    }
  }

 private:
  // What is written over a value read for the last time does not live beside it.
  void take_over(const RematSchedule& s, std::vector<int32_t>& end) const {
    for (int32_t k = 0; k < static_cast<int32_t>(s.steps.size()); ++k) {
      const RematStep& step = s.steps[k];
      int32_t taken = -1;
      for (const auto& [w, r] : s.launches[step.launch].in_place) {
        const int32_t to = step.writes[w], from = step.reads[r];
        if (to < 0 || from < 0 || to == taken || last[from] != k || end[from] != k + 1 ||
            s.values[from].bytes != s.values[to].bytes)
          continue;
        end[from] = k;
        taken = to;
      }
    }
  }
};

// How one value is computed again before step `at`.
struct Recipe {
  int32_t value = -1, at = -1;
  std::vector<int32_t> steps;                           // to run again, ascending
  std::vector<std::pair<int32_t, int32_t>> instead_of;  // (value, equal value that is read instead)
  int64_t saved = 0, made = 0;                          // bytes
  double seconds = 0;
};

class Search {
 public:
  Search(const RematSchedule& schedule, int64_t budget) : s_(schedule), lives_(schedule), budget_(budget) {
    next_.assign(s_.values.size(), kNever);
    const int32_t p = lives_.peak_step;
    for (int32_t k = static_cast<int32_t>(s_.steps.size()) - 1; k > p; --k)
      for (int32_t v : s_.steps[k].reads)
        if (v >= 0) next_[v] = k;
    busy_.assign(s_.values.size(), false);
    for (const auto* list : {&s_.steps[p].reads, &s_.steps[p].writes})
      for (int32_t v : *list)
        if (v >= 0) busy_[v] = true;
    versions_.resize(s_.values.size());
    for (size_t v = 0; v < s_.values.size(); ++v)
      versions_[origin(static_cast<int32_t>(v))].push_back(static_cast<int32_t>(v));
  }

  const Lives& lives() const { return lives_; }

  /// The value alive at the peak that frees the most bytes for its time, without those in `refused`.
  std::optional<Recipe> best(const std::set<int32_t>& refused) const {
    std::optional<Recipe> found;
    for (int32_t v = 0; v < static_cast<int32_t>(s_.values.size()); ++v) {
      if (!idle_at_peak(v) || refused.count(v)) continue;
      std::optional<Recipe> r = recipe(v);
      if (r && (!found || static_cast<double>(r->saved) * found->seconds >
                              static_cast<double>(found->saved) * r->seconds))
        found = std::move(r);
    }
    return found;
  }

 private:
  int32_t origin(int32_t v) const { return s_.values[v].origin < 0 ? v : s_.values[v].origin; }
  bool idle_at_peak(int32_t v) const {
    return s_.values[v].bytes > 0 && !s_.values[v].kept && lives_.writer[v] >= 0 &&
           lives_.first[v] < lives_.peak_step && next_[v] != kNever && !busy_[v];
  }
  bool alive(int32_t v, int32_t at) const { return lives_.first[v] < at && lives_.last[v] >= at; }
  bool repeatable(int32_t v) const {
    return lives_.writer[v] >= 0 && s_.launches[s_.steps[lives_.writer[v]].launch].repeatable;
  }

  // An equal value that is alive at step `at`, or can be kept until then without being there at the peak.
  int32_t equal_value(int32_t v, int32_t at) const {
    for (int32_t w : versions_[origin(v)]) {
      if (w == v || lives_.writer[w] < 0 || lives_.first[w] >= at) continue;
      if (lives_.last[w] >= at) return w;
      if (lives_.first[w] <= lives_.peak_step) continue;
      bool fits = true;
      for (int32_t k = lives_.last[w] + 1; fits && k < at; ++k)
        fits = lives_.bytes[k] + s_.values[w].bytes <= budget_;
      if (fits) return w;
    }
    return -1;
  }

  std::optional<Recipe> recipe(int32_t value) const {
    if (!repeatable(value)) return {};
    Recipe r;
    r.value = value;
    r.at = next_[value];
    int64_t extended = 0;
    std::vector<int32_t> open = {lives_.writer[value]};
    std::set<int32_t> steps(open.begin(), open.end());
    while (!open.empty()) {
      const int32_t step = open.back();
      open.pop_back();
      for (int32_t u : s_.steps[step].reads) {
        if (u < 0 || alive(u, r.at) || (lives_.writer[u] >= 0 && steps.count(lives_.writer[u]))) continue;
        if (const int32_t w = equal_value(u, r.at); w >= 0) {
          r.instead_of.emplace_back(u, w);
        } else if (s_.values[u].bytes * kSmallShare <= s_.values[value].bytes) {
          if (lives_.last[u] < lives_.peak_step) extended += s_.values[u].bytes;
        } else {
          if (!repeatable(u) || steps.size() >= kMostSteps) return {};
          steps.insert(lives_.writer[u]);
          open.push_back(lives_.writer[u]);
        }
      }
    }
    r.steps.assign(steps.begin(), steps.end());
    int64_t workspace = 0;
    for (int32_t step : r.steps) {
      const RematLaunch& launch = s_.launches[s_.steps[step].launch];
      r.seconds += launch.seconds;
      workspace = std::max(workspace, launch.workspace);
      for (int32_t v : s_.steps[step].writes)
        if (v >= 0) r.made += s_.values[v].bytes;
    }
    r.made += workspace;
    // Its sisters, made by the same launch, go as well where they are not needed before.
    for (int32_t v : s_.steps[lives_.writer[value]].writes)
      if (v >= 0 && idle_at_peak(v) && next_[v] >= r.at) r.saved += s_.values[v].bytes;
    r.saved -= extended;
    // Where it is read it is there in any case, with what it is made from: that must be below the peak.
    const bool too_much = lives_.bytes[r.at] + r.made - s_.values[value].bytes >= lives_.peak;
    return r.saved > 0 && !too_much ? std::optional<Recipe>(std::move(r)) : std::nullopt;
  }

  const RematSchedule& s_;
  Lives lives_;
  int64_t budget_;
  std::vector<int32_t> next_;  // by value: the first step behind the peak that reads it
  std::vector<bool> busy_;     // read or written at the peak
  std::vector<std::vector<int32_t>> versions_;
};

RematSchedule with(const RematSchedule& s, const Recipe& r) {
  RematSchedule out;
  out.values = s.values;
  out.launches = s.launches;
  out.steps.reserve(s.steps.size() + r.steps.size());
  out.steps.assign(s.steps.begin(), s.steps.begin() + r.at);
  std::vector<int32_t> now(s.values.size());  // what is read in place of each value from here on
  for (size_t v = 0; v < now.size(); ++v) now[v] = static_cast<int32_t>(v);
  std::vector<int32_t> inside = now;
  for (const auto& [u, w] : r.instead_of) inside[u] = w;
  for (int32_t step : r.steps) {
    RematStep again = s.steps[step];
    for (int32_t& v : again.reads)
      if (v >= 0) v = inside[v];
    for (int32_t& v : again.writes) {
      if (v < 0) continue;
      RematValue made = s.values[v];
      made.kept = false;
      if (made.origin < 0) made.origin = v;
      const int32_t fresh = static_cast<int32_t>(out.values.size());
      out.values.push_back(made);
      inside[v] = now[v] = fresh;
      v = fresh;
    }
    out.steps.push_back(std::move(again));
  }
  for (size_t k = static_cast<size_t>(r.at); k < s.steps.size(); ++k) {
    out.steps.push_back(s.steps[k]);
    for (int32_t& v : out.steps.back().reads)
      if (v >= 0 && !s.values[v].kept) v = now[v];
  }
  return out;
}

}  // namespace

int64_t peak_of(const RematSchedule& schedule) { return Lives(schedule).peak; }

int64_t fit_into(RematSchedule& schedule, int64_t budget) {
  const size_t most = 8 * schedule.values.size();
  std::set<int32_t> refused;  // since the peak was last lower
  for (size_t round = 0; round < most; ++round) {
    const Search search(schedule, budget);
    const Lives& before = search.lives();
    if (before.peak <= budget) break;
    const std::optional<Recipe> recipe = search.best(refused);
    if (!recipe) break;
    RematSchedule next = with(schedule, *recipe);
    const Lives after(next);
    if (after.peak > before.peak || after.bytes[before.peak_step] >= before.bytes[before.peak_step]) {
      refused.insert(recipe->value);
      continue;
    }
    if (after.peak < before.peak) refused.clear();
    schedule = std::move(next);
  }
  return peak_of(schedule);
}

}  // namespace fovea
