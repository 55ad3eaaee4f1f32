// Models as exporters write them: the folder's ending is the verdict, the files beside it the numbers.
#include <filesystem>
#include <set>

#include "frontends/import/onnx.h"
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

namespace fs = std::filesystem;

// FOVEA_FORMS names another folder of models, whose verdicts and records are printed.
const char* const kOther = std::getenv("FOVEA_FORMS");
const fs::path kForms = kOther ? fs::path(kOther) : fs::path(FOVEA_SOURCE_DIR) / ".." / "shared" / "forms";

// The folder's ending: F one attention, F4 four, N none.
int verdict_of(const std::string& name) {
  const size_t dash = name.rfind('-');
  if (name.substr(dash) == "-N") return 0;
  return name.size() == dash + 2 ? 1 : std::stoi(name.substr(dash + 2));
}

std::vector<std::string> folders() {
  std::set<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(kForms, none))
    if (fs::exists(entry.path() / "model.onnx")) names.insert(entry.path().filename().string());
  return {names.begin(), names.end()};
}

std::vector<Array> numbered(const fs::path& folder, const std::string& stem) {
  std::vector<Array> out;
  for (int i = 0;; ++i) {
    const fs::path file = folder / (stem + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(file)) return out;
    out.push_back(load_onnx_tensor(file.string()).second);
  }
}

// Errors relative to the largest value of the tensor.
void expect_near(const Array& expected, const Array& got, double tolerance, const std::string& what) {
  ASSERT_EQ(expected.shape(), got.shape()) << what;
  EXPECT_LE(difference(expected, got.cast(DType::f64)), tolerance) << what;
}

// Results, and gradients of the sum of squares of all results, on the reference backend.
void compare(const std::shared_ptr<Module>& module, const fs::path& data, double tolerance) {
  const std::vector<Array> in = numbered(data, "input"), expected = numbered(data, "output");
  const std::vector<Array> got = run_reference(module, in);
  ASSERT_EQ(got.size(), expected.size());
  std::vector<Array> arguments = in;
  for (size_t i = 0; i < got.size(); ++i) {
    expect_near(expected[i], got[i], tolerance, "output " + std::to_string(i));
    if (!is_floating(got[i].dtype())) continue;
    Array seed = got[i].cast(DType::f64).copy();
    for (int64_t k = 0; k < seed.size(); ++k) seed.set_flat(k, 2 * seed.get_flat(k));
    arguments.push_back(seed.cast(got[i].dtype()));
  }
  const auto gradients = run_reference(with_gradients(module), arguments);
  size_t next = got.size();
  for (size_t i = 0; i < in.size(); ++i) {
    if (!is_floating(in[i].dtype())) continue;
    const fs::path file = data / ("gradient_" + std::to_string(i) + ".pb");
    if (fs::exists(file))
      expect_near(load_onnx_tensor(file.string()).second, gradients[next], 4 * tolerance,
                  "gradient " + std::to_string(i));
    ++next;
  }
}

TEST(Onnx, FormsAndTraps) {
  const std::vector<std::string> names = folders();
  if (names.empty()) GTEST_SKIP() << kForms << " is not there";
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    try {
      auto module = import_onnx((kForms / name / "model.onnx").string());
      std::vector<FusionRecord> records;
      const auto fused = recognised(module, &records);
      const int found = count_of(fused->function("main"), "attention");
      std::string said;
      for (const FusionRecord& r : records)
        said += r.fused ? "fused: " + r.score + "\n" : code_of(r) + " " + r.node + ": " + r.sentence + "\n";
      EXPECT_EQ(found, verdict_of(name)) << said << print(*fused);
      // In the pipeline, behind the passes that come before.
      auto copy = std::make_shared<Module>(*module);
      PassContext context{copy, "cpu"};
      EXPECT_EQ(count_of(*run_passes(copy->function("main"), Stage::forward, context), "attention"),
                verdict_of(name));
      const bool half =
          module->function("main").nodes[module->function("main").inputs[0]].outputs[0].dtype != DType::f32;
      compare(fused, kForms / name / "test_data_set_0", half ? 2e-2 : 2e-5);
      // The plans that run, forward and in training; a result is compared where fp64 gives what is expected.
      const std::vector<Array> in = numbered(kForms / name / "test_data_set_0", "input");
      const std::vector<Array> exact = numbered(kForms / name / "test_data_set_0", "output");
      CompileOptions untouched;
      untouched.optimise = false;
      Program forward(module, "main"), unfused(module, "main", untouched);
      const std::vector<Array> got = forward.run(in), plain = unfused.run(in);
      expect_launches(forward, verdict_of(name));
      for (size_t i = 0; i < got.size() && !half; ++i)
        test::expect_contract(got[i], exact[i], plain[i], "output " + std::to_string(i));
      std::vector<Array> arguments = in;
      for (const Array& y : got)
        if (is_floating(y.dtype())) arguments.push_back(y);
      Program training(with_gradients(module), "main");
      training.run(arguments);
      expect_launches(training, verdict_of(name));
      if (kOther) std::printf("%s\n%s", name.c_str(), said.c_str());
    } catch (const Error& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

}  // namespace
}  // namespace fovea::corpus
