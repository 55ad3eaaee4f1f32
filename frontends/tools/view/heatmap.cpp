#include "frontends/tools/view/heatmap.h"

#include <algorithm>
#include <cstdio>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/base/file.h"

namespace fovea::tools {
namespace {

constexpr Color kInk = {31, 35, 40};
constexpr Color kFaint = {101, 109, 118};
constexpr Color kMissing = {205, 208, 212};
constexpr int64_t kMostCells = 8192;

// Sizes in nominal pixels; everything drawn is multiplied by the scale.
constexpr double kMargin = 20, kTitleSize = 17, kLabelSize = 12, kAxisSize = 12, kTickSize = 11;
constexpr double kBarWidth = 14, kBarGap = 24, kTickRoom = 52, kLongestLabel = 150;
constexpr double kColumnTurn = 55;  // degrees by which column labels rise

struct Range {
  double low = 0, high = 1;
  double fraction(double v) const { return std::clamp((v - low) / (high - low), 0.0, 1.0); }
};

Range range_of(std::span<const float> values, const HeatmapOptions& options) {
  double least = INFINITY, greatest = -INFINITY;
  for (float v : values) {
    if (!std::isfinite(v)) continue;
    least = std::min<double>(least, v);
    greatest = std::max<double>(greatest, v);
  }
  if (least > greatest) least = 0, greatest = 1;
  Range r{std::isnan(options.low) ? std::min(0.0, least) : options.low,
          std::isnan(options.high) ? greatest : options.high};
  if (!std::isfinite(r.low) || !std::isfinite(r.high))
    invalid("the colour range " + std::to_string(r.low) + " to " + std::to_string(r.high) + " is not finite");
  if (r.high < r.low)
    invalid("the colour range's low " + std::to_string(r.low) + " is above its high " +
            std::to_string(r.high));
  if (r.high == r.low) r.high = r.low + 1;
  return r;
}

void check_options(const HeatmapOptions& o) {
  if (!(o.scale >= 0.5 && o.scale <= 4))
    invalid("the scale of a picture is " + std::to_string(o.scale) + ", not 0.5 to 4");
  if (o.cell < 0 || o.cell > 200)
    invalid("a heat map's cell of " + std::to_string(o.cell) + " pixels, not 0 to 200");
}

void check_matrix(const Matrix& m) {
  if (m.rows < 1 || m.columns < 1 || m.rows > kMostCells || m.columns > kMostCells)
    invalid("a heat map of " + std::to_string(m.rows) + " x " + std::to_string(m.columns) + " cells; 1 to " +
            std::to_string(kMostCells) + " rows and columns are drawn");
  if (static_cast<int64_t>(m.values.size()) != m.rows * m.columns)
    invalid("a heat map of " + std::to_string(m.rows) + " x " + std::to_string(m.columns) +
            " cells is given " + std::to_string(m.values.size()) + " values");
}

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", v);
  return text;
}

// Draws in nominal pixels.
class Drawing {
 public:
  Drawing(double width, double height, double scale) : scale_(scale), canvas_(px(width), px(height)) {}

