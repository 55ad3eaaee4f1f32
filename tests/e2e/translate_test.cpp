// The program's main job from end to end: train on pairs, stop and go on, score, translate, and fail with one
// clear line.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

struct Outcome {
  int code = -1;
  std::string out, err;
};

class Translate : public testing::Test {
 protected:
  // Sentences of a small language: verb, adjective and noun, the last two exchanged in the translation.
  static void SetUpTestSuite() {
    folder = new fs::path(fs::path(testing::TempDir()) / ("translate_test_" + std::to_string(::getpid())));
    fs::create_directories(*folder);
    const char* verbs[][2] = {{"open", "ouvrir"},    {"close", "fermer"},     {"save", "enregistrer"},
                              {"print", "imprimer"}, {"delete", "supprimer"}, {"show", "afficher"}};
    const char* adjectives[][2] = {{"big", "grand"}, {"small", "petit"},  {"new", "nouveau"},
                                   {"red", "rouge"}, {"last", "dernier"}, {"empty", "vide"}};
    const char* nouns[][2] = {{"file", "fichier"},  {"folder", "dossier"}, {"window", "volet"},
                              {"table", "tableau"}, {"button", "bouton"},  {"menu", "choix"},
                              {"text", "texte"},    {"word", "mot"},       {"key", "code"},
                              {"page", "feuillet"}};
    std::ofstream pairs(*folder / "pairs.tsv");
    for (const auto& v : verbs)
      for (const auto& a : adjectives)
        for (const auto& n : nouns)
          pairs << v[0] << " the " << a[0] << " " << n[0] << "\t" << v[1] << " le " << n[1] << " " << a[1]
                << "\n";
  }
  static void TearDownTestSuite() {
    fs::remove_all(*folder);
    delete folder;
  }

  static Outcome run(const std::string& arguments, const std::string& input = "",
                     const std::string& before = "") {
    static int count = 0;
    const fs::path base = *folder / ("io" + std::to_string(count++));
    std::ofstream(base.string() + ".in", std::ios::binary) << input;
    const std::string command = "cd '" + folder->string() + "' && " + before +
                                " '" FOVEA_BINARY_DIR "/fovea' " + arguments + " <'" + base.string() +
                                ".in' >'" + base.string() + ".out' 2>'" + base.string() + ".err'";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read(base.string() + ".out"),
            read(base.string() + ".err")};
  }
  static std::string train(const std::string& out, const std::string& more,
                           const std::string& model = "translator") {
    return "train " + model +
           " --pairs pairs.tsv --vocab 80 --dim 32 --batch-tokens 256 --lr 5e-3 --warmup 100 --no-progress "
           "--out " +
           out + " " + more;
  }
  // A model that has learnt the language, trained at first use.
  static const nlohmann::json& learnt() {
    static const nlohmann::json facts = [] {
      const Outcome o = run(train("learnt", "--layers 1 --heads 4 --steps 500 --dropout 0"));
      EXPECT_EQ(o.code, 0) << o.err;
      return o.code == 0 ? nlohmann::json::parse(o.out) : nlohmann::json();
    }();
    return facts;
  }
  // One clear line, exit code 1, nothing on standard output.
  static void expect_error(const Outcome& o, const std::string& text) {
    EXPECT_EQ(o.code, 1) << o.out << o.err;
    EXPECT_EQ(o.out, "");
    const auto all = lines(o.err);
    ASSERT_FALSE(all.empty());
    EXPECT_EQ(all.back().rfind("fovea: ", 0), 0u) << o.err;
    EXPECT_NE(all.back().find(text), std::string::npos) << o.err;
  }

  static fs::path* folder;
};
fs::path* Translate::folder = nullptr;

TEST_F(Translate, LearnsALanguage) {
  const auto& facts = learnt();
  EXPECT_EQ(facts["pairs"], 360);
  EXPECT_EQ(facts["steps"], 500);
  EXPECT_GT(facts["train"], 300);
  EXPECT_LT(facts["valid_nll"], 0.3);
  EXPECT_GT(facts["bleu"], 90);  // of sentences it never saw
  EXPECT_GT(facts["chrf"], 90);
  for (const char* name : {"model.fovea", "checkpoint.fovea", "log.csv", "log.jsonl"})
    EXPECT_TRUE(fs::exists(*folder / "learnt" / name)) << name;
  EXPECT_EQ(nlohmann::json::parse(lines(read(*folder / "learnt/log.jsonl")).back())["step"], 500);
}

