// fovea bench attention: how long attention takes that is written in plain operations.
#pragma once

#include <string>
#include <vector>

namespace fovea::tools {

struct BenchAttentionOptions {
  /// "plain=1,8,1024,64,1": variant (plain, softcap, alibi, bias, padding or dropout), then batch, heads,
  /// length, head dim and 1 for causal; empty: the shapes of benchmarks/peers/attention.py.
  std::vector<std::string> shapes;
  int steps = 7;
  bool json = false;
};

/// Times forward, and forward with the gradients of q, k and v (and of the bias).
void bench_attention(const BenchAttentionOptions& options);

}  // namespace fovea::tools
