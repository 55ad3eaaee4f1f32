#include "optim/explain/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "framework/backend/backend.h"
#include "optim/explain/launches.h"
#include "optim/explain/recompute.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

std::string kernel_text(const PlanStep& step) {
  return step.kernel.empty() || step.kernel == step.op ? step.op : step.op + " (" + step.kernel + ")";
}

std::vector<std::string> passed_over(const PlanStep& step) {
  if (!step.prepared) return {};
  return refusals(step.prepared->backend->name, step.prepared->request);
}

// "  score    scale 0.125, causal": every line of a paragraph but its first.
void line(std::string& text, const char* what, const std::string& value) {
  if (!value.empty()) text += fmt::format("  {:<9} {}\n", what, value);
}

void kernel_lines(std::string& text, const char* what, const PlanStep* step) {
  if (!step) return;
  std::string value = kernel_text(*step);
  if (step->prepared) value += "  " + operands_text(step->prepared->request);
  line(text, what, value);
  for (const std::string& why : passed_over(*step)) line(text, "", "passed over " + why);
}

std::string where(const FusionRecord& r) {
  std::string text = r.scope;
  if (const std::string source = source_text(r.source); !source.empty())
    text += (text.empty() ? "" : "  ") + source;
  return text;
}

std::string paragraph(const Explanation& e) {
  const FusionRecord& r = e.record;
  const std::string code = code_of(r);
  std::string text = fmt::format("{} {}{}{}\n", r.fused ? "fused  " : "refused", r.region,
                                 code.empty() ? "" : "  " + code, where(r).empty() ? "" : "  " + where(r));
  line(text, r.fused ? "what" : "because", r.sentence);
  line(text, "node", r.node);
  line(text, "score", r.score);
  if (!r.fused) line(text, "nearest", r.nearest);
  line(text, r.fused ? "saves" : "at stake", r.saves.empty() ? "" : r.saves + " bytes");
  kernel_lines(text, "kernel", e.forward);
  kernel_lines(text, "backward", e.backward);
  return text;
}

// Regions that are not attention come by the hundred: equal ones are told once, with the places.
std::string grouped(const std::vector<const Explanation*>& others) {
  std::map<std::string, std::vector<const Explanation*>> groups;
  std::vector<std::string> order;
  for (const Explanation* e : others) {
    const FusionRecord& r = e->record;
    const std::string key =
        r.region + '\n' + (r.fused ? "+" : "-") + '\n' + code_of(r) + '\n' + r.sentence + '\n' + r.score;
    auto& group = groups[key];
    if (group.empty()) order.push_back(key);
    group.push_back(e);
  }
  std::string text;
  for (const std::string& key : order) {
    const auto& group = groups[key];
    Explanation first = *group[0];
    if (group.size() == 1) {
      text += "\n" + paragraph(first);
      continue;
    }
    const std::string own = where(first.record);
    std::string places = own;
    size_t shown = !own.empty();
    for (size_t i = 1; i < group.size() && shown < 3; ++i)
      if (const std::string other = where(group[i]->record); !other.empty() && other != own)
        places += (places.empty() ? "" : "; ") + other, ++shown;
    if (group.size() > shown && shown) places += "; ...";
    first.record.scope.clear();
    first.record.source = {};
    std::string told = paragraph(first);
    told.insert(told.find('\n'), fmt::format("  {} times", group.size()));
    line(told, "at", places);
    text += "\n" + told;
  }
  return text;
}

std::string counts(const std::vector<Explanation>& all) {
  size_t attentions = 0, fused = 0, other_fused = 0;
  for (const Explanation& e : all) {
    const bool attention = e.record.region == "attention";
    attentions += attention;
    fused += attention && e.record.fused;
    other_fused += !attention && e.record.fused;
  }
  std::string text = attentions == 0
                         ? "no attention candidate (no softmax lies between two products)"
                         : fmt::format("{} attention candidate{}: {} fused, {} refused", attentions,
                                       attentions == 1 ? "" : "s", fused, attentions - fused);
  if (const size_t others = all.size() - attentions; others > 0)
    text += fmt::format("; {} other region{}: {} fused, {} refused", others, others == 1 ? "" : "s",
                        other_fused, others - other_fused);
  return text;
}

std::string plan_line(const Plan& plan) {
  std::map<std::string, int> calls;
  int launches = 0;
  for_each_step(plan, [&](const PlanStep& step, bool) {
    ++calls[kernel_text(step)];
    ++launches;
  });
  std::vector<std::pair<std::string, int>> sorted(calls.begin(), calls.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.second > b.second; });
  std::string text =
      fmt::format("the plan has {} launch{}, {:.1f} MiB of temporaries:", launches, launches == 1 ? "" : "es",
                  static_cast<double>(plan.arena_bytes) / (1 << 20));
  for (size_t i = 0; i < sorted.size() && i < 12; ++i)
    text += fmt::format("{} {} {}", i ? "," : "", sorted[i].second, sorted[i].first);
  text += sorted.size() > 12 ? ", ...\n" : "\n";
  const std::string again = recompute_text(recompute_report(plan));
  return again.empty() ? text : text + again + "\n";
}

Json kernel_json(const PlanStep* step) { return step ? Json(kernel_text(*step)) : Json(nullptr); }

// What a memory budget costs is a record, too: with figures instead of a candidate's reason.
Json recomputed_record(const std::string& function, const RecomputeReport& report) {
  Json record{{"verdict", "recomputed"},
              {"code", ""},
              {"sentence", recompute_text(report)},
              {"node", ""},
              {"source", ""},
              {"region", "memory_budget"},
              {"function", function},
              {"scope", ""}};
  record.update(Json::parse(recompute_json(report)));
  return record;
}

}  // namespace

std::string source_text(const Source& source) {
  return *source.file ? fmt::format("{}:{}", source.file, source.line) : "";
}

std::string explanation_text(const std::string& function, const std::vector<Explanation>& all,
                             const Plan* plan) {
  std::string text = "function " + function + ": " + counts(all) + "\n";
  if (plan) text += plan_line(*plan);
  std::vector<const Explanation*> others;
  for (const bool fused : {true, false})
    for (const Explanation& e : all) {
      if (e.record.fused != fused) continue;
      if (e.record.region == "attention")
        text += "\n" + paragraph(e);
      else
        others.push_back(&e);
    }
  return text + grouped(others);
}

std::string explanation_json(const std::vector<Explanation>& all, const Plan* plan,
                             const std::string& function) {
  Json list = Json::array();
  for (const Explanation& e : all) {
    const FusionRecord& r = e.record;
    Json entry{{"verdict", r.fused ? "fused" : "refused"},
               {"code", code_of(r)},
               {"sentence", r.sentence},
               {"node", r.node},
               {"source", source_text(r.source)},
               {"region", r.region},
               {"function", r.function},
               {"scope", r.scope},
               {"score", r.score},
               {"nearest", r.nearest},
               {"saves", r.saves},
               {"kernel", kernel_json(e.forward)},
               {"backward_kernel", kernel_json(e.backward)},
               {"passed_over", Json::array()}};
    for (const PlanStep* step : {e.forward, e.backward})
      if (step)
        for (const std::string& why : passed_over(*step)) entry["passed_over"].push_back(why);
    list.push_back(std::move(entry));
  }
  if (plan && plan->recomputed.launches > 0)
    list.push_back(recomputed_record(function, recompute_report(*plan)));
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fovea
