#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "frontends/tools/view/graph_view.h"

namespace fovea::tools {
namespace {

constexpr size_t kMostItems = 160, kPart = 60;  // a longer level is cut into parts

double text_width(std::string_view text, double each) {
  return each * static_cast<double>(std::min<size_t>(text.size(), 30));
}

// The tree of modules while it is being made.
struct Tree {
  struct Cluster {
    std::string name, path;
    int32_t parent = -1;
    std::vector<int32_t> clusters, nodes;
    double sum = 0, count = 0;  // of the numbers of all nodes in it
    // Where it stands among its siblings: in the middle of its nodes, for a shared module may begin early.
    double middle() const { return count > 0 ? sum / count : 0; }
  };
  std::vector<Cluster> all{{}};
  std::map<std::string, int32_t, std::less<>> by_path;

  int32_t add(int32_t parent, std::string name, std::string path) {
    all.push_back({std::move(name), std::move(path), parent, {}, {}});
    const auto id = static_cast<int32_t>(all.size()) - 1;
    all[parent].clusters.push_back(id);
    return id;
  }

  int32_t at(std::string_view scope) {
    int32_t here = 0;
    for (size_t from = 0; from < scope.size();) {
      const size_t end = std::min(scope.find_first_of("./", from), scope.size());
      if (end > from) {
        const std::string_view path = scope.substr(0, end);
        auto known = by_path.find(path);
        if (known == by_path.end())
          known =
              by_path.emplace(path, add(here, std::string(scope.substr(from, end - from)), std::string(path)))
                  .first;
        here = known->second;
      }
      from = end + 1;
    }
    return here;
  }

  // A cluster of one item is that item. From the leaves up: children come behind their parents.
  void dissolve() {
    for (auto c = static_cast<int32_t>(all.size()) - 1; c > 0; --c) {
      Cluster& cluster = all[c];
      Cluster& parent = all[cluster.parent];
      if (cluster.nodes.size() + cluster.clusters.size() > 1) continue;
      std::erase(parent.clusters, c);
      for (int32_t node : cluster.nodes) parent.nodes.push_back(node);
      for (int32_t child : cluster.clusters) {
        all[child].parent = cluster.parent;
        all[child].name = cluster.name + "." + all[child].name;
        parent.clusters.push_back(child);
      }
      cluster.nodes.clear();
      cluster.clusters.clear();
      cluster.parent = -2;  // gone
    }
  }

  void add_node(int32_t c, int32_t node) {
    all[c].nodes.push_back(node);
    for (; c >= 0; c = all[c].parent) all[c].sum += node, all[c].count += 1;
  }

  // (place, item) of a cluster in the order of the graph.
  std::vector<std::pair<double, int32_t>> items(int32_t c) const {
    std::vector<std::pair<double, int32_t>> out;
    for (int32_t node : all[c].nodes) out.emplace_back(node, node);
    for (int32_t child : all[c].clusters) out.emplace_back(all[child].middle(), -1 - child);
    std::sort(out.begin(), out.end());
    return out;
  }

  void split_long_levels() {
    for (size_t c = 0; c < all.size(); ++c) {
      if (all[c].parent == -2) continue;
      const auto list = items(static_cast<int32_t>(c));
      if (list.size() <= kMostItems) continue;
      // Parts of parts, so that no level is long.
      const size_t part = std::max(kPart, (list.size() + kPart - 1) / kPart);
      all[c].nodes.clear();
      all[c].clusters.clear();
      for (size_t from = 0; from < list.size(); from += part) {
        const std::string name = "part " + std::to_string(from / part + 1);
        const int32_t id = add(static_cast<int32_t>(c), name, all[c].path + " " + name);
        for (size_t i = from; i < std::min(from + part, list.size()); ++i) {
          const auto [place, item] = list[i];
          all[id].sum += place;
          all[id].count += 1;
          if (item >= 0)
            all[id].nodes.push_back(item);
          else
            all[id].clusters.push_back(-1 - item), all[-1 - item].parent = id;
        }
      }
    }
  }
};

Tree tree_of(const ViewGraph& graph) {
  Tree tree;
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    tree.add_node(tree.at(graph.nodes[i].scope), static_cast<int32_t>(i));
  tree.dissolve();
  tree.split_long_levels();
  return tree;
}

// Finds for every edge of the graph the edges of the levels that it passes.
class Levels {
 public:
  Levels(const ViewGraph& graph, std::vector<ViewCluster>& clusters) : clusters_(clusters) {
    cluster_of_.resize(graph.nodes.size());
    item_of_node_.resize(graph.nodes.size());
    item_of_cluster_.resize(clusters.size());
    depth_.assign(clusters.size(), 0);
    leaves_.assign(clusters.size(), false);
    for (size_t c = 0; c < clusters.size(); ++c) {
      if (c > 0) depth_[c] = depth_[clusters[c].parent] + 1;
      for (size_t i = 0; i < clusters[c].items.size(); ++i) {
        const int32_t item = clusters[c].items[i];
        if (item >= 0) {
          cluster_of_[item] = static_cast<int32_t>(c);
          item_of_node_[item] = static_cast<int32_t>(i);
          clusters[c].level.width.push_back(box_width(graph.nodes[item]));
        } else {
          item_of_cluster_[-1 - item] = static_cast<int32_t>(i);
          clusters[c].level.width.push_back(box_width(clusters[-1 - item]));
        }
      }
    }
    edges_.resize(clusters.size());
    ports_.resize(clusters.size());
    port_rank_.resize(clusters.size());
    for (size_t v = 0; v < graph.nodes.size(); ++v)
      for (const ViewNode::Input& in : graph.nodes[v].inputs)
        if (in.node >= 0) add(in.node, static_cast<int32_t>(v));
    for (size_t c = 0; c < clusters.size(); ++c) finish(c);
  }

