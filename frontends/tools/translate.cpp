// fovea translate: sentences from the command line, or a line out for each line in.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/tools/command.h"
#include "frontends/tools/translation.h"
#include "frontends/tools/view/attention_html.h"
#include "frontends/tools/view/heatmap.h"

namespace fovea::tools {
namespace {

constexpr size_t kLinesAtOnce = 1024;

struct TranslateCommand {
  std::string model;
  std::vector<std::string> texts, attention;
  std::optional<int64_t> beam;
  std::optional<double> length_penalty;
  models::TranslateOptions options;
  bool scores = false;
  int threads = 0;
};

// The lines of standard input, as many at a time as have come.
class LineReader {
 public:
  /// Waits for a line and takes what else is there already, up to `most` lines. False at the end.
  bool next(std::vector<std::string>& lines, size_t most) {
    lines.clear();
    while (lines.size() < most) {
      const size_t end = buffer_.find('\n', at_);
      if (end != std::string::npos) {
        take(lines, end);
      } else if (!lines.empty() && !waiting()) {
        break;
      } else if (!fill()) {
        if (at_ < buffer_.size()) take(lines, buffer_.size());
        break;
      }
    }
    return !lines.empty();
  }

 private:
  void take(std::vector<std::string>& lines, size_t end) {
    lines.push_back(buffer_.substr(at_, end - at_));
    if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
    at_ = std::min(end + 1, buffer_.size());
  }
  static bool waiting() {
    pollfd in{STDIN_FILENO, POLLIN, 0};
    return ::poll(&in, 1, 0) > 0;
  }
  bool fill() {
    constexpr size_t kLongest = size_t{1} << 20;
    buffer_.erase(0, at_);
    at_ = 0;
    if (buffer_.size() > kLongest) invalid("standard input holds a line of more than 1 MiB");
    const size_t before = buffer_.size();
    buffer_.resize(before + 65536);
    ssize_t got;
    do got = ::read(STDIN_FILENO, buffer_.data() + before, 65536);
    while (got < 0 && errno == EINTR);
    buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(0, got)));
    if (got < 0) fail_errno(errno, "read", "standard input");
    return got > 0;
  }
  std::string buffer_;
  size_t at_ = 0;
};

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.ends_with(end);
}

void write(const std::vector<models::Translation>& translations, const TranslateCommand& c) {
  if (!translations.empty() && translations[0].cut)
    fmt::print(stderr, "fovea: a sentence of more than {} pieces was cut: ... -> {}\n", models::kMaxPieces,
               translations[0].text);
  for (const models::Translation& t : translations) {
    if (c.scores) fmt::print("{:.4f}\t", t.hypothesis.score);
    fmt::print("{}\n", t.text);
  }
}

void draw_attention(const models::SavedTranslator& translator, const std::string& source,
                    const models::Translation& best, const std::vector<std::string>& paths) {
  models::SourceAttention a = translator.attention(source, best.hypothesis.tokens);
  const AttentionMap map{
      a.source, a.target, a.layers, a.heads, std::move(a.weights), source + " → " + best.text};
  for (const std::string& path : paths) {
    if (ends_with(path, ".html"))
      write_attention_html(path, map);
    else
      write_attention_png(path, map);
  }
}

void translate(TranslateCommand& c) {
  for (const std::string& path : c.attention)
    if (!ends_with(path, ".html") && !ends_with(path, ".png"))
      invalid("--attention " + path + ": the name must end in .html or .png");
  if (!c.attention.empty() && c.texts.size() != 1)
    invalid(
        fmt::format("--attention shows one sentence, and there are {} on the command line", c.texts.size()));
  if (c.threads > 0) set_num_threads(c.threads);
  const auto translator = models::SavedTranslator::load(c.model);
  nn::GenerateOptions& g = c.options.generate;
  const nn::GenerateOptions defaults = translator.defaults();
  g.bos = defaults.bos;
  g.eos = defaults.eos;
  g.suppress = defaults.suppress;
  g.beam = c.beam.value_or(g.sample ? 1 : std::max(defaults.beam, g.n_best));
  g.length_penalty = c.length_penalty.value_or(defaults.length_penalty);
  if (!c.texts.empty()) {
    const auto results = translator.translate(c.texts, c.options);
    for (const auto& translations : results) write(translations, c);
    if (!c.attention.empty()) draw_attention(translator, c.texts[0], results[0].at(0), c.attention);
    return;
  }
  LineReader input;
  for (std::vector<std::string> lines; input.next(lines, kLinesAtOnce);) {
    for (const auto& translations : translator.translate(lines, c.options)) write(translations, c);
    std::fflush(stdout);
    c.options.first_stream += lines.size();
  }
}

}  // namespace

void add_translate(CLI::App& app) {
  auto c = std::make_shared<TranslateCommand>();
  nn::GenerateOptions& g = c->options.generate;
  CLI::App* cmd = app.add_subcommand("translate", "translate sentences, or standard input line by line");
  cmd->add_option("model", c->model, "a .fovea file, or the folder of a run")->required();
  cmd->add_option("text", c->texts, "sentences; without any, standard input gives one a line");
  cmd->add_option("--beam", c->beam, "hypotheses followed; 1: greedy (default: as the model says)");
  cmd->add_option("--n-best", g.n_best, "translations of each sentence, a line each")->capture_default_str();
  cmd->add_option("--length-penalty", c->length_penalty,
                  "alpha of ((5 + length) / 6)^alpha; higher: longer translations");
  cmd->add_option("--max-length", c->options.max_length, "most pieces (default: twice the source's and 8)");
  cmd->add_flag("--sample", g.sample, "draw from the model's distribution instead of searching");
  cmd->add_option("--temperature", g.temperature, "of sampling; below 1: closer to the likeliest")
      ->capture_default_str();
  cmd->add_option("--top-k", g.top_k, "sample among the k likeliest pieces; 0: all")->capture_default_str();
  cmd->add_option("--top-p", g.top_p, "sample among the likeliest pieces that make up p")
      ->capture_default_str();
  cmd->add_option("--seed", g.seed, "of sampling")->capture_default_str();
  cmd->add_option("--attention", c->attention,
                  "also show what each piece looked at: FILE.html, FILE.png or both")
      ->expected(1, 2);
  cmd->add_flag("--scores", c->scores, "the score and a tab before each translation");
  cmd->add_option("--threads", c->threads, "threads (default: one for each core)");
  cmd->footer(
      "example:\n  fovea translate runs/fr/model.fovea \"Open the selected file\" --beam 4 --attention "
      "map.html");
  cmd->callback([c] { translate(*c); });
}

}  // namespace fovea::tools
