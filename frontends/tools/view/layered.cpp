#include "frontends/tools/view/layered.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace fovea::tools {
namespace {

using Lists = std::vector<std::vector<int32_t>>;

// Positions in an order that edges follow; where there is a cycle, the first item left goes first.
std::vector<int32_t> positions(const Level& level) {
  const size_t n = level.width.size();
  std::vector<int32_t> waiting(n, 0), position(n, -1);
  Lists next(n);
  for (const auto& [a, b] : level.edges) next[a].push_back(b), ++waiting[b];
  std::priority_queue<int32_t, std::vector<int32_t>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waiting[i] == 0) ready.push(static_cast<int32_t>(i));
  size_t first_left = 0;
  for (int32_t at = 0; at < static_cast<int32_t>(n);) {
    if (ready.empty()) {
      while (position[first_left] >= 0) ++first_left;
      ready.push(static_cast<int32_t>(first_left));
    }
    const int32_t item = ready.top();
    ready.pop();
    if (position[item] >= 0) continue;
    position[item] = at++;
    for (int32_t b : next[item])
      if (--waiting[b] == 0 && position[b] < 0) ready.push(b);
  }
  return position;
}

// Items and bends alike, with their neighbours on the ranks above and below.
class Drawing {
 public:
  explicit Drawing(const Level& level) : level_(level), items_(level.width.size()) {
    orient();
    rank_items();
    tighten();
    add_bends();
    order_ranks();
    place();
  }

  LevelLayout result() const {
    LevelLayout out;
    out.ranks = static_cast<int32_t>(ranks_.size());
    for (size_t v = 0; v < rank_.size(); ++v)
      (v < items_ ? out.items : out.bends).push_back({rank_[v], order_[v], x_[v]});
    out.routes = routes_;
    return out;
  }

 private:
  void orient() {
    const std::vector<int32_t> position = positions(level_);
    by_position_.resize(items_);
    for (size_t i = 0; i < items_; ++i) by_position_[position[i]] = static_cast<int32_t>(i);
    routes_.resize(level_.edges.size());
    below_.resize(items_);
    above_.resize(items_);
    for (size_t e = 0; e < level_.edges.size(); ++e) {
      auto [a, b] = level_.edges[e];
      routes_[e].upwards = position[a] > position[b];
      if (routes_[e].upwards) std::swap(a, b);
      below_[a].push_back(b);
      above_[b].push_back(a);
    }
  }

  bool is_port(int32_t item) const { return !ports_.empty() && ports_[item]; }

  void rank_items() {
    rank_.assign(items_, 0);
    if (!level_.ports.empty()) {
      ports_.assign(items_, false);
      for (int32_t p : level_.ports) ports_[p] = true;
      for (size_t i = 0; i < items_; ++i) rank_[i] = !ports_[i];
    }
    for (int32_t item : by_position_)
      for (int32_t b : below_[item]) rank_[b] = std::max(rank_[b], rank_[item] + 1);
    last_ = 0;
    for (size_t i = 0; i < items_; ++i)
      if (static_cast<int32_t>(i) != level_.exit) last_ = std::max(last_, rank_[i]);
    if (level_.exit >= 0) rank_[level_.exit] = ++last_;
  }

  // What has more to do with the items below it than with those above moves down to them.
  void tighten() {
    for (size_t k = items_; k-- > 0;) {
      const int32_t item = by_position_[k];
      if (item == level_.exit || is_port(item)) continue;
      int32_t lowest = last_ + 1;
      size_t down = 0;
      for (int32_t b : below_[item]) lowest = std::min(lowest, rank_[b]), down += b != level_.exit;
      if (down > 0 && down >= above_[item].size() && lowest <= last_)
        rank_[item] = std::max(rank_[item], lowest - 1);
    }
    std::vector<int32_t> used(static_cast<size_t>(last_) + 2, 0);
    for (int32_t r : rank_) used[r] = 1;
    int32_t next = 0;
    for (int32_t& u : used) u = u ? next++ : next;
    for (int32_t& r : rank_) r = used[r];
    ranks_.resize(items_ ? static_cast<size_t>(next) : 0);
  }