 private:
  // Items are numbered 0...; ports -1, -2, ...; the exit is kExit until all ports are known.
  static constexpr int32_t kExit = INT32_MIN;

  void add(int32_t u, int32_t v) {
    int32_t cu = cluster_of_[u], cv = cluster_of_[v], iu = item_of_node_[u];
    std::vector<int32_t> into;  // clusters on the way down to v
    auto up = [&] {
      edges_[cu].emplace(std::pair(iu, kExit), 0);
      leaves_[cu] = true;
      iu = item_of_cluster_[cu];
      cu = clusters_[cu].parent;
    };
    while (depth_[cu] > depth_[cv]) up();
    while (depth_[cv] > depth_[cu]) into.push_back(cv), cv = clusters_[cv].parent;
    while (cu != cv) {
      up();
      into.push_back(cv);
      cv = clusters_[cv].parent;
    }
    for (size_t k = into.size(); k-- > 0;) {
      const int32_t target = item_of_cluster_[into[k]];
      if (iu != target) edges_[cv].emplace(std::pair(iu, target), 0);
      cv = into[k];
      auto [at, fresh] = ports_[cv].emplace(iu, -1 - static_cast<int32_t>(ports_[cv].size()));
      if (fresh) clusters_[cv].ports.push_back(iu);
      iu = at->second;
    }
    if (iu != item_of_node_[v]) edges_[cv].emplace(std::pair(iu, item_of_node_[v]), 0);
  }

  // Parents come first: ports stand in the order of what leads to them.
  void finish(size_t c) {
    ViewCluster& cluster = clusters_[c];
    Level& level = cluster.level;
    const auto items = static_cast<int32_t>(cluster.items.size());
    const auto port_count = static_cast<int32_t>(cluster.ports.size());
    sort_ports(c);
    const auto number = [&](int32_t i) {
      return i >= 0 ? i : i == kExit ? items + port_count : items + port_rank_[c][-1 - i];
    };
    for (int32_t p = 0; p < port_count; ++p) level.ports.push_back(items + p), level.width.push_back(8);
    if (leaves_[c]) level.exit = items + port_count, level.width.push_back(8);
    for (const auto& [edge, unused] : edges_[c])
      level.edges.emplace_back(number(edge.first), number(edge.second));
    cluster.layout = lay_out(level);
  }

  void sort_ports(size_t c) {
    ViewCluster& cluster = clusters_[c];
    if (c == 0) return;
    const ViewCluster& parent = clusters_[cluster.parent];
    for (int32_t& from : cluster.ports)
      if (from < 0) from = static_cast<int32_t>(parent.items.size()) + port_rank_[cluster.parent][-1 - from];
    std::vector<int32_t> order(cluster.ports.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return parent.layout.items[cluster.ports[a]].x < parent.layout.items[cluster.ports[b]].x;
    });
    std::vector<int32_t> sorted;
    port_rank_[c].resize(order.size());
    for (size_t k = 0; k < order.size(); ++k) {
      port_rank_[c][order[k]] = static_cast<int32_t>(k);
      sorted.push_back(cluster.ports[order[k]]);
    }
    cluster.ports = std::move(sorted);
  }

  std::vector<ViewCluster>& clusters_;
  std::vector<int32_t> cluster_of_, item_of_node_, item_of_cluster_, depth_;
  std::vector<bool> leaves_;
  std::vector<std::map<std::pair<int32_t, int32_t>, char>> edges_;
  std::vector<std::map<int32_t, int32_t>> ports_;
  // From the order in which ports were met to that of `ports`.
  std::vector<std::vector<int32_t>> port_rank_;
};

}  // namespace

double box_width(const ViewNode& node) {
  const std::string& label = node.name.empty() ? node.op : node.name;
  return std::max({64.0, text_width(label, 7.4) + 22, text_width(node.detail, 5.9) + 22});
}

double box_width(const ViewCluster& cluster) { return std::max(96.0, text_width(cluster.name, 7.6) + 44); }

std::vector<ViewCluster> clusters_of(const ViewGraph& graph) {
  const Tree tree = tree_of(graph);
  std::vector<int32_t> number(tree.all.size(), -1);  // parents first
  std::vector<int32_t> order{0};
  for (size_t i = 0; i < order.size(); ++i) {
    number[order[i]] = static_cast<int32_t>(i);
    for (const auto& [place, item] : tree.items(order[i]))
      if (item < 0) order.push_back(-1 - item);
  }
  std::vector<ViewCluster> out(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const Tree::Cluster& from = tree.all[order[i]];
    out[i].name = from.name;
    out[i].path = from.path;
    out[i].parent = i == 0 ? -1 : number[from.parent];
    for (const auto& [place, item] : tree.items(order[i]))
      out[i].items.push_back(item >= 0 ? item : -1 - number[-1 - item]);
  }
  Levels(graph, out);
  return out;
}

}  // namespace fovea::tools
