// Pictures and pages of attention: read back with libpng, and as JSON and base64 by their definitions.
#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "framework/base/file_faults.h"
#include "frontends/tools/view/attention_html.h"
#include "frontends/tools/view/heatmap.h"
#include "tests/support/errors.h"
#include "tests/support/folder_fixture.h"

namespace fovea::tools {
namespace {

namespace fs = std::filesystem;
using Rgb = std::tuple<int, int, int>;
constexpr Rgb kWhite{255, 255, 255};

using test::error_of;

struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;
  Rgb at(int64_t x, int64_t y) const {
    const uint8_t* p = &rgb[static_cast<size_t>((y * width + x) * 3)];
    return {p[0], p[1], p[2]};
  }
  std::map<Rgb, int> counts() const {
    std::map<Rgb, int> out;
    for (int64_t i = 0; i < width * height; ++i) ++out[at(i % width, i / width)];
    return out;
  }
};

Picture load(const std::string& path) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_file(&image, path.c_str())) << image.message;
  image.format = PNG_FORMAT_RGB;
  Picture p{image.width, image.height, std::vector<uint8_t>(PNG_IMAGE_SIZE(image))};
  EXPECT_TRUE(png_image_finish_read(&image, nullptr, p.rgb.data(), 0, nullptr)) << image.message;
  return p;
}

class ViewTest : public FolderTest {};

AttentionMap small_map() {
  AttentionMap m;
  m.source = {"a", "b", "c"};
  m.target = {"x", "y"};
  m.layers = 2;
  m.heads = 2;
  m.title = "small";
  for (int i = 0; i < 24; ++i) m.weights.push_back(static_cast<float>(i) / 24);
  return m;
}

Rgb rgb(Color c) { return {c.r, c.g, c.b}; }

// The published table of viridis, at entries 0, 64, 128, 191 and 255 of 256, to within two steps of 255.
TEST(HeatColor, FollowsViridis) {
  const std::vector<std::pair<double, Rgb>> table = {{0, {68, 1, 84}},
                                                     {64 / 255.0, {58, 82, 139}},
                                                     {128 / 255.0, {32, 144, 140}},
                                                     {191 / 255.0, {93, 200, 98}},
                                                     {1, {253, 231, 36}}};
  for (const auto& [f, want] : table) {
    const Color c = heat_color(f);
    EXPECT_NEAR(c.r, std::get<0>(want), 2) << f;
    EXPECT_NEAR(c.g, std::get<1>(want), 2) << f;
    EXPECT_NEAR(c.b, std::get<2>(want), 2) << f;
  }
  EXPECT_EQ(rgb(heat_color(-5)), rgb(heat_color(0)));
  EXPECT_EQ(rgb(heat_color(5)), rgb(heat_color(1)));
}

TEST(HeatColor, GrowsBrighterAllTheWay) {
  double last = -1;
  for (int i = 0; i <= 100; ++i) {
    const Color c = heat_color(i / 100.0);
    const double luminance = 0.2126 * std::pow(c.r / 255.0, 2.2) + 0.7152 * std::pow(c.g / 255.0, 2.2) +
                             0.0722 * std::pow(c.b / 255.0, 2.2);
    EXPECT_GT(luminance, last) << i;
    last = luminance;
  }
}

TEST_F(ViewTest, CellsHaveTheirPlaceSizeAndColour) {
  const float nan = NAN;
  const std::vector<float> values = {0.1f, 0.35f, 0.6f, 0.85f, nan, 0.22f};
  write_heatmap_png(path("a.png"), {2, 3, values}, {}, {}, "", {.low = 0, .high = 1, .cell = 20, .scale = 1});
  const Picture p = load(path("a.png"));
  // The first pixel of the first cell's colour is the upper left corner; from there everything is in steps
  // of 20.
  int64_t left = -1, top = -1;
  for (int64_t i = 0; i < p.width * p.height && left < 0; ++i)
    if (p.at(i % p.width, i / p.width) == rgb(heat_color(0.1f))) left = i % p.width, top = i / p.width;
  ASSERT_GE(left, 0);
  for (int64_t row = 0; row < 2; ++row)
    for (int64_t column = 0; column < 3; ++column) {
      const float v = values[static_cast<size_t>(row * 3 + column)];
      const Rgb want = std::isnan(v) ? Rgb{205, 208, 212} : rgb(heat_color(v));
      for (int64_t dy : {0, 19})
        for (int64_t dx : {0, 19})
          EXPECT_EQ(p.at(left + column * 20 + dx, top + row * 20 + dy), want) << row << column;
    }
  EXPECT_EQ(p.at(left - 1, top), kWhite);
  EXPECT_EQ(p.at(left + 60, top), kWhite);
  EXPECT_EQ(p.at(left, top + 40), kWhite);
}

