// A graph as the graph page shows it: nodes with what is known of them, and clusters by module.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "frontends/tools/view/layered.h"

namespace fovea::tools {

/// One operation. Weights and constants are no nodes of their own; they stand in the list of inputs.
struct ViewNode {
  struct Input {
    int32_t node = -1;  ///< or -1: a weight or a constant
    int32_t index = 0;  ///< which of that node's results
    std::string text;   ///< of a weight: "attn.q.weight f32[64, 64]"
  };
  struct Launch {
    std::string kernel;
    double us = 0;  ///< 0 where nothing was measured
  };
  std::string id;  ///< in the function: "17"; "17/then/5" is in the branch that node 17 may run
  /// What it is coloured by: product, attention, norm, fused, pointwise, reduce, move, random, control,
  /// update, io.
  std::string kind;
  std::string op;      ///< "matmul"; "input" and "output" for arguments and results
  std::string name;    ///< of an argument or result
  std::string detail;  ///< the second line of its box: "f32[8, 64]"
  std::string scope;   ///< "encoder.0.attention"
  std::string source;  ///< "model.cpp:12"
  std::vector<std::string> types;
  std::vector<Input> inputs;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<Launch> launches;
  int64_t parameters = 0, flops = 0, bytes = 0;  ///< bytes: of its results
  double us = 0;                                 ///< measured, or estimated from work and traffic
  std::vector<int32_t> records;                  ///< into ViewGraph::records
  bool inner = false;  ///< in the body of a loop or a branch; the op that runs it has what it costs in all
};

/// A candidate for fusion, as explain tells it.
struct ViewRecord {
  bool fused = false;
  std::string title, code, sentence, score, nearest;
};

struct ViewGraph {
  std::vector<ViewNode> nodes;  ///< in an order that edges follow
  std::vector<ViewRecord> records;
  bool measured = false;
  std::string note;  ///< "B=8 (assumed), 102 launches, 3.2 MiB of temporaries"
};

/// One function before and after the compiler.
struct ViewFunction {
  std::string name;
  ViewGraph before, after;
};

/// A module, or a run of nodes of one that is too long.
struct ViewCluster {
  std::string name, path;
  int32_t parent = -1;
  std::vector<int32_t> items;  ///< node n as n, cluster c as -1 - c; ports behind them are not listed
  std::vector<int32_t> ports;  ///< the item of the parent's level from which each port is reached
  LevelLayout layout;          ///< of items, then ports, then the exit
  Level level;                 ///< what was laid out; widths are those of collapsed boxes
};

/// The clusters of a graph, the root first; every node is in exactly one.
std::vector<ViewCluster> clusters_of(const ViewGraph& graph);

/// Widths of the boxes.
double box_width(const ViewNode& node);
double box_width(const ViewCluster& cluster);

}  // namespace fovea::tools