  void box(double x, double y, double w, double h, Color c) {
    // Edges are rounded, not sizes, so that neighbours neither overlap nor gape.
    canvas_.fill(px(x), px(y), std::max<int64_t>(1, px(x + w) - px(x)),
                 std::max<int64_t>(1, px(y + h) - px(y)), c);
  }
  void text(TextPainter& painter, double x, double y, const std::string& t, double size, Color c,
            double turn = 0) {
    painter.draw(canvas_, x * scale_, y * scale_, t, size * scale_, c, turn);
  }
  void cells(const Matrix& m, const Range& range, double x, double y, double cell) {
    for (int64_t r = 0; r < m.rows; ++r)
      for (int64_t c = 0; c < m.columns; ++c) {
        const float v = m.values[static_cast<size_t>(r * m.columns + c)];
        box(x + static_cast<double>(c) * cell, y + static_cast<double>(r) * cell, cell, cell,
            std::isnan(v) ? kMissing : heat_color(range.fraction(v)));
      }
  }
  void color_bar(TextPainter& painter, const Range& range, double x, double y, double height) {
    const int steps = std::max(2, static_cast<int>(height * scale_));
    for (int i = 0; i < steps; ++i)
      box(x, y + height * i / steps, kBarWidth, height / steps, heat_color(1 - (i + 0.5) / steps));
    const int ticks = height >= 120 ? 4 : 1;
    for (int i = 0; i <= ticks; ++i) {
      const double at = y + height * (1 - static_cast<double>(i) / ticks);
      box(x + kBarWidth, at - 0.5, 4, 1, kFaint);
      const double size = range.high - range.low, value = range.low + size * i / ticks;
      text(painter, x + kBarWidth + 8, at + kTickSize * 0.36,
           number(std::abs(value) < size * 1e-3 ? 0 : value), kTickSize, kFaint);
    }
  }
  void save(const std::string& path) const { write_file(path, canvas_.png()); }

 private:
  int64_t px(double v) const { return std::llround(v * scale_); }
  double scale_;
  Canvas canvas_;
};

double automatic_cell(int64_t rows, int64_t columns) {
  return std::clamp(640.0 / static_cast<double>(std::max(rows, columns)), 1.0, 36.0);
}

// Labels cut to fit, their font size, and which of them are drawn when cells are smaller than text.
struct Labels {
  std::vector<std::string> text;
  double size = kLabelSize;
  double longest = 0;
  int64_t every = 1;
};

Labels fit_labels(TextPainter& painter, const std::vector<std::string>& labels, double cell) {
  Labels out;
  out.size = std::clamp(cell * 0.8, 8.0, kLabelSize);
  out.every = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(out.size * 1.15 / cell)));
  for (size_t i = 0; i < labels.size(); ++i) {
    const bool drawn = static_cast<int64_t>(i) % out.every == 0;
    out.text.push_back(drawn ? painter.fit(labels[i], out.size, kLongestLabel) : "");
    out.longest = std::max(out.longest, painter.measure(out.text.back(), out.size));
  }
  return out;
}

void draw_cell_values(Drawing& drawing, TextPainter& painter, const Matrix& m, const Range& range, double x,
                      double y, double cell) {
  for (int64_t i = 0; i < m.rows * m.columns; ++i) {
    const float v = m.values[static_cast<size_t>(i)];
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", v);
    // Left out: the zero before the point, values that would not fit, and those near zero, which say nothing.
    const std::string shown = text[0] == '0' ? text + 1 : text;
    const double size = 11, length = painter.measure(shown, size);
    if (!std::isfinite(v) || length > cell - 4 || std::abs(v) < 0.03 * (range.high - range.low)) continue;
    drawing.text(painter, x + (static_cast<double>(i % m.columns) + 0.5) * cell - length / 2,
                 y + (static_cast<double>(i / m.columns) + 0.5) * cell + size * 0.36, shown, size,
                 range.fraction(v) > 0.6 ? kInk : Color{255, 255, 255});
  }
}

}  // namespace

Color heat_color(double fraction) {
  // The colour map viridis at nine places; between them straight lines are close enough to it.
  static constexpr Color points[] = {{68, 1, 84},    {71, 44, 122},  {59, 81, 139},
                                     {44, 113, 142}, {33, 144, 141}, {39, 173, 129},
                                     {92, 200, 99},  {170, 220, 50}, {253, 231, 37}};
  constexpr int last = 8;
  const double at = std::clamp(std::isnan(fraction) ? 0.0 : fraction, 0.0, 1.0) * last;
  const int i = std::min(last - 1, static_cast<int>(at));
  const double t = at - i;
  auto mix = [t](uint8_t a, uint8_t b) { return static_cast<uint8_t>(std::lround(a + (b - a) * t)); };
  return {mix(points[i].r, points[i + 1].r), mix(points[i].g, points[i + 1].g),
          mix(points[i].b, points[i + 1].b)};
}

