#include "frontends/tools/view/text.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <png.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/base/utf8.h"

namespace fovea::tools {

Canvas::Canvas(int64_t width, int64_t height, Color background) : width_(width), height_(height) {
  if (width < 1 || height < 1 || checked_mul(width, height, "the size of a picture") > (int64_t{1} << 28))
    invalid("a picture of " + std::to_string(width) + " x " + std::to_string(height) +
            " pixels; at most 2^28 are drawn");
  pixels_.resize(static_cast<size_t>(width * height * 3));
  fill(0, 0, width, height, background);
}

void Canvas::fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color) {
  const int64_t right = std::min(width_, x + width), bottom = std::min(height_, y + height);
  x = std::max<int64_t>(0, x);
  for (int64_t row = std::max<int64_t>(0, y); row < bottom; ++row) {
    uint8_t* at = &pixels_[static_cast<size_t>((row * width_ + x) * 3)];
    for (int64_t column = x; column < right; ++column, at += 3) {
      at[0] = color.r;
      at[1] = color.g;
      at[2] = color.b;
    }
  }
}

void Canvas::blend(int64_t x, int64_t y, Color color, uint8_t alpha) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) return;
  uint8_t* at = &pixels_[static_cast<size_t>((y * width_ + x) * 3)];
  const uint8_t over[3] = {color.r, color.g, color.b};
  for (int i = 0; i < 3; ++i)
    at[i] = static_cast<uint8_t>((over[i] * alpha + at[i] * (255 - alpha) + 127) / 255);
}

std::string Canvas::png() const {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width_);
  image.height = static_cast<png_uint_32>(height_);
  image.format = PNG_FORMAT_RGB;
  auto check = [&](int ok) {
    if (!ok)
      fail(ErrorKind::InvalidArgument, "cannot encode a picture as PNG: " + std::string(image.message));
  };
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string out(bytes, '\0');
  check(png_image_write_to_memory(&image, out.data(), &bytes, 0, pixels_.data(), 0, nullptr));
  out.resize(bytes);
  return out;
}

// The machine's fonts, best first; each is opened when a character needs it.
struct TextPainter::Impl {
  struct Font {
    FcPattern* pattern = nullptr;
    FT_Face face = nullptr;
    bool tried = false;
  };

  FT_Library library = nullptr;
  FcFontSet* set = nullptr;
  std::vector<Font> fonts;
  std::unordered_map<char32_t, FT_Face> face_of;

