// Text in pictures: whatever fonts the machine has, drawn into a canvas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::tools {

struct Color {
  uint8_t r = 0, g = 0, b = 0;
};

/// A picture in memory, RGB, white at first.
class Canvas {
 public:
  /// InvalidArgument for an empty size, or one of more than 2^28 pixels.
  Canvas(int64_t width, int64_t height, Color background = {255, 255, 255});

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  const std::vector<uint8_t>& pixels() const { return pixels_; }

  /// Fills a rectangle; what lies outside of the picture is left out.
  void fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color);
  /// Lays `color` over one pixel with `alpha` of 255 parts.
  void blend(int64_t x, int64_t y, Color color, uint8_t alpha);

  /// The picture as a PNG file's bytes.
  std::string png() const;

 private:
  int64_t width_, height_;
  std::vector<uint8_t> pixels_;
};

/// Draws text of any script that some installed font covers, character by character (no joining of letters).
class TextPainter {
 public:
  /// Unsupported when the machine has no scalable font.
  TextPainter();
  ~TextPainter();
  TextPainter(const TextPainter&) = delete;

  /// Length in pixels of `text` at a font size in pixels.
  double measure(std::string_view text, double size);
  /// Draws from the base line's start (x, y), turned counter-clockwise by `degrees`.
  void draw(Canvas& canvas, double x, double y, std::string_view text, double size, Color color,
            double degrees = 0);
  /// `text`, or its beginning and "…" so that it is at most `length` pixels long.
  std::string fit(std::string_view text, double size, double length);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::tools
