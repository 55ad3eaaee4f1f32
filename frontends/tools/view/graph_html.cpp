#include "frontends/tools/view/graph_html.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "framework/base/file.h"
#include "frontends/tools/view/page.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

// Short keys: a page may hold thousands of nodes. graph_page/ reads them.
Json node_json(const ViewNode& n) {
  Json j{{"i", n.id}, {"c", n.kind}, {"o", n.op}};
  auto text = [&j](const char* key, const std::string& value) {
    if (!value.empty()) j[key] = value;
  };
  text("n", n.name);
  text("d", n.detail);
  text("s", n.scope);
  text("f", n.source);
  if (!n.types.empty()) j["t"] = n.types;
  Json inputs = Json::array();
  for (const ViewNode::Input& in : n.inputs)
    inputs.push_back(in.node >= 0 ? Json::array({in.node, in.index}) : Json(in.text));
  if (!inputs.empty()) j["in"] = std::move(inputs);
  Json attributes = Json::array();
  for (const auto& [name, value] : n.attributes) attributes.push_back({name, value});
  if (!attributes.empty()) j["a"] = std::move(attributes);
  Json launches = Json::array();
  for (const ViewNode::Launch& l : n.launches) launches.push_back({l.kernel, std::round(l.us * 100) / 100});
  if (!launches.empty()) j["k"] = std::move(launches);
  auto number = [&j](const char* key, auto value) {
    if (value != 0) j[key] = value;
  };
  number("p", n.parameters);
  number("F", n.flops);
  number("B", n.bytes);
  number("u", std::round(n.us * 100) / 100);
  if (!n.records.empty()) j["r"] = n.records;
  if (n.inner) j["y"] = 1;
  return j;
}

Json place_json(const LevelLayout::Place& p) { return {p.rank, p.order, std::round(p.x * 10) / 10}; }

Json cluster_json(const ViewCluster& c) {
  Json items = Json::array(), bends = Json::array(), routes = Json::array();
  for (const LevelLayout::Place& p : c.layout.items) items.push_back(place_json(p));
  for (const LevelLayout::Place& p : c.layout.bends) bends.push_back(place_json(p));
  for (size_t e = 0; e < c.level.edges.size(); ++e) {
    const LevelLayout::Route& route = c.layout.routes[e];
    routes.push_back({c.level.edges[e].first, c.level.edges[e].second,
                      (route.upwards ? 1 : 0) | (route.cut ? 2 : 0), route.bends});
  }
  Json widths = Json::array();
  for (double w : c.level.width) widths.push_back(std::round(w));
  return {{"n", c.name},      {"s", c.path}, {"p", c.parent}, {"c", c.items},           {"q", c.ports},
          {"w", widths},      {"i", items},  {"b", bends},    {"e", std::move(routes)}, {"r", c.layout.ranks},
          {"x", c.level.exit}};
}

Json graph_json(const ViewGraph& graph) {
  Json nodes = Json::array(), clusters = Json::array(), records = Json::array();
  for (const ViewNode& n : graph.nodes) nodes.push_back(node_json(n));
  for (const ViewCluster& c : clusters_of(graph)) clusters.push_back(cluster_json(c));
  for (const ViewRecord& r : graph.records)
    records.push_back({{"v", r.fused ? "fused" : "refused"},
                       {"h", r.title},
                       {"c", r.code},
                       {"t", r.sentence},
                       {"s", r.score},
                       {"n", r.nearest}});
  return {{"note", graph.note},
          {"measured", graph.measured},
          {"nodes", std::move(nodes)},
          {"clusters", std::move(clusters)},
          {"records", std::move(records)}};
}

}  // namespace

std::string graph_html(const std::string& title, const std::vector<ViewFunction>& functions) {
  Json data{{"title", title}, {"functions", Json::array()}};
  for (const ViewFunction& f : functions)
    data["functions"].push_back(
        {{"name", f.name}, {"before", graph_json(f.before)}, {"after", graph_json(f.after)}});
  return page_with(kGraphPage, data);
}

void write_graph_html(const std::string& path, const std::string& title,
                      const std::vector<ViewFunction>& functions) {
  write_file(path, graph_html(title, functions));
}

}  // namespace fovea::tools
