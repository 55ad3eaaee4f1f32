// The layered layout, clusters by module, and the page of a graph.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>

#include "frontends/tools/view/graph_html.h"
#include "frontends/tools/view/page.h"

namespace fovea::tools {
namespace {

Level level(size_t items, std::vector<std::pair<int32_t, int32_t>> edges) {
  Level l;
  l.width.assign(items, 80);
  l.edges = std::move(edges);
  return l;
}

// What every layout must hold, whatever the graph.
void expect_sound(const Level& l, const LevelLayout& out) {
  ASSERT_EQ(out.items.size(), l.width.size());
  ASSERT_EQ(out.routes.size(), l.edges.size());
  for (size_t e = 0; e < l.edges.size(); ++e) {
    const auto [a, b] = l.edges[e];
    const LevelLayout::Route& r = out.routes[e];
    const int32_t from = out.items[a].rank, to = out.items[b].rank;
    EXPECT_EQ(from > to, r.upwards) << "edge " << a << " -> " << b;
    EXPECT_NE(from, to) << "edge " << a << " -> " << b << " lies in one rank";
    if (r.cut) continue;
    int32_t at = from;
    for (int32_t bend : r.bends) EXPECT_EQ(out.bends[bend].rank, at += r.upwards ? -1 : 1);
    EXPECT_EQ(to, at + (r.upwards ? -1 : 1));
  }
  // Nothing in a rank overlaps, and orders are 0, 1, 2, ...
  std::map<int32_t, std::vector<std::pair<LevelLayout::Place, double>>> ranks;
  for (size_t i = 0; i < out.items.size(); ++i)
    ranks[out.items[i].rank].push_back({out.items[i], l.width[i]});
  for (const LevelLayout::Place& p : out.bends) ranks[p.rank].push_back({p, kBendWidth});
  EXPECT_EQ(static_cast<int32_t>(ranks.size()), out.ranks);
  for (auto& [rank, places] : ranks) {
    std::sort(places.begin(), places.end(), [](auto& a, auto& b) { return a.first.order < b.first.order; });
    for (size_t k = 0; k < places.size(); ++k) {
      EXPECT_EQ(places[k].first.order, static_cast<int32_t>(k));
      if (k > 0) {
        EXPECT_GE(places[k].first.x - places[k - 1].first.x,
                  (places[k].second + places[k - 1].second) / 2 + kBendGap - 1e-6);
      }
    }
  }
}

TEST(Layered, AChainIsAStraightLine) {
  const Level l = level(4, {{0, 1}, {1, 2}, {2, 3}});
  const LevelLayout out = lay_out(l);
  expect_sound(l, out);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(out.items[i].rank, i);
    EXPECT_NEAR(out.items[i].x, out.items[0].x, 1e-9);
  }
}

TEST(Layered, AResidualGoesAroundAndThePathStaysStraight) {
  const Level l = level(4, {{0, 1}, {1, 2}, {2, 3}, {0, 3}});
  const LevelLayout out = lay_out(l);
  expect_sound(l, out);
  EXPECT_EQ(out.routes[3].bends.size(), 2u);
  EXPECT_EQ(crossings(l, out), 0);
  for (int i = 1; i < 4; ++i) EXPECT_NEAR(out.items[i].x, out.items[0].x, 1);
  EXPECT_GT(std::abs(out.bends[0].x - out.items[1].x), 40);
}

TEST(Layered, CrossingsThatNeedNotBeAreNot) {
  // Two ladders whose second rungs are listed in the other order.
  const Level l = level(8, {{0, 3}, {1, 2}, {3, 4}, {2, 5}, {5, 6}, {4, 7}, {0, 1}});
  EXPECT_EQ(crossings(l, lay_out(l)), 0);
  // K(3,3) between two ranks has nine crossings in every order.
  std::vector<std::pair<int32_t, int32_t>> all;
  for (int a = 0; a < 3; ++a)
    for (int b = 3; b < 6; ++b) all.emplace_back(a, b);
  const Level k33 = level(6, all);
  EXPECT_EQ(crossings(k33, lay_out(k33)), 9);
}

TEST(Layered, SourcesLieNextToTheirReaders) {
  // A long chain, and a mask that only the last but one reads.
  const Level l = level(6, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {5, 4}});
  EXPECT_EQ(lay_out(l).items[5].rank, 3);
}