TEST_F(ViewTest, ScaleMultipliesThePicture) {
  const std::vector<float> values = {0, 1, 2, 3};
  write_heatmap_png(path("1.png"), {2, 2, values}, {}, {}, "t", {.cell = 16, .scale = 1});
  write_heatmap_png(path("3.png"), {2, 2, values}, {}, {}, "t", {.cell = 16, .scale = 3});
  EXPECT_EQ(load(path("3.png")).width, 3 * load(path("1.png")).width);
  EXPECT_GE(load(path("3.png")).counts()[rgb(heat_color(0))], 48 * 48);
}

TEST_F(ViewTest, LabelsTitleAndScaleAreDrawn) {
  const std::vector<float> values = {0, 1, 2, 3};
  const HeatmapOptions o = {.cell = 20, .scale = 1};
  write_heatmap_png(path("bare.png"), {2, 2, values}, {}, {}, "", o);
  write_heatmap_png(path("labels.png"), {2, 2, values}, {"first row", "é"}, {"column", "wide"}, "", o);
  write_heatmap_png(path("title.png"), {2, 2, values}, {}, {}, "A title", o);
  const Picture bare = load(path("bare.png")), labels = load(path("labels.png")),
                title = load(path("title.png"));
  EXPECT_GT(labels.width, bare.width + 20);
  EXPECT_GT(labels.height, bare.height + 20);
  EXPECT_GT(title.height, bare.height + 10);
  // Ink to the left of the cells, in both rows, and above them.
  auto ink = [](const Picture& p, int64_t x0, int64_t y0, int64_t x1, int64_t y1) {
    int n = 0;
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = x0; x < x1; ++x) n += std::get<0>(p.at(x, y)) < 128;
    return n;
  };
  const int64_t left = labels.width - bare.width + 20, top = labels.height - bare.height + 20;
  EXPECT_GT(ink(labels, 0, top, left - 4, top + 20), 20);
  EXPECT_GT(ink(labels, 0, top + 20, left - 4, top + 40), 5);
  EXPECT_GT(ink(labels, left, 0, left + 60, top - 4), 20);
  EXPECT_GT(ink(title, 0, 0, title.width, 40), 50);
  EXPECT_EQ(ink(bare, 0, 0, 19, bare.height), 0);
}

TEST_F(ViewTest, OddLabelsAreDrawn) {
  const std::vector<float> values = {0, 1, NAN, INFINITY};
  write_heatmap_png(path("a.png"), {2, 2, values}, {"注意", std::string("\x80\xFF\n\0", 4)},
                    {"", std::string(10000, 'm')}, "\x1b[31m");
  EXPECT_LT(load(path("a.png")).width, 2000);  // long labels are cut
}

TEST_F(ViewTest, ConstantEmptyAndHugeRangesAreDrawn) {
  for (const std::vector<float>& values : std::vector<std::vector<float>>{
           {0, 0}, {5, 5}, {-3, -3}, {NAN, NAN}, {INFINITY, -INFINITY}, {3e38f, -3e38f}, {1e-40f, 0}}) {
    write_heatmap_png(path("a.png"), {1, 2, values}, {}, {}, "");
    EXPECT_GT(load(path("a.png")).width, 2);
  }
}

TEST_F(ViewTest, LargeMatricesFit) {
  const std::vector<float> values(1500 * 1000, 0.5f);
  write_heatmap_png(path("a.png"), {1500, 1000, values}, std::vector<std::string>(1500, "r"), {}, "large",
                    {.scale = 1});
  const Picture p = load(path("a.png"));
  EXPECT_GE(p.height, 1500);
  EXPECT_LE(p.height, 1700);
}

