// What has changed from one frame of a video to the next, so that only that is computed.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "pixel_io.h"
#include "ring.h"

namespace fsrcnn {

/// Parts of `src` that hold every sample whose surroundings, up to `reach` samples away, are not to the bit those of
/// `before`; none where nothing has changed. Both are planes of one size and type (std::invalid_argument). A part
/// begins at multiples of kBlock and ends there or at the edge. Parts may overlap.
std::vector<Tile> changed_parts(const ImageView& src, const ImageView& before, std::ptrdiff_t reach);

/// Copies `before` to `dst` wherever no part lies, and tells how many samples that are. Both are planes of one size and
/// type (std::invalid_argument).
std::ptrdiff_t copy_all_but(std::span<const Tile> parts, const ImageView& before, const MutableImageView& dst);

}  // namespace fsrcnn
