#include "frontends/nn/checkpoint.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "graph/serial/model_file.h"

namespace fovea::nn {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKey = "fovea.checkpoint";
constexpr const char* kRunning = "fit/running";
constexpr int kVersion = 1;

// Finite doubles are written so that they read back to the same bits; JSON has no words for the others.
Json number(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

double number(const Json& j) {
  if (!j.is_string()) return j.get<double>();
  const auto text = j.get<std::string>();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return text == "inf" ? kInf : text == "-inf" ? -kInf : std::numeric_limits<double>::quiet_NaN();
}

Json write_metrics(const std::vector<Metric>& metrics) {
  Json out = Json::array();
  for (const Metric& m : metrics) out.push_back(Json::array({m.name, number(m.value)}));
  return out;
}

std::vector<Metric> read_metrics(const Json& j) {
  std::vector<Metric> out;
  for (const Json& m : j) out.push_back({m.at(0).get<std::string>(), number(m.at(1))});
  return out;
}

Json write_record(const EpochRecord& r) {
  return {{"epoch", r.epoch},
          {"step", r.step},
          {"seconds", number(r.seconds)},
          {"values", write_metrics(r.values)}};
}

EpochRecord read_record(const Json& j) {
  EpochRecord r;
  r.epoch = j.at("epoch");
  r.step = j.at("step");
  r.seconds = number(j.at("seconds"));
  r.values = read_metrics(j.at("values"));
  return r;
}

std::string write_header(const Checkpoint& c) {
  Json j = {{"version", kVersion},
            {"position", Json::array({c.position.seed, c.position.epoch, c.position.batch})},
            {"seed", c.seed},
            {"schedule", c.schedule},
            {"seconds", number(c.seconds)},
            {"items", c.items},
            {"validated_at", c.validated_at},
            {"validation", write_metrics(c.validation)},
            {"history", Json::array()}};
  for (const EpochRecord& r : c.history) j["history"].push_back(write_record(r));
  return j.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

void read_header(const std::string& path, const std::string& text, Checkpoint& c) {
  try {
    const Json j = Json::parse(text);
    const int version = j.at("version");
    if (version > kVersion)
      fail(ErrorKind::VersionMismatch, "\"" + path + "\" is a checkpoint of version " +
                                           std::to_string(version) + ", this program reads up to " +
                                           std::to_string(kVersion));
    const Json& at = j.at("position");
    c.position = {at.at(0), at.at(1), at.at(2)};
    c.seed = j.at("seed");
    c.schedule = j.at("schedule");
    c.seconds = number(j.at("seconds"));
    c.items = j.at("items");
    c.validated_at = j.at("validated_at");
    c.validation = read_metrics(j.at("validation"));
    for (const Json& r : j.at("history")) c.history.push_back(read_record(r));
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorKind::Corrupt,
         "\"" + path + "\": the metadata '" + kKey + "' does not read as a checkpoint's: " + e.what());
  }
}

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  ModelFile file;
  file.module = checkpoint.module;
  for (const auto& [name, array] : checkpoint.state) file.tensors.emplace_back(name, array);
  file.tensors.emplace_back(kRunning,
                            Array::of(checkpoint.running, {static_cast<int64_t>(checkpoint.running.size())}));
  file.metadata = checkpoint.metadata;
  if (!file.metadata.emplace(kKey, write_header(checkpoint)).second)
    invalid(std::string("the metadata name '") + kKey + "' is the checkpoint's own");
  save(path, file);
}

Checkpoint load_checkpoint(const std::string& path) {
  ModelFile file = load(path);
  const auto header = file.metadata.find(kKey);
  if (header == file.metadata.end())
    invalid("\"" + path + "\" is no checkpoint: it has no metadata '" + kKey +
            "' (a saved model is read with Model::load)");
  Checkpoint out;
  read_header(path, header->second, out);
  file.metadata.erase(header);
  out.metadata = std::move(file.metadata);
  out.module = std::move(file.module);
  for (auto& [name, array] : file.tensors) out.state.emplace(name, std::move(array));
  const auto running = out.state.find(kRunning);
  if (running == out.state.end() || running->second.dtype() != DType::f64)
    fail(ErrorKind::Corrupt, "\"" + path + "\": the checkpoint has no f64 tensor '" + kRunning + "'");
  out.running = running->second.to_vector<double>();
  out.state.erase(running);
  return out;
}

}  // namespace fovea::nn
