// Heat maps as PNG files.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frontends/tools/view/attention_map.h"
#include "frontends/tools/view/text.h"

namespace fovea::tools {

/// A matrix [rows, columns] to be drawn; row 0 is on top. NaN cells are grey.
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::span<const float> values;
};

struct HeatmapOptions {
  double low = NAN;   ///< the value of the darkest colour; NaN: 0, or the least value where one is below 0
  double high = NAN;  ///< the value of the brightest colour; NaN: the greatest value
  int64_t cell = 0;   ///< pixels of a cell's side before scaling; 0: by the number of cells
  double scale = 2;   ///< pixels for each nominal one, 0.5 to 4
  std::string subtitle = {};      ///< a fainter line below the title
  std::string row_title = {};     ///< along the rows: "target"
  std::string column_title = {};  ///< along the columns: "source"
};

/// The colour of a fraction in [0, 1]: dark violet over blue and green to yellow, evenly growing brighter.
Color heat_color(double fraction);

/// Writes a picture of `matrix` with a label for each row (left) and column (above), a title and a colour
/// scale. Labels may be empty lists. At most 8192 rows and columns.
void write_heatmap_png(const std::string& path, const Matrix& matrix,
                       const std::vector<std::string>& row_labels,
                       const std::vector<std::string>& column_labels, const std::string& title,
                       const HeatmapOptions& options = {});

/// One head's weights with the tokens; -1 for the average over layers or heads.
void write_attention_png(const std::string& path, const AttentionMap& map, int64_t layer = -1,
                         int64_t head = -1, const HeatmapOptions& options = {});

/// All heads as small panels: a row for each layer, a column for each head, one colour scale.
void write_attention_grid_png(const std::string& path, const AttentionMap& map,
                              const HeatmapOptions& options = {});

}  // namespace fovea::tools
