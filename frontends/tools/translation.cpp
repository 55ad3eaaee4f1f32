#include "frontends/tools/translation.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace fovea::tools {

void add_data_options(CLI::App& cmd, models::CorpusSource& data) {
  auto* catalogues = cmd.add_option("--catalogues", data.catalogues,
                                    "folder with gettext catalogues, LANG/LC_MESSAGES/*.mo anywhere below");
  cmd.add_option("--lang", data.lang, "the catalogues' language")->capture_default_str();
  cmd.add_option("--pairs", data.pairs, "a file of source TAB target lines instead")->excludes(catalogues);
}

// The unit's inverse is the whole number: 0.1 * n prints badly, n / 10 well.
double rounded(double x, double unit) {
  const double inverse = std::round(1 / unit);
  return std::round(x * inverse) / inverse;
}

void add_scores(nlohmann::ordered_json& line, const models::TranslatorScores& s) {
  auto number = [](double x, double unit) {
    return std::isfinite(x) ? nlohmann::ordered_json(rounded(x, unit)) : nlohmann::ordered_json();
  };
  line["valid_nll"] = number(s.valid_nll, 1e-4);
  line["bleu"] = number(s.bleu, 1e-2);
  line["chrf"] = number(s.chrf, 1e-2);
  line["translate_s"] = number(s.translate_seconds, 1e-2);
}

void print_examples(const models::Corpus& corpus, const std::vector<std::string>& hypotheses, size_t count) {
  for (size_t i = 0; i < std::min(count, hypotheses.size()); ++i)
    fmt::print(stderr, "  {}\n    ref {}\n    out {}\n", corpus.test[i].source, corpus.test[i].target,
               hypotheses[i]);
}

}  // namespace fovea::tools