  // Edges from one item share their bends, so that they part as late as they can.
  void add_bends() {
    std::unordered_map<int64_t, std::vector<int32_t>> chains;  // by upper item and direction
    std::unordered_set<int64_t> linked;
    Lists above(items_), below(items_);
    auto link = [&](int32_t a, int32_t b) {
      if (!linked.insert(int64_t{a} << 32 | b).second) return;
      above[b].push_back(a);
      below[a].push_back(b);
    };
    for (size_t e = 0; e < level_.edges.size(); ++e) {
      auto [upper, lower] = level_.edges[e];
      LevelLayout::Route& route = routes_[e];
      if (route.upwards) std::swap(upper, lower);
      const int32_t span = rank_[lower] - rank_[upper];
      const bool crowded = (lower == level_.exit && above_[lower].size() > kCrowd) ||
                           (is_port(upper) && level_.ports.size() > kCrowd);
      route.cut = span > (crowded ? kLongestInCrowd : kLongestEdge);
      if (route.cut) continue;
      std::vector<int32_t>& chain = chains[int64_t{upper} * 2 + route.upwards];
      int32_t at = upper;
      for (int32_t k = 0; k < span - 1; ++k) {
        if (static_cast<size_t>(k) == chain.size()) {
          chain.push_back(static_cast<int32_t>(rank_.size()));
          rank_.push_back(rank_[upper] + 1 + k);
          above.emplace_back();
          below.emplace_back();
        }
        link(at, chain[k]);
        at = chain[k];
        route.bends.push_back(at - static_cast<int32_t>(items_));
      }
      link(at, lower);
      if (route.upwards) std::reverse(route.bends.begin(), route.bends.end());
    }
    above_ = std::move(above);
    below_ = std::move(below);
  }

  void number() {
    for (const auto& rank : ranks_)
      for (size_t k = 0; k < rank.size(); ++k) order_[rank[k]] = static_cast<int32_t>(k);
  }

  void sort_by_neighbours(std::vector<int32_t>& rank, const Lists& neighbours) {
    for (int32_t v : rank) {
      double sum = 0;
      for (int32_t u : neighbours[v]) sum += order_[u];
      key_[v] = neighbours[v].empty() ? order_[v] : sum / static_cast<double>(neighbours[v].size());
    }
    std::stable_sort(rank.begin(), rank.end(), [&](int32_t a, int32_t b) { return key_[a] < key_[b]; });
    for (size_t k = 0; k < rank.size(); ++k) order_[rank[k]] = static_cast<int32_t>(k);
  }

  // Inversions between this rank and the next, with a tree of counts.
  int64_t crossings_below(const std::vector<int32_t>& rank, size_t next_size) {
    tree_.assign(next_size + 1, 0);
    int64_t total = 0, added = 0;
    std::vector<int32_t> ends;
    for (int32_t v : rank) {
      ends.clear();
      for (int32_t u : below_[v]) ends.push_back(order_[u]);
      for (int32_t end : ends) {
        int64_t left = 0;  // ends added before at or left of this one
        for (size_t i = static_cast<size_t>(end) + 1; i > 0; i -= i & (~i + 1)) left += tree_[i];
        total += added - left;
      }
      for (int32_t end : ends) {
        for (size_t i = static_cast<size_t>(end) + 1; i <= next_size; i += i & (~i + 1)) ++tree_[i];
        ++added;
      }
    }
    return total;
  }

  int64_t count_crossings() {
    int64_t total = 0;
    for (size_t r = 0; r + 1 < ranks_.size(); ++r) total += crossings_below(ranks_[r], ranks_[r + 1].size());
    return total;
  }

  void order_ranks() {
    order_.assign(rank_.size(), 0);
    key_.assign(rank_.size(), 0);
    for (size_t v = 0; v < rank_.size(); ++v) ranks_[rank_[v]].push_back(static_cast<int32_t>(v));
    number();
    int64_t fewest = count_crossings();
    Lists best = ranks_;
    const int sweeps = rank_.size() > 20000 ? 4 : 14;
    for (int sweep = 0, in_vain = 0; sweep < sweeps && fewest > 0 && in_vain < 4; ++sweep, ++in_vain) {
      if (sweep % 2 == 0)
        for (size_t r = 1; r < ranks_.size(); ++r) sort_by_neighbours(ranks_[r], above_);
      else
        for (size_t r = ranks_.size(); r-- > 1;) sort_by_neighbours(ranks_[r - 1], below_);
      if (const int64_t now = count_crossings(); now < fewest) fewest = now, best = ranks_, in_vain = -1;
    }
    ranks_ = std::move(best);
    number();
  }

  bool is_bend(int32_t v) const { return static_cast<size_t>(v) >= items_; }
  double width(int32_t v) const { return is_bend(v) ? kBendWidth : level_.width[v]; }
  double gap(int32_t a, int32_t b) const {
    return (width(a) + width(b)) / 2 + (is_bend(a) || is_bend(b) ? kBendGap : kItemGap);
  }

