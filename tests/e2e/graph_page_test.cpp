// fovea graph --html as a user opens it: in Chromium, without a network.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "frontends/cpp/fovea.h"
#include "tests/support/run_program.h"

namespace fovea {
namespace {

using Json = nlohmann::json;
const std::string kProgram = FOVEA_BINARY_DIR "/fovea";

// Two blocks of attention written in plain operations, in modules "blocks.0" and "blocks.1".
Tensor block(const Tensor& x, const Tensor& wq, const Tensor& wo, int index) {
  const NameScope outer("blocks"), inner(std::to_string(index));
  const auto heads = [](const Tensor& t) { return t.reshape({sym("B"), sym("L"), 2, 4}).transpose(1, 2); };
  Tensor weights;
  const Tensor q = heads(linear(x, wq)), k = heads(x), v = heads(x);
  {
    const NameScope scope("attn");
    weights = softmax(matmul(q, k.transpose(-1, -2)) * 0.5, -1);
  }
  const Tensor y = matmul(weights, v).transpose(1, 2).reshape({sym("B"), sym("L"), 8});
  return x + linear(y, wo);
}

void save_model(const std::string& path) {
  const auto module = trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{block(block(in[0], in[1], in[2], 0), in[1], in[2], 1)};
      },
      {{DType::f32, {sym("B"), sym("L"), 8}, "x"},
       {DType::f32, {8, 8}, "param/wq"},
       {DType::f32, {8, 8}, "param/wo"}},
      "predict");
  const Array w = Array::zeros(DType::f32, {8, 8});
  save(path, {module, {{"param/wq", w}, {"param/wo", w}}, {}});
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

class GraphPage : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not built";
    save_model(folder_ / "m.fovea");
    const RunResult r =
        run_command(kProgram + " graph " + (folder_ / "m.fovea") + " --html " + (folder_ / "page.html") +
                        " --size B=2 --size L=16 --training --measure",
                    folder_);
    ASSERT_EQ(r.status, 0) << r.err;
    page_ = contents_of(folder_ / "page.html");
  }

  bool has_chromium() const { return run_command("command -v chromium", folder_).status == 0; }

  // What Chromium makes of the page; the log of its network goes to net.json.
  RunResult chromium(const std::string& what, const std::string& file_and_hash) const {
    return run_command(
        "timeout 90 chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-component-update "
        "--disable-background-networking --disable-sync --virtual-time-budget=3000 "
        "--host-resolver-rules='MAP * ~NOTFOUND' --user-data-dir='" +
            (folder_ / "profile") + "' --log-net-log='" + (folder_ / "net.json") + "' " + what + " 'file://" +
            (folder_ / "") + file_and_hash + "'",
        folder_);
  }

  // Addresses that a page asked for; the browser's own requests have no initiator.
  std::set<std::string> requests() const {
    const Json log = Json::parse(contents_of(folder_ / "net.json"));
    std::set<std::string> out;
    const int start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    for (const Json& e : log["events"]) {
      if (e["type"] != start || !e.contains("params")) continue;
      const std::string url = e["params"].value("url", ""), from = e["params"].value("initiator", "");
      if (!url.empty() && url.rfind("file:", 0) != 0 && url.rfind("chrome", 0) != 0 &&
          from != "not an origin")
        out.insert(url);
    }
    return out;
  }

  TemporaryFolder folder_;
  std::string page_;
};