TEST_F(Translate, EvaluateAgreesWithTraining) {
  const auto facts = learnt();
  const Outcome o = run("evaluate learnt/model.fovea --pairs pairs.tsv --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const auto scores = nlohmann::json::parse(o.out);
  for (const char* key : {"valid_nll", "bleu", "chrf", "pairs", "test"})
    EXPECT_EQ(scores[key], facts[key]) << key;
  const Outcome beam = run("evaluate learnt --beam 4 --json");  // the data the file names
  ASSERT_EQ(beam.code, 0) << beam.err;
  EXPECT_GE(nlohmann::json::parse(beam.out)["bleu"], facts["bleu"]);
}

TEST_F(Translate, OneLineOutForEachLineIn) {
  learnt();
  const std::string input = "open the big file\n\nsave the red button\r\n   \nclose the empty menu";
  const std::vector<std::string> want{"ouvrir le fichier grand", "", "enregistrer le bouton rouge", "",
                                      "fermer le choix vide"};
  const Outcome o = run("translate learnt/model.fovea", input);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(lines(o.out), want);
  EXPECT_EQ(run("translate learnt --beam 1", input).out, o.out);
  EXPECT_EQ(run("translate learnt --threads 1", input).out, o.out);
  EXPECT_EQ(run("translate learnt 'open the big file'").out, "ouvrir le fichier grand\n");
  EXPECT_EQ(run("translate learnt", "").out, "");
  std::string many;
  for (int i = 0; i < 3000; ++i) many += i % 2 ? "show the last word\n" : "open the small page\n";
  const auto got = lines(run("translate learnt", many).out);
  ASSERT_EQ(got.size(), 3000u);
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], i % 2 ? "afficher le mot dernier" : "ouvrir le feuillet petit");
}

TEST_F(Translate, ManyTranslationsOfOneSentence) {
  learnt();
  const auto best = lines(run("translate learnt --beam 5 --n-best 3 --scores 'open the big file'").out);
  ASSERT_EQ(best.size(), 3u);
  EXPECT_EQ(best[0].substr(best[0].find('\t') + 1), "ouvrir le fichier grand");
  EXPECT_GE(std::stod(best[0]), std::stod(best[1]));
  EXPECT_GE(std::stod(best[1]), std::stod(best[2]));
  const std::string sample =
      "translate learnt --sample --temperature 3 --n-best 4 'open the big file' --seed ";
  EXPECT_EQ(run(sample + "1").out, run(sample + "1").out);
  EXPECT_NE(run(sample + "1").out, run(sample + "2").out);
  EXPECT_EQ(lines(run("translate learnt --max-length 2 'open the big file'").out).size(), 1u);
}

TEST_F(Translate, ShowsAttention) {
  learnt();
  const Outcome o = run("translate learnt 'open the big file' --attention map.html map.png");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(read(*folder / "map.html").find("<html"), std::string::npos);
  EXPECT_EQ(read(*folder / "map.png").substr(1, 3), "PNG");
}

TEST_F(Translate, AResumedRunHasTheSameBits) {
  for (const std::string model : {"translator", "gru-translator"}) {
    const std::string more = "--no-evaluate --seed 3 --dropout 0.1 --checkpoint-seconds 0 ";
    ASSERT_EQ(run(train("whole-" + model, more + "--steps 60 --threads 1", model)).code, 0);
    ASSERT_EQ(run(train("parts-" + model, more + "--steps 23 --threads 2", model)).code, 0);
    ASSERT_EQ(run(train("parts-" + model, more + "--steps 60 --resume --threads 2", model)).code, 0);
    EXPECT_TRUE(read(*folder / ("whole-" + model) / "model.fovea") ==
                read(*folder / ("parts-" + model) / "model.fovea"))
        << model;
  }
  expect_error(run(train("parts-translator", "--steps 80 --resume --seed 4")), "seed was 3 and is 4 now");
  expect_error(run(train("parts-translator", "--steps 80 --resume --seed 3 --layers 3")), "network was");
}