  Impl() {
    if (!FcInit() || FT_Init_FreeType(&library) != 0)
      fail(ErrorKind::Unsupported, "the text libraries do not start");
    FcPattern* wanted = FcNameParse(reinterpret_cast<const FcChar8*>("sans-serif:scalable=true"));
    FcConfigSubstitute(nullptr, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcResult result;
    set = FcFontSort(nullptr, wanted, FcTrue, nullptr, &result);
    FcPatternDestroy(wanted);
    for (int i = 0; set && i < set->nfont; ++i) fonts.push_back({set->fonts[i]});
  }
  ~Impl() {
    for (Font& f : fonts)
      if (f.face) FT_Done_Face(f.face);
    if (set) FcFontSetDestroy(set);
    if (library) FT_Done_FreeType(library);
  }

  FT_Face open(Font& f) {
    if (f.tried) return f.face;
    f.tried = true;
    FcChar8* file = nullptr;
    int index = 0;
    FcBool scalable = FcTrue;
    FcPatternGetBool(f.pattern, FC_SCALABLE, 0, &scalable);
    FcPatternGetInteger(f.pattern, FC_INDEX, 0, &index);
    if (!scalable || FcPatternGetString(f.pattern, FC_FILE, 0, &file) != FcResultMatch) return nullptr;
    // The upper half of the index names an instance of a variable font, as FreeType has it too.
    if (FT_New_Face(library, reinterpret_cast<const char*>(file), index, &f.face) != 0) f.face = nullptr;
    return f.face;
  }

  // The first font that has the character; the best font, with its sign for a missing one, when none does.
  FT_Face find(char32_t c) {
    const auto known = face_of.find(c);
    if (known != face_of.end()) return known->second;
    FT_Face found = nullptr, first = nullptr;
    for (Font& f : fonts) {
      FcCharSet* covered = nullptr;
      FcPatternGetCharSet(f.pattern, FC_CHARSET, 0, &covered);
      if (first && covered && !FcCharSetHasChar(covered, c)) continue;
      FT_Face face = open(f);
      if (!first) first = face;
      if (face && FT_Get_Char_Index(face, c) != 0) {
        found = face;
        break;
      }
    }
    return face_of[c] = found ? found : first;
  }
};

TextPainter::TextPainter() : impl_(std::make_unique<Impl>()) {
  if (!impl_->find(U'A'))
    fail(ErrorKind::Unsupported,
         "no font to draw labels with is installed here; install one, for example the package "
         "fonts-dejavu-core");
}
TextPainter::~TextPainter() = default;

double TextPainter::measure(std::string_view text, double size) {
  double length = 0;
  while (!text.empty()) {
    const char32_t c = next_code_point(text);
    FT_Face face = impl_->find(c);
    FT_Set_Transform(face, nullptr, nullptr);
    FT_Set_Char_Size(face, 0, std::lround(size * 64), 72, 72);
    if (FT_Load_Char(face, c, FT_LOAD_NO_HINTING) == 0)
      length += static_cast<double>(face->glyph->advance.x) / 64;
  }
  return length;
}

void TextPainter::draw(Canvas& canvas, double x, double y, std::string_view text, double size, Color color,
                       double degrees) {
  const double turn = degrees * std::acos(-1.0) / 180;
  const FT_Fixed cosine = std::lround(std::cos(turn) * 65536), sine = std::lround(std::sin(turn) * 65536);
  FT_Matrix matrix = {cosine, -sine, sine, cosine};
  // In 64ths of a pixel; FreeType's y points up.
  FT_Vector pen = {std::lround(x * 64), std::lround((static_cast<double>(canvas.height()) - y) * 64)};
  while (!text.empty()) {
    const char32_t c = next_code_point(text);
    FT_Face face = impl_->find(c);
    FT_Set_Char_Size(face, 0, std::lround(size * 64), 72, 72);
    FT_Set_Transform(face, &matrix, &pen);
    if (FT_Load_Char(face, c, FT_LOAD_RENDER | FT_LOAD_NO_HINTING) != 0) continue;
    const FT_GlyphSlot glyph = face->glyph;
    const FT_Bitmap& bitmap = glyph->bitmap;
    if (bitmap.pixel_mode == FT_PIXEL_MODE_GRAY)
      for (unsigned row = 0; row < bitmap.rows; ++row)
        for (unsigned column = 0; column < bitmap.width; ++column)
          canvas.blend(glyph->bitmap_left + static_cast<int64_t>(column),
                       canvas.height() - glyph->bitmap_top + static_cast<int64_t>(row), color,
                       bitmap.buffer[static_cast<int64_t>(row) * bitmap.pitch + column]);
    pen.x += glyph->advance.x;
    pen.y += glyph->advance.y;
  }
}

std::string TextPainter::fit(std::string_view text, double size, double length) {
  const std::string clean = printable_line(text);
  if (measure(clean, size) <= length) return clean;
  constexpr const char* kEllipsis = "…";
  double room = length - measure(kEllipsis, size);
  std::string_view rest = clean;
  while (!rest.empty()) {
    std::string_view after = rest;
    next_code_point(after);
    room -= measure(rest.substr(0, rest.size() - after.size()), size);
    if (room < 0) break;
    rest = after;
  }
  return clean.substr(0, clean.size() - rest.size()) + kEllipsis;
}

}  // namespace fovea::tools