TEST_F(GraphPage, HoldsBothGraphsAndNoAddress) {
  for (const char* word : {"http:", "https:", "src=", "@import", "<link"})
    EXPECT_EQ(page_.find(word), std::string::npos) << word;
  const size_t from = page_.find("id=\"data\">") + 10, end = page_.find("</script>", from);
  EXPECT_LT(page_.size() - (end - from), 150000u);  // the fixed part
  const Json data = Json::parse(page_.substr(from, end - from));
  ASSERT_EQ(data["functions"].size(), 1u);
  const auto ops = [&](const char* side) {
    std::multiset<std::string> all;
    for (const Json& n : data["functions"][0][side]["nodes"]) all.insert(n["o"]);
    return all;
  };
  EXPECT_EQ(ops("before").count("softmax"), 2u);
  EXPECT_EQ(ops("before").count("attention"), 0u);
  EXPECT_EQ(ops("after").count("softmax"), 0u);
  EXPECT_EQ(ops("after").count("attention"), 2u);
  EXPECT_EQ(ops("after").count("attention_backward"), 2u);
  double measured = 0;
  for (const Json& n : data["functions"][0]["after"]["nodes"]) {
    measured += n.value("u", 0.0);
    if (n["o"] == "linear") {
      EXPECT_EQ(n["F"], 2 * 2 * 16 * 8 * 8);
    }
  }
  EXPECT_GT(measured, 0);
  EXPECT_TRUE(data["functions"][0]["after"]["measured"]);
}

TEST_F(GraphPage, ShowsBothGraphsInChromiumWithoutANetwork) {
  if (!has_chromium()) GTEST_SKIP() << "chromium is not installed";
  const std::string before = chromium("--dump-dom", "page.html#before,open=all").out;
  EXPECT_NE(before.find("data-ready=\"1\""), std::string::npos) << before.substr(0, 300);
  EXPECT_NE(before.find("data-side=\"before\""), std::string::npos);
  EXPECT_EQ(occurrences(before, "class=\"node attention\""), 0u);
  EXPECT_GT(occurrences(before, "class=\"node product\""), 3u);
  EXPECT_NE(before.find(">softmax<"), std::string::npos);
  EXPECT_TRUE(requests().empty()) << *requests().begin();

  const std::string after = chromium("--dump-dom", "page.html#after,open=all").out;
  EXPECT_NE(after.find("data-side=\"after\""), std::string::npos);
  EXPECT_EQ(occurrences(after, "class=\"node attention\""), 4u);  // two forward, two backward
  EXPECT_TRUE(requests().empty()) << *requests().begin();

  // Closed modules hide their operations; a link to a module selects it.
  const std::string closed = chromium("--dump-dom", "page.html#before,open=none,m=blocks.0").out;
  EXPECT_LT(occurrences(closed, "class=\"node "), occurrences(before, "class=\"node "));
  EXPECT_NE(closed.find("<h2>0</h2>"), std::string::npos);
}

TEST_F(GraphPage, KeysWork) {
  if (!has_chromium()) GTEST_SKIP() << "chromium is not installed";
  // A second script presses keys and writes down what it finds.
  std::string page = page_;
  page.insert(page.rfind("</body>"), R"(<script>
    { const log = {}, press = k => dispatchEvent(new KeyboardEvent("keydown", { key: k }));
    const visible = () => +document.body.dataset.visible;
    press("x"); log.closed = visible();
    press("ArrowDown"); log.first = sel.kind + G.nodes[sel.id].n;
    press("ArrowDown"); log.second = sel.kind + G.clusters[sel.id].s;
    press("Enter"); log.opened = visible();
    press("ArrowDown"); press("ArrowUp"); log.back = sel.kind;
    press("o"); log.all = visible();
    const k = view.k; press("+"); log.larger = view.k > k; press("-"); press("-"); log.smaller = view.k < k;
    press("b"); log.side = document.body.dataset.side;
    press("h"); log.colour = colour;
    const dark = document.documentElement.dataset.theme; press("t"); log.theme = document.documentElement.dataset.theme !== dark;
    press("/"); log.focus = document.activeElement.id;
    $("search").value = "attention blocks.1"; $("search").oninput({ target: $("search") }); log.found = found.length;
    $("search").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" })); log.hit = G.nodes[sel.id].o;
    press("Escape"); log.none = sel === null;
    press("?"); log.help = !$("help").hidden;
    const out = document.createElement("pre"); out.id = "log"; out.textContent = JSON.stringify(log); document.body.append(out); }
  </script>)");
  std::ofstream(folder_ / "keys.html") << page;
  const std::string dom = chromium("--dump-dom", "keys.html#before").out;
  const size_t from = dom.find("<pre id=\"log\">");
  ASSERT_NE(from, std::string::npos) << "a key failed";
  const Json log = Json::parse(dom.substr(from + 14, dom.find("</pre>", from) - from - 14));
  EXPECT_EQ(log["first"], "nx");
  EXPECT_EQ(log["second"].get<std::string>()[0], 'c') << log;
  EXPECT_GT(log["opened"], log["closed"]) << log;
  EXPECT_GT(log["all"], log["opened"]) << log;
  EXPECT_EQ(log["side"], "after");
  EXPECT_EQ(log["colour"], "time");
  EXPECT_EQ(log["focus"], "search");
  EXPECT_GE(log["found"], 1);
  EXPECT_EQ(log["hit"].get<std::string>().rfind("attention", 0), 0u) << log;
  for (const char* what : {"larger", "smaller", "theme", "none", "help"}) EXPECT_TRUE(log[what]) << what;
}