  // Moves a rank as near to the wanted places as its order and the widths allow: least squares under x[k+1] -
  // x[k] >= gap, by pooling neighbours that are too near.
  void settle(const std::vector<int32_t>& rank, const std::vector<double>& wanted,
              const std::vector<double>& weights) {
    struct Pool {
      double sum, weight;
      size_t count;
    };
    std::vector<Pool> pools;
    std::vector<double> shift(rank.size(), 0);
    for (size_t k = 0; k < rank.size(); ++k) {
      if (k > 0) shift[k] = shift[k - 1] + gap(rank[k - 1], rank[k]);
      const double weight = weights[k];
      pools.push_back({(wanted[k] - shift[k]) * weight, weight, 1});
      while (pools.size() > 1 && pools[pools.size() - 2].sum / pools[pools.size() - 2].weight >
                                     pools.back().sum / pools.back().weight) {
        const Pool p = pools.back();
        pools.pop_back();
        pools.back().sum += p.sum;
        pools.back().weight += p.weight;
        pools.back().count += p.count;
      }
    }
    size_t k = 0;
    for (const Pool& p : pools)
      for (size_t i = 0; i < p.count; ++i, ++k) x_[rank[k]] = p.sum / p.weight + shift[k];
  }

  // Straight paths through operations matter most, then long straight edges; where an edge leaves or enters a
  // box it may turn.
  double weight(int32_t v, const Lists& neighbours) const {
    for (int32_t u : neighbours[v])
      if (is_bend(u) == is_bend(v)) return is_bend(v) ? 3 : 2;
    return 0.4;
  }

  // The middle of the neighbours, of items before bends, so that the path through the operations is straight;
  // without neighbours it stays.
  double middle(int32_t v, const Lists& neighbours) {
    const std::vector<int32_t>& list = neighbours[v];
    if (list.empty()) return x_[v];
    spots_.clear();
    if (!is_bend(v))
      for (int32_t u : list)
        if (!is_bend(u)) spots_.push_back(x_[u]);
    if (spots_.empty())
      for (int32_t u : list) spots_.push_back(x_[u]);
    std::sort(spots_.begin(), spots_.end());
    const size_t h = spots_.size() / 2;
    return spots_.size() % 2 ? spots_[h] : (spots_[h - 1] + spots_[h]) / 2;
  }

  void place() {
    x_.assign(rank_.size(), 0);
    std::vector<double> wanted, weights;
    for (const auto& rank : ranks_) {
      wanted.assign(rank.size(), 0);
      weights.assign(rank.size(), 1);
      settle(rank, wanted, weights);
    }
    auto sweep = [&](const std::vector<int32_t>& rank, const Lists& towards, const Lists& others) {
      wanted.clear();
      weights.clear();
      for (int32_t v : rank) {
        const Lists& lists = towards[v].empty() ? others : towards;
        wanted.push_back(middle(v, lists));
        weights.push_back(weight(v, lists));
      }
      settle(rank, wanted, weights);
    };
    const int rounds = rank_.size() > 20000 ? 3 : 8;
    for (int round = 0; round < rounds; ++round) {
      for (const auto& rank : ranks_) sweep(rank, above_, below_);
      for (size_t r = ranks_.size(); r-- > 0;) sweep(ranks_[r], below_, above_);
    }
    for (const auto& rank : ranks_) sweep(rank, above_, below_);
    // What nothing leads to comes to stand above what it leads to, which has just moved.
    for (size_t r = ranks_.size(); r-- > 0;) {
      wanted.clear();
      weights.clear();
      for (int32_t v : ranks_[r]) {
        wanted.push_back(above_[v].empty() ? middle(v, below_) : x_[v]);
        weights.push_back(above_[v].empty() ? 0.1 : 100);
      }
      settle(ranks_[r], wanted, weights);
    }
  }

  const Level& level_;
  const size_t items_;
  std::vector<int32_t> by_position_;
  std::vector<bool> ports_;
  std::vector<int32_t> rank_, order_;
  int32_t last_ = 0;
  Lists above_, below_, ranks_;
  std::vector<LevelLayout::Route> routes_;
  std::vector<double> key_, x_, spots_;
  std::vector<int64_t> tree_;
};

}  // namespace

LevelLayout lay_out(const Level& level) { return Drawing(level).result(); }

int64_t crossings(const Level& level, const LevelLayout& layout) {
  // Every pair of different segments between two ranks, once: for tests, not for speed.
  struct Segment {
    int32_t rank, a, b;
    auto operator<=>(const Segment&) const = default;
  };
  std::vector<Segment> all;
  for (size_t e = 0; e < level.edges.size(); ++e) {
    const LevelLayout::Route& route = layout.routes[e];
    if (route.cut) continue;
    std::vector<LevelLayout::Place> places{layout.items[level.edges[e].first]};
    for (int32_t b : route.bends) places.push_back(layout.bends[b]);
    places.push_back(layout.items[level.edges[e].second]);
    if (route.upwards) std::reverse(places.begin(), places.end());
    for (size_t k = 0; k + 1 < places.size(); ++k)
      all.push_back({places[k].rank, places[k].order, places[k + 1].order});
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  int64_t total = 0;
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = i + 1; j < all.size() && all[j].rank == all[i].rank; ++j)
      total += (all[i].a < all[j].a && all[i].b > all[j].b) || (all[i].a > all[j].a && all[i].b < all[j].b);
  return total;
}

}  // namespace fovea::tools