TEST(Layered, CyclesArePointedOutNotEndless) {
  const Level l = level(3, {{0, 1}, {1, 2}, {2, 0}});
  const LevelLayout out = lay_out(l);
  expect_sound(l, out);
  EXPECT_EQ(std::count_if(out.routes.begin(), out.routes.end(), [](auto& r) { return r.upwards; }), 1);
}

TEST(Layered, LongEdgesAreCut) {
  std::vector<std::pair<int32_t, int32_t>> edges;
  for (int i = 0; i < 40; ++i) edges.emplace_back(i, i + 1);
  edges.emplace_back(0, 40);
  const Level l = level(41, edges);
  const LevelLayout out = lay_out(l);
  expect_sound(l, out);
  EXPECT_TRUE(out.routes.back().cut);
  EXPECT_TRUE(out.bends.empty());
}

TEST(Layered, PortsAreOnTopAndTheExitAtTheBottom) {
  Level l = level(5, {{3, 0}, {0, 1}, {1, 4}, {2, 4}});
  l.ports = {3};
  l.exit = 4;
  const LevelLayout out = lay_out(l);
  expect_sound(l, out);
  EXPECT_EQ(out.items[3].rank, 0);
  for (int i = 0; i < 3; ++i) EXPECT_GT(out.items[i].rank, 0);
  for (int i = 0; i < 4; ++i) EXPECT_LT(out.items[i].rank, out.items[4].rank);
}

TEST(Layered, RandomGraphsAreSound) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const int n = 1 + static_cast<int>(random() % 40);
    std::set<std::pair<int32_t, int32_t>> edges;
    for (int e = 0; e < 2 * n; ++e) {
      const int a = static_cast<int>(random()) % n, b = static_cast<int>(random() % n);
      if (std::abs(a) != b) edges.emplace(std::abs(a), b);  // back edges, too
    }
    const Level l = level(n, {edges.begin(), edges.end()});
    expect_sound(l, lay_out(l));
  }
}

ViewNode node(const std::string& op, const std::string& scope, const std::vector<int32_t>& inputs) {
  ViewNode n;
  n.op = op;
  n.kind = "pointwise";
  n.scope = scope;
  n.detail = "f32[2]";
  for (int32_t i : inputs) n.inputs.push_back({i, 0, ""});
  return n;
}

ViewGraph small() {
  ViewGraph g;
  g.nodes = {node("input", "", {}),
             node("linear", "encoder.0.q", {0}),
             node("linear", "encoder.0.k", {0}),
             node("matmul", "encoder.0", {1, 2}),
             node("add", "encoder.1", {3, 0}),
             node("exp", "encoder.1", {4}),
             node("output", "", {5})};
  return g;
}

TEST(Clusters, FollowTheModules) {
  const std::vector<ViewCluster> c = clusters_of(small());
  ASSERT_EQ(c.size(), 4u);
  EXPECT_EQ(c[0].items, (std::vector<int32_t>{0, -2, 6}));
  EXPECT_EQ(c[1].path, "encoder");
  EXPECT_EQ(c[1].items, (std::vector<int32_t>{-3, -4}));
  EXPECT_EQ(c[2].items, (std::vector<int32_t>{1, 2, 3}));  // "q" and "k" hold one node each
  EXPECT_EQ(c[3].items, (std::vector<int32_t>{4, 5}));
  // The root: input -> encoder -> output.
  EXPECT_EQ(c[0].level.edges, (std::vector<std::pair<int32_t, int32_t>>{{0, 1}, {1, 2}}));
  // The encoder: its port reaches both modules, the first feeds the second, the second leaves.
  EXPECT_EQ(c[1].ports, (std::vector<int32_t>{0}));
  EXPECT_EQ(c[1].level.edges.size(), 4u);
  // encoder.1 is reached from encoder.0 and from the encoder's own port.
  EXPECT_EQ(c[3].ports, (std::vector<int32_t>{0, 2}));
}

