// What has changed from one frame of a video to the next, so that only that is computed.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "pixel_io.h"
#include "ring.h"

namespace fsrcnn {

/// Codecs skip blocks of so many samples a side.
inline constexpr std::ptrdiff_t kCell = 16;

/// Parts of `src` that hold every sample whose surroundings, up to `reach` samples away, are not to the bit those of
/// `before`; none where nothing has changed. Both are planes of one size and type (std::invalid_argument). A part
/// begins at multiples of kCell and ends there or at the edge. Parts may overlap.
std::vector<Tile> changed_parts(const ImageView& src, const ImageView& before, std::ptrdiff_t reach);

/// Copies `before` to `dst` wherever no part lies. Both are planes of one size and type (std::invalid_argument).
void copy_all_but(std::span<const Tile> parts, const ImageView& before, const MutableImageView& dst);

}  // namespace fsrcnn