// A scan over rows, a loop and a branch, each with operations of its own.
void save_loops(const std::string& path) {
  const auto module = trace(
      [](const std::vector<Tensor>& in) {
        const Function row = [&](const std::vector<Tensor>& a) {
          const Tensor h = tanh(matmul(a[0], in[1]) + a[1]);
          return std::vector<Tensor>{h, h * h};
        };
        const std::vector<Tensor> rows = scan(row, {in[0]}, {in[2]});
        const Function more = [](const std::vector<Tensor>& a) {
          return std::vector<Tensor>{less(sum(a[0]), 100.0)};
        };
        const Function twice = [](const std::vector<Tensor>& a) {
          return std::vector<Tensor>{a[0] * 2.0 + 1.0};
        };
        const std::vector<Tensor> grown = while_loop(more, twice, {rows[0]});
        const Function yes = [](const std::vector<Tensor>& a) { return std::vector<Tensor>{exp(sin(a[0]))}; };
        const Function no = [](const std::vector<Tensor>& a) { return std::vector<Tensor>{sqrt(cos(a[0]))}; };
        return std::vector<Tensor>{cond(less(sum(rows[1]), 1.0), yes, no, {grown[0]})[0]};
      },
      {{DType::f32, {2, 4}, "h"}, {DType::f32, {4, 4}, "param/w"}, {DType::f32, {5, 2, 4}, "x"}}, "predict");
  save(path, {module, {{"param/w", Array::zeros(DType::f32, {4, 4})}}, {}});
}

