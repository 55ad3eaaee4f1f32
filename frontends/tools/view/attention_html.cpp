#include "frontends/tools/view/attention_html.h"

#include <bit>
#include <nlohmann/json.hpp>

#include "framework/base/file.h"
#include "frontends/tools/view/page.h"

namespace fovea::tools {
namespace {

// The weights as little-endian floats in base64: exact, and half as long as decimal text.
std::string base64(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  const size_t size = values.size() * sizeof(float);
  std::string out;
  out.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    const size_t left = size - i;
    const uint32_t group = uint32_t{bytes[i]} << 16 | (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0u) |
                           (left > 2 ? uint32_t{bytes[i + 2]} : 0u);
    out += digits[group >> 18];
    out += digits[group >> 12 & 63];
    out += left > 1 ? digits[group >> 6 & 63] : '=';
    out += left > 2 ? digits[group & 63] : '=';
  }
  return out;
}

}  // namespace

std::string attention_html(const AttentionMap& map) {
  validate(map);
  nlohmann::ordered_json data;
  data["title"] = map.title;
  data["source"] = map.source;
  data["target"] = map.target;
  data["layers"] = map.layers;
  data["heads"] = map.heads;
  data["weights"] = base64(map.weights);
  return page_with(kAttentionPage, data);
}

void write_attention_html(const std::string& path, const AttentionMap& map) {
  write_file(path, attention_html(map));
}

}  // namespace fovea::tools