TEST_F(ViewTest, BadMatricesAreRefused) {
  const std::vector<float> v(6, 1.0f);
  auto error = [&](Matrix m, HeatmapOptions o = {}, std::vector<std::string> rows = {}) {
    return error_of([&] { write_heatmap_png(path("bad.png"), m, rows, {}, "", o); });
  };
  EXPECT_HAS(error({2, 2, v}), "a heat map of 2 x 2 cells is given 6 values");
  EXPECT_HAS(error({0, 6, v}), "0 x 6 cells; 1 to 8192");
  EXPECT_HAS(error({-2, -3, v}), "InvalidArgument");
  EXPECT_HAS(error({INT64_MAX, INT64_MAX, v}), "InvalidArgument");
  EXPECT_HAS(error({2, 3, v}, {}, {"one"}), "2 rows is given 1 row labels");
  EXPECT_HAS(error({2, 3, v}, {.low = 2, .high = 1}), "low 2.000000 is above its high 1.000000");
  EXPECT_HAS(error({2, 3, v}, {.low = -INFINITY}), "is not finite");
  EXPECT_HAS(error({2, 3, v}, {.cell = -1}), "cell of -1 pixels");
  for (double scale : {0.0, -1.0, 100.0, double(NAN)})
    EXPECT_HAS(error({2, 3, v}, {.scale = scale}), "not 0.5 to 4");
  EXPECT_HAS(error_of([&] { Canvas c(1 << 20, 1 << 20); }), "1048576 x 1048576 pixels");
  EXPECT_FALSE(fs::exists(path("bad.png")));
}

TEST_F(ViewTest, WritingIsAtomic) {
  const std::vector<float> v(4, 1.0f);
  write_file(path("a.png"), "old");
  file_faults().arm(FileStep::write, 1, ENOSPC);
  EXPECT_HAS(error_of([&] { write_heatmap_png(path("a.png"), {2, 2, v}, {}, {}, ""); }), "ResourceExhausted");
  EXPECT_EQ(read_file(path("a.png")), "old");
}

TEST(AttentionMapTest, AveragesLayersAndHeads) {
  const AttentionMap m = small_map();
  // Weight i of [2, 2, 2, 3] is i / 24, so the first cell has 0, 6, 12, 18 of 24 in the four heads.
  EXPECT_FLOAT_EQ(attention_weights(m, 0, 0)[0], 0);
  EXPECT_FLOAT_EQ(attention_weights(m, 1, 0)[4], 16.0f / 24);
  EXPECT_FLOAT_EQ(attention_weights(m, 0, -1)[0], 3.0f / 24);
  EXPECT_FLOAT_EQ(attention_weights(m, -1, 1)[5], (11 + 23) / 2.0f / 24);
  EXPECT_FLOAT_EQ(attention_weights(m)[0], 9.0f / 24);
  EXPECT_HAS(error_of([&] { attention_weights(m, 2, 0); }),
             "layer 2, head 0 is not among 2 layers of 2 heads");
  EXPECT_HAS(error_of([&] { attention_weights(m, 0, -2); }), "InvalidArgument");
}

TEST(AttentionMapTest, PartsMustFit) {
  AttentionMap m = small_map();
  m.weights.pop_back();
  EXPECT_HAS(error_of([&] { attention_html(m); }),
             "holds 23 weights, but [layers, heads, target, source] = [2, 2, 2, 3] needs 24");
  m = small_map();
  m.source.clear();
  EXPECT_HAS(error_of([&] { attention_html(m); }), "source tokens 0");
  m = small_map();
  m.layers = INT64_MAX;
  m.heads = 3;
  EXPECT_HAS(error_of([&] { attention_html(m); }), "overflows");
}

TEST_F(ViewTest, AttentionPictures) {
  const AttentionMap m = small_map();
  write_attention_png(path("one.png"), m, 1, 1, {.low = 0, .high = 1, .cell = 20, .scale = 1});
  auto counts = load(path("one.png")).counts();
  for (int i = 18; i < 24; ++i) EXPECT_GE(counts[rgb(heat_color(static_cast<float>(i) / 24))], 400) << i;
  write_attention_grid_png(path("all.png"), m, {.low = 0, .high = 1, .cell = 20, .scale = 1});
  counts = load(path("all.png")).counts();
  for (int i = 0; i < 24; ++i) EXPECT_GE(counts[rgb(heat_color(static_cast<float>(i) / 24))], 400) << i;
}