TEST_F(GraphPage, BodiesOfLoopsAndBranchesOpenLikeModules) {
  save_loops(folder_ / "loops.fovea");
  const RunResult r = run_command(
      kProgram + " graph " + (folder_ / "loops.fovea") + " --html " + (folder_ / "loops.html"), folder_);
  ASSERT_EQ(r.status, 0) << r.err;
  const std::string page = contents_of(folder_ / "loops.html"), mark = "id=\"data\">";
  const size_t from = page.find(mark) + mark.size();
  const Json graph =
      Json::parse(page.substr(from, page.find("</script>", from) - from))["functions"][0]["before"];
  std::map<std::string, std::vector<std::string>> ops;  // by module
  for (const Json& n : graph["nodes"]) ops[n.value("s", "")].push_back(n["o"]);
  const auto count = [&](const std::string& module, const std::string& op) {
    return std::count(ops[module].begin(), ops[module].end(), op);
  };
  EXPECT_EQ(count("scan", "matmul"), 1);
  EXPECT_EQ(count("scan", "tanh"), 1);
  EXPECT_EQ(count("scan", "input"), 3);  // the carry, the slice, the weight from outside
  EXPECT_EQ(count("scan", "scan"), 1);
  EXPECT_EQ(count("while_loop.condition", "less"), 1);
  EXPECT_EQ(count("while_loop.body", "mul"), 1);
  EXPECT_EQ(count("while_loop", "while_loop"), 1);
  EXPECT_EQ(count("cond.then", "exp"), 1);
  EXPECT_EQ(count("cond.otherwise", "sqrt"), 1);
  EXPECT_EQ(count("", "cond") + count("", "scan") + count("", "while_loop"), 0);
  // Edges lead from before the loop through its body to its end.
  std::set<std::string> ids;
  for (size_t v = 0; v < graph["nodes"].size(); ++v) {
    const Json& n = graph["nodes"][v];
    EXPECT_TRUE(ids.insert(n["i"]).second) << n["i"];
    for (const Json& in : n.value("in", Json::array()))
      if (in.is_array()) {
        EXPECT_LT(in[0].get<size_t>(), v) << n;
      }
    if (n["o"] == "scan") {
      ASSERT_EQ(n["in"].size(), 2u);
      EXPECT_EQ(graph["nodes"][n["in"][0][0].get<size_t>()]["o"], "tanh");
      EXPECT_EQ(graph["nodes"][n["in"][1][0].get<size_t>()]["o"], "mul");
      EXPECT_EQ(n["F"], 5 * (2 * 2 * 4 * 4 + 3 * 2 * 4));  // of all five rows
    }
  }
  if (!has_chromium()) GTEST_SKIP() << "chromium is not installed";
  const std::string all = chromium("--dump-dom", "loops.html#before,open=all").out,
                    none = chromium("--dump-dom", "loops.html#before,open=none").out;
  EXPECT_NE(all.find("data-ready=\"1\""), std::string::npos);
  for (const char* op : {">tanh<", ">matmul<", ">less<", ">exp<", ">sqrt<", ">carry 0<"}) {
    EXPECT_NE(all.find(op), std::string::npos) << op;
  }
  EXPECT_EQ(none.find(">tanh<"), std::string::npos);
  EXPECT_NE(none.find(">scan<"), std::string::npos);
}

TEST_F(GraphPage, ARequestWouldBeSeen) {
  if (!has_chromium()) GTEST_SKIP() << "chromium is not installed";
  std::ofstream(folder_ / "loads.html") << "<img src=\"http://fovea.invalid/x.png\">";
  chromium("--dump-dom", "loads.html");
  EXPECT_EQ(requests(), std::set<std::string>{"http://fovea.invalid/x.png"});
}

TEST_F(GraphPage, IsDrawn) {
  if (!has_chromium()) GTEST_SKIP() << "chromium is not installed";
  const std::string shots[] = {folder_ / "light.png", folder_ / "dark.png"};
  chromium("--window-size=1200,800 --screenshot='" + shots[0] + "'", "page.html#after,theme=light");
  chromium("--window-size=1200,800 --screenshot='" + shots[1] + "'",
           "page.html#after,theme=dark,colour=time");
  for (const std::string& shot : shots) EXPECT_GT(contents_of(shot).size(), 20000u) << shot;
  EXPECT_NE(contents_of(shots[0]), contents_of(shots[1]));
}