void write_heatmap_png(const std::string& path, const Matrix& m, const std::vector<std::string>& row_labels,
                       const std::vector<std::string>& column_labels, const std::string& title,
                       const HeatmapOptions& options) {
  check_matrix(m);
  check_options(options);
  auto check_labels = [](const char* which, size_t have, int64_t want) {
    if (have != 0 && static_cast<int64_t>(have) != want)
      invalid("a heat map with " + std::to_string(want) + " " + which + "s is given " + std::to_string(have) +
              " " + which + " labels");
  };
  check_labels("row", row_labels.size(), m.rows);
  check_labels("column", column_labels.size(), m.columns);
  const Range range = range_of(m.values, options);

  TextPainter painter;
  const double cell =
      options.cell > 0 ? static_cast<double>(options.cell) : automatic_cell(m.rows, m.columns);
  const Labels rows = fit_labels(painter, row_labels, cell),
               columns = fit_labels(painter, column_labels, cell);
  const double turn = kColumnTurn * std::acos(-1.0) / 180;
  const double row_title_room = options.row_title.empty() ? 0 : kAxisSize + 12;
  const double column_title_room = options.column_title.empty() ? 0 : kAxisSize + 10;
  const double subtitle_room = options.subtitle.empty() ? 0 : kAxisSize + 8;
  const double title_room = (title.empty() ? 0 : kTitleSize + 16) + subtitle_room;
  const double left = kMargin + row_title_room + rows.longest + (rows.longest > 0 ? 8 : 0);
  const double top = kMargin + title_room + column_title_room + columns.longest * std::sin(turn) +
                     (columns.longest > 0 ? columns.size * 0.6 + 8 : 0);
  const double width = cell * static_cast<double>(m.columns), height = cell * static_cast<double>(m.rows);
  // The last column's label leans out over the right edge.
  double lean = 0;
  for (size_t i = 0; i < columns.text.size(); ++i)
    lean = std::max(lean, (static_cast<double>(i) + 0.5) * cell +
                              painter.measure(columns.text[i], columns.size) * std::cos(turn) + 8 - width);
  const double bar_height = std::max(height, 60.0);
  const double right = std::max(kBarGap + kBarWidth + kTickRoom, lean) + kMargin;
  const double picture_width = std::max(left + width + right, title_room > 0 ? 320.0 : 0.0);

  Drawing drawing(picture_width, top + bar_height + kMargin, options.scale);
  if (!title.empty())
    drawing.text(painter, kMargin, kMargin + kTitleSize * 0.8,
                 painter.fit(title, kTitleSize, picture_width - 2 * kMargin), kTitleSize, kInk);
  if (!options.subtitle.empty())
    drawing.text(painter, kMargin, kMargin + title_room - 16 + kAxisSize * 0.2,
                 painter.fit(options.subtitle, kAxisSize, picture_width - 2 * kMargin), kAxisSize, kFaint);
  if (!options.column_title.empty()) {
    const std::string text = painter.fit(options.column_title, kAxisSize, std::max(width, 60.0));
    drawing.text(painter, left + (width - painter.measure(text, kAxisSize)) / 2,
                 kMargin + title_room + kAxisSize * 0.8, text, kAxisSize, kFaint);
  }
  if (!options.row_title.empty()) {
    const std::string text = painter.fit(options.row_title, kAxisSize, std::max(height, 60.0));
    drawing.text(painter, kMargin + kAxisSize * 0.8, top + (height + painter.measure(text, kAxisSize)) / 2,
                 text, kAxisSize, kFaint, 90);
  }
  for (size_t i = 0; i < rows.text.size(); ++i)
    drawing.text(painter, left - 8 - painter.measure(rows.text[i], rows.size),
                 top + (static_cast<double>(i) + 0.5) * cell + rows.size * 0.36, rows.text[i], rows.size,
                 kInk);
  for (size_t i = 0; i < columns.text.size(); ++i)
    drawing.text(painter, left + (static_cast<double>(i) + 0.5) * cell + columns.size * 0.3, top - 8,
                 columns.text[i], columns.size, kInk, kColumnTurn);
  drawing.cells(m, range, left, top, cell);
  if (cell >= 30) draw_cell_values(drawing, painter, m, range, left, top, cell);
  drawing.color_bar(painter, range, left + width + kBarGap, top, bar_height);
  drawing.save(path);
}

