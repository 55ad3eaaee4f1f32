// Basic indexing as in NumPy: x[{all, newaxis, 3, range(1, -1)}]
#pragma once

#include <concepts>
#include <optional>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// In an index: the whole axis. Called as a function: the reduction over bools (ops/composite/all).
struct All {
  /// True where all elements over `axes` (all axes where empty) are true; true for no elements.
  Tensor operator()(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false) const;
};
inline constexpr All all{};

/// In an index: a new axis of size 1.
struct NewAxis {};
inline constexpr NewAxis newaxis{};

/// In an index: as many whole axes as are left. At most once.
struct Ellipsis {};
inline constexpr Ellipsis ellipsis{};

/// One entry of an index: takes one axis of the operand (newaxis none, ellipsis any number).
struct Index {
  enum class Kind : uint8_t { all, newaxis, ellipsis, at, range };
  Kind kind;
  std::optional<Dim> start,
      stop;  ///< at: start; range: where it begins and ends, or nothing for the end of the axis
  int64_t step = 1;
  Source source;

  Index(All, Source s = Source::here()) : kind(Kind::all), source(s) {}          // NOLINT: read best implicit
  Index(NewAxis, Source s = Source::here()) : kind(Kind::newaxis), source(s) {}  // NOLINT
  Index(Ellipsis, Source s = Source::here()) : kind(Kind::ellipsis), source(s) {}  // NOLINT
  /// One element; the axis is left out of the result. Negative numbers count from the end.
  template <std::integral T>
  Index(T at, Source s = Source::here())
      : kind(Kind::at), start(Dim(static_cast<int64_t>(at))), source(s) {}                       // NOLINT
  Index(Dim at, Source s = Source::here()) : kind(Kind::at), start(std::move(at)), source(s) {}  // NOLINT
  Index(std::optional<Dim> from, std::optional<Dim> to, int64_t by, Source s)
      : kind(Kind::range), start(std::move(from)), stop(std::move(to)), step(by), source(s) {}
};

/// Elements start, start + step, ... before stop, with Python's rules; std::nullopt for an open end.
inline Index range(std::optional<Dim> start, std::optional<Dim> stop = std::nullopt, int64_t step = 1,
                   Source source = Source::here()) {
  return Index(std::move(start), std::move(stop), step, source);
}

}  // namespace fovea