TEST_F(GraphPage, ExplainTellsOfTheSameModel) {
  const std::string explain = kProgram + " explain " + (folder_ / "m.fovea") + " --size B=2 --size L=16";
  const RunResult json = run_command(explain + " --training --json", folder_);
  ASSERT_EQ(json.status, 0) << json.err;
  int fused = 0;
  for (const Json& c : Json::parse(json.out)) {
    for (const char* key : {"verdict", "code", "sentence", "node", "source"})
      EXPECT_TRUE(c.contains(key)) << c;
    if (c["region"] != "attention") continue;
    ++fused;
    EXPECT_EQ(c["verdict"], "fused");
    EXPECT_EQ(c["code"], "");
    EXPECT_EQ(c["kernel"].get<std::string>().rfind("attention", 0), 0u) << c;
    EXPECT_EQ(c["backward_kernel"].get<std::string>().rfind("attention_backward", 0), 0u) << c;
    EXPECT_NE(c["scope"].get<std::string>().find("blocks."), std::string::npos) << c;
  }
  EXPECT_EQ(fused, 2);
  const RunResult text = run_command(explain, folder_);
  EXPECT_NE(text.out.find("function predict: 2 attention candidates: 2 fused, 0 refused"), std::string::npos)
      << text.out;
  // Sizes by symbol, or by the shape of an input.
  const RunResult shaped =
      run_command(kProgram + " explain " + (folder_ / "m.fovea") + " --shape x=3,16,8", folder_);
  EXPECT_NE(shaped.out.find("f32[3, 2, 16, 4]"), std::string::npos) << shaped.out;
  EXPECT_EQ(shaped.out.find("assumed"), std::string::npos) << shaped.out;
  EXPECT_EQ(run_command(explain + " --size Q=3", folder_).status, 1);
  EXPECT_EQ(run_command(explain + " --function none", folder_).status, 1);
}

// A size counts for the functions that know it, and must be known to one of them.
TEST_F(GraphPage, SizesAreForTheFunctionsThatHaveThem) {
  const Function twice = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] * 2.0}; };
  const auto module = trace(twice, {{DType::f32, {sym("B"), 3}, "x"}}, "by_batch");
  trace_into(module, twice, {{DType::f32, {sym("L"), 3}, "y"}}, "by_length");
  save(folder_ / "two.fovea", {module, {}, {}});
  const std::string explain = kProgram + " explain " + (folder_ / "two.fovea");
  const RunResult both = run_command(explain + " --size B=7 --shape y=5,3", folder_);
  ASSERT_EQ(both.status, 0) << both.err;
  EXPECT_NE(both.out.find("sizes: B=7\n"), std::string::npos) << both.out;
  EXPECT_NE(both.out.find("sizes: L=5\n"), std::string::npos) << both.out;
  const RunResult one = run_command(explain + " --function by_length --size B=7", folder_);
  EXPECT_EQ(one.status, 1);
  EXPECT_NE(one.err.find("there is no symbol 'B' in by_length; there are: L"), std::string::npos) << one.err;
  const RunResult input = run_command(explain + " --shape z=1,3", folder_);
  EXPECT_NE(input.err.find("there is no input 'z' in by_batch, by_length"), std::string::npos) << input.err;

  const RunResult after =
      run_command(kProgram + " graph " + (folder_ / "two.fovea") + " --after cse", folder_);
  EXPECT_EQ(after.status, 1);
  EXPECT_NE(after.err.find("--after needs --function: one of by_batch, by_length"), std::string::npos)
      << after.err;
}

TEST_F(GraphPage, OnnxFormsAreExplained) {
  const std::string forms = FOVEA_SOURCE_DIR "/../shared/forms/";
  if (!std::filesystem::exists(forms)) GTEST_SKIP() << forms << " is not there";
  for (const auto& [form, verdict] :
       {std::pair{"33-masked-fill-F", "fused"}, {"79-query-axis-N", "refused"}}) {
    const RunResult r = run_command(kProgram + " explain --json " + forms + form + "/model.onnx", folder_);
    ASSERT_EQ(r.status, 0) << r.err;
    int attentions = 0;
    for (const Json& c : Json::parse(r.out))
      if (c["region"] == "attention") {
        ++attentions;
        EXPECT_EQ(c["verdict"], verdict) << c;
        EXPECT_EQ(c["code"].get<std::string>().empty(), c["verdict"] == "fused") << c;
      }
    EXPECT_EQ(attentions, 1) << form;
  }
}

}  // namespace
}  // namespace fovea