void write_attention_png(const std::string& path, const AttentionMap& map, int64_t layer, int64_t head,
                         const HeatmapOptions& options) {
  const std::vector<float> weights = attention_weights(map, layer, head);
  HeatmapOptions o = options;
  if (o.row_title.empty()) o.row_title = "target";
  if (o.column_title.empty()) o.column_title = "source";
  if (o.subtitle.empty() && map.layers * map.heads > 1) {
    o.subtitle = layer < 0 ? "average of layers" : "layer " + std::to_string(layer + 1);
    o.subtitle += head < 0 ? ", average of heads" : ", head " + std::to_string(head + 1);
  }
  write_heatmap_png(
      path, {static_cast<int64_t>(map.target.size()), static_cast<int64_t>(map.source.size()), weights},
      map.target, map.source, map.title, o);
}

void write_attention_grid_png(const std::string& path, const AttentionMap& map,
                              const HeatmapOptions& options) {
  validate(map);
  check_options(options);
  const int64_t rows = static_cast<int64_t>(map.target.size()),
                columns = static_cast<int64_t>(map.source.size());
  const size_t size = static_cast<size_t>(rows * columns);
  check_matrix({rows, columns, std::span(map.weights).first(size)});
  const Range range = range_of(map.weights, options);
  const double cell = options.cell > 0
                          ? static_cast<double>(options.cell)
                          : std::clamp(130.0 / static_cast<double>(std::max(rows, columns)), 0.5, 12.0);
  constexpr double gap = 12, head_room = 24, layer_room = 64;
  const double width = cell * static_cast<double>(columns), height = cell * static_cast<double>(rows);
  const double top = kMargin + (map.title.empty() ? 0 : kTitleSize + 16) + head_room,
               left = kMargin + layer_room;
  const double all_width = (width + gap) * static_cast<double>(map.heads) - gap;
  const double all_height = (height + gap) * static_cast<double>(map.layers) - gap;

  TextPainter painter;
  const double picture_width = std::max(left + all_width + kBarGap + kBarWidth + kTickRoom + kMargin, 320.0);
  Drawing drawing(picture_width, top + std::max(all_height, 60.0) + kMargin, options.scale);
  drawing.text(painter, kMargin, kMargin + kTitleSize * 0.8,
               painter.fit(map.title, kTitleSize, picture_width - 2 * kMargin), kTitleSize, kInk);
  for (int64_t h = 0; h < map.heads; ++h) {
    const std::string text =
        painter.fit((width >= 50 ? "head " : "") + std::to_string(h + 1), kAxisSize, width + gap);
    drawing.text(
        painter,
        left + (width + gap) * static_cast<double>(h) + (width - painter.measure(text, kAxisSize)) / 2,
        top - 8, text, kAxisSize, kFaint);
  }
  for (int64_t l = 0; l < map.layers; ++l) {
    const double y = top + (height + gap) * static_cast<double>(l);
    const std::string text = "layer " + std::to_string(l + 1);
    drawing.text(painter, left - 10 - painter.measure(text, kAxisSize), y + height / 2 + kAxisSize * 0.36,
                 text, kAxisSize, kFaint);
    for (int64_t h = 0; h < map.heads; ++h)
      drawing.cells({rows, columns,
                     std::span(map.weights).subspan(static_cast<size_t>(l * map.heads + h) * size, size)},
                    range, left + (width + gap) * static_cast<double>(h), y, cell);
  }
  drawing.color_bar(painter, range, left + all_width + kBarGap, top, std::max(all_height, 60.0));
  drawing.save(path);
}

}  // namespace fovea::tools
