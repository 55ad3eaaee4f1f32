// A layered drawing of one directed graph: which rank every item is on, where in its rank, and the bends of
// long edges.
//
//   rank 0     (port)   (port)
//   rank 1       [a]       |        | is a bend: the edge from the second port to [c] passes rank 1 and 2
//   rank 2       [b]       |
//   rank 3          [c]
//
// After Sugiyama, Tagawa and Toda (1981): ranks by longest paths, fewer crossings by barycentres, places by
// isotonic regression towards the neighbours. Time is close to linear in items, edges and bends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fovea::tools {

/// A graph to be drawn. Items are numbered in an order that most edges follow.
struct Level {
  std::vector<double> width;                       ///< of every item
  std::vector<std::pair<int32_t, int32_t>> edges;  ///< (from, to), no loops
  std::vector<int32_t> ports;                      ///< items that stay on the top border
  int32_t exit = -1;                               ///< the item on the bottom border, or -1
};

struct LevelLayout {
  struct Place {
    int32_t rank = 0, order = 0;  ///< order: among items and bends of the rank, from the left
    double x = 0;                 ///< of the centre
  };
  struct Route {
    bool upwards = false;        ///< against the flow: the graph has a cycle
    bool cut = false;            ///< so long that only its two ends are drawn
    std::vector<int32_t> bends;  ///< from `from` to `to`
  };
  std::vector<Place> items, bends;
  std::vector<Route> routes;  ///< one an edge
  int32_t ranks = 0;
};

/// Edges over more ranks than this are cut.
constexpr int32_t kLongestEdge = 14;
/// Where more edges than kCrowd reach a border, those over more ranks than this are.
constexpr int32_t kLongestInCrowd = 3;
constexpr std::size_t kCrowd = 4;
constexpr double kItemGap = 26, kBendGap = 12, kBendWidth = 4;

LevelLayout lay_out(const Level& level);

/// Pairs of edges between neighbouring ranks that cross, in the drawing.
int64_t crossings(const Level& level, const LevelLayout& layout);

}  // namespace fovea::tools
