// What the subcommands on translators share.
#pragma once

#include <cmath>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "frontends/models/translation/train_translator.h"

namespace CLI {
class App;
}

namespace fovea::tools {

/// --catalogues, --lang and --pairs.
void add_data_options(CLI::App& cmd, models::CorpusSource& data);

/// A multiple of `unit`.
double rounded(double x, double unit);

/// "valid_nll", "bleu", "chrf" and "translate_s"; null where there was nothing to measure.
void add_scores(nlohmann::ordered_json& line, const models::TranslatorScores& scores);

/// The first test pairs with what the translator made of them, on standard error.
void print_examples(const models::Corpus& corpus, const std::vector<std::string>& hypotheses, size_t count);

}  // namespace fovea::tools