TEST(Clusters, PortsStandAsTheirSources) {
  // Three arguments into one module, which reads the last of them first.
  ViewGraph g;
  for (int i = 0; i < 3; ++i) g.nodes.push_back(node("input", "", {}));
  g.nodes.push_back(node("exp", "m", {2}));
  g.nodes.push_back(node("where", "m", {0, 1, 3}));
  const std::vector<ViewCluster> c = clusters_of(g);
  ASSERT_EQ(c.size(), 2u);
  EXPECT_EQ(c[1].ports, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(crossings(c[1].level, c[1].layout), 0);
}

TEST(Clusters, LongLevelsAreCutIntoParts) {
  ViewGraph g;
  for (int i = 0; i < 5000; ++i)
    g.nodes.push_back(node("add", "", i ? std::vector<int32_t>{i - 1} : std::vector<int32_t>{}));
  std::set<int32_t> seen;
  for (const ViewCluster& c : clusters_of(g)) {
    EXPECT_LE(c.items.size(), 160u);
    for (int32_t item : c.items)
      if (item >= 0) {
        EXPECT_TRUE(seen.insert(item).second);
      }
  }
  EXPECT_EQ(seen.size(), 5000u);
}

// A training graph in miniature: layers with residuals forward, and backward with reads far away.
ViewGraph large(int layers) {
  ViewGraph g;
  g.nodes.push_back(node("input", "", {}));
  int32_t x = 0;
  std::vector<int32_t> saved;
  const auto add = [&](const char* op, const std::string& scope, const std::vector<int32_t>& in) {
    g.nodes.push_back(node(op, scope, in));
    return static_cast<int32_t>(g.nodes.size()) - 1;
  };
  for (int l = 0; l < layers; ++l) {
    const std::string scope = "blocks." + std::to_string(l);
    const int32_t a = add("layer_norm", scope, {x}), b = add("linear", scope + ".up", {a}),
                  c = add("gelu", scope, {b});
    saved.push_back(c);
    x = add("add", scope, {add("linear", scope, {c}), x});
  }
  for (int l = layers; l-- > 0;) {
    const std::string scope = "backward.blocks." + std::to_string(l);
    const int32_t a = add("matmul", scope, {x, saved[l]}), b = add("matmul", scope, {x});
    x = add("add", scope, {add("gelu_backward", scope, {b, saved[l]}), x, a});
  }
  return g;
}

TEST(Clusters, ThousandsOfNodesTakeLittleTime) {
  const auto seconds = [](int layers) {
    const ViewGraph g = large(layers);
    const auto t = std::chrono::steady_clock::now();
    const size_t clusters = clusters_of(g).size();
    EXPECT_GT(clusters, static_cast<size_t>(layers));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
  };
  const double small = seconds(300), big = seconds(1200);  // 2,700 and 10,800 nodes
  EXPECT_LT(big, 2);
  EXPECT_LT(big, 12 * small + 0.2);
}

TEST(GraphHtml, DataIsDataAndNothingIsLoaded) {
  ViewGraph g = small();
  g.nodes[3].source = "</script><script>alert(1)</script>.cpp:1";
  const std::string page = graph_html("<b>model</b>", {{"predict", g, g}});
  EXPECT_EQ(page.find("</script><script>alert"), std::string::npos);
  EXPECT_EQ(page.find("<b>model"), std::string::npos);
  for (const char* word :
       {"http:", "https:", "src=", "@import", "url(//", "fetch(", "XMLHttpRequest", "<link"})
    EXPECT_EQ(page.find(word), std::string::npos) << word;
  EXPECT_LT(std::string_view(kGraphPage).size(), 150000u);

  const size_t from = page.find("id=\"data\">") + 10;
  const auto data = nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
  EXPECT_EQ(data["title"], "<b>model</b>");
  EXPECT_EQ(data["functions"][0]["before"]["nodes"].size(), 7u);
  EXPECT_EQ(data["functions"][0]["after"]["clusters"][1]["s"], "encoder");
}

}  // namespace
}  // namespace fovea::tools