// ---- the page ----

std::string data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

std::vector<float> floats_of(const std::string& base64) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int have = 0;
  for (char c : base64) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
    have += 6;
    if (have >= 8) bytes += static_cast<char>(bits >> (have -= 8));
  }
  std::vector<float> out(bytes.size() / 4);
  std::memcpy(out.data(), bytes.data(), out.size() * 4);
  return out;
}

TEST(AttentionHtml, HoldsTheDataExactly) {
  for (size_t drop : {0, 1, 2}) {  // all three ways base64 can end
    AttentionMap m;
    m.source.assign(4 - drop, "s");
    m.target = {"t"};
    for (size_t i = 0; i < m.source.size(); ++i) m.weights.push_back(static_cast<float>(i) / 3.7f - 0.1f);
    const auto data = nlohmann::json::parse(data_of(attention_html(m)));
    EXPECT_EQ(floats_of(data["weights"]), m.weights);
  }
  const AttentionMap m = small_map();
  const auto data = nlohmann::json::parse(data_of(attention_html(m)));
  EXPECT_EQ(data["source"].get<std::vector<std::string>>(), m.source);
  EXPECT_EQ(data["target"].get<std::vector<std::string>>(), m.target);
  EXPECT_EQ(data["title"], "small");
  EXPECT_EQ(data["layers"], 2);
  EXPECT_EQ(data["heads"], 2);
}

TEST(AttentionHtml, TextIsDataAndNeverMarkup) {
  const std::vector<std::string> nasty = {"</script><script>alert(1)</script>",
                                          "<!--<script>",
                                          "]]>",
                                          "\"'`",
                                          "<img src=x onerror=alert(1)>",
                                          "&lt;&amp;",
                                          "\u2028\u2029",
                                          "\\u003c",
                                          "@DATA@",
                                          std::string("\0\x01\x7F", 3),
                                          "</SCRIPT >",
                                          "注意 é 😀"};
  AttentionMap m;
  m.source = m.target = nasty;
  m.title = "</title>" + nasty[0];
  m.weights.assign(nasty.size() * nasty.size(), 0.5f);
  const std::string page = attention_html(m);
  const std::string json = data_of(page);
  EXPECT_EQ(json.find_first_of("<>&"), std::string::npos);
  for (char c : json) EXPECT_TRUE(c >= 0x20 && c < 0x7F);
  const auto data = nlohmann::json::parse(json);
  EXPECT_EQ(data["source"].get<std::vector<std::string>>(), nasty);  // and nothing of it is lost
  EXPECT_EQ(data["title"], m.title);
  // Apart from the data, the page is the same as for harmless text.
  AttentionMap harmless = m;
  harmless.source = harmless.target = std::vector<std::string>(nasty.size(), "x");
  harmless.title = "x";
  const std::string other = attention_html(harmless);
  EXPECT_EQ(page.size() - json.size(), other.size() - data_of(other).size());
  EXPECT_EQ(page.substr(page.size() - 2000), other.substr(other.size() - 2000));
}

TEST(AttentionHtml, InvalidUtf8IsReplaced) {
  AttentionMap m = small_map();
  m.source[0] = "a\x80\xFFz";
  EXPECT_EQ(nlohmann::json::parse(data_of(attention_html(m)))["source"][0], "a\uFFFD\uFFFDz");
}

TEST(AttentionHtml, LoadsNothingAndIsSmall) {
  const std::string page = attention_html(small_map());
  for (const char* part : {"http:", "https:", "//cdn", "@import", " src=", "url(", "fetch(", "XMLHttpRequest",
                           "innerHTML", "document.write", "eval("})
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  EXPECT_HAS(page, "default-src 'none'");
  EXPECT_LT(page.size() - data_of(page).size(), 100000u);
  EXPECT_EQ(page.find("@DATA@"), std::string::npos);
}

}  // namespace
}  // namespace fovea::tools