TEST_F(Translate, ASignalSavesAndTheRunGoesOn) {
  const std::string more = "--layers 1 --no-evaluate --dropout 0.1 --checkpoint-seconds 0 ";
  ASSERT_EQ(run(train("whole", more + "--steps 400")).code, 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const std::string command = "cd '" + folder->string() + "' && exec '" FOVEA_BINARY_DIR "/fovea' " +
                                train("stopped", more + "--steps 400") + " 2>stopped.err";
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  // Once it logs, it trains.
  for (int i = 0; i < 600 && lines(read(*folder / "stopped/log.csv")).size() < 3; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ::kill(pid, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(read(*folder / "stopped.err").find("SIGTERM ended the run at step"), std::string::npos)
      << read(*folder / "stopped.err");
  EXPECT_EQ(run("translate stopped 'open the big file'").code, 0);
  ASSERT_EQ(run(train("stopped", more + "--steps 400 --resume")).code, 0);
  EXPECT_TRUE(read(*folder / "whole/model.fovea") == read(*folder / "stopped/model.fovea"));
}

TEST_F(Translate, AnEarlierRunIsPutAside) {
  ASSERT_EQ(run(train("twice", "--layers 1 --no-evaluate --steps 3")).code, 0);
  const std::string first = read(*folder / "twice/model.fovea");
  ASSERT_EQ(run(train("twice", "--layers 1 --no-evaluate --steps 3 --seed 1")).code, 0);
  EXPECT_TRUE(read(*folder / "twice/earlier-1/model.fovea") == first);
  EXPECT_FALSE(read(*folder / "twice/model.fovea") == first);
}

TEST_F(Translate, Errors) {
  expect_error(run(train("out", "--steps 0")), "nothing bounds the run");
  expect_error(run("train translator --catalogues . --lang fr --steps 1 --out out"), "no gettext catalogue");
  fs::create_directories(*folder / "locale/de/LC_MESSAGES");
  // A catalogue of no messages.
  const uint32_t header[] = {0x950412de, 0, 0, 28, 28, 0, 28};
  std::ofstream(*folder / "locale/de/LC_MESSAGES/x.mo", std::ios::binary)
      .write(reinterpret_cast<const char*>(header), sizeof header);
  expect_error(run("train translator --catalogues locale --lang fr --steps 1 --out out"), "there are: de");
  expect_error(run("train translator --pairs none.tsv --steps 1 --out out"), "none.tsv");
  std::ofstream(*folder / "empty.tsv").flush();
  expect_error(run("train translator --pairs empty.tsv --steps 1 --out out"), "holds no pair");
  EXPECT_FALSE(fs::exists(*folder / "out"));
  expect_error(run(train("pairs.tsv/out", "--steps 1")), "pairs.tsv/out");
  expect_error(run(train("/proc/nowhere", "--steps 1")), "/proc/nowhere");
  EXPECT_EQ(run("train translator --steps 1").code, 2);
  EXPECT_EQ(run("train something --steps 1 --out out").code, 2);

  learnt();
  const std::string whole = read(*folder / "learnt/model.fovea");
  std::ofstream(*folder / "short.fovea", std::ios::binary) << whole.substr(0, whole.size() / 2);
  expect_error(run("translate short.fovea text"), "short.fovea");
  std::string flipped = whole;
  flipped[flipped.size() - 100] = static_cast<char>(flipped[flipped.size() - 100] ^ 1);
  std::ofstream(*folder / "flipped.fovea", std::ios::binary) << flipped;
  expect_error(run("translate flipped.fovea text"), "flipped.fovea");
  expect_error(run("translate pairs.tsv text"), "not a .fovea file");
  expect_error(run("evaluate none.fovea"), "none.fovea");
  expect_error(run("evaluate learnt --catalogues locale --lang xx"), "there are: de");
  expect_error(run("translate learnt 'a\xff'"), "not UTF-8");
  expect_error(run("translate learnt text --beam 0"), "beam is 0");
  expect_error(run("translate learnt text --beam 2 --n-best 3"), "n_best is 3, more than the beam of 2");
  expect_error(run("translate learnt text --attention map.txt"), "must end in .html or .png");
}

// A disk that fills up while the checkpoint or the model is written: what was there stays.
TEST_F(Translate, AFullDiskLosesNothing) {
  const std::string more = "--layers 1 --no-evaluate --checkpoint-seconds 0 ";
  ASSERT_EQ(run(train("full", more + "--steps 5")).code, 0);
  const std::string model = read(*folder / "full/model.fovea"),
                    checkpoint = read(*folder / "full/checkpoint.fovea");
  const Outcome o = run(train("full", more + "--steps 9 --resume"), "", "FOVEA_FAULT=fsync:1:ENOSPC");
  expect_error(o, "No space left");
  EXPECT_TRUE(read(*folder / "full/model.fovea") == model);
  EXPECT_TRUE(read(*folder / "full/checkpoint.fovea") == checkpoint);
  EXPECT_EQ(run(train("full", more + "--steps 9 --resume")).code, 0);
}

}  // namespace
