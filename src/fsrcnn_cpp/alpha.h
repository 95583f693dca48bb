// Colour under alpha 0, which nobody sees until a filter carries it over an edge.
#pragma once

#include <vector>

#include "pixel_io.h"

namespace fsrcnn {

/// Replaces the colour of pixels of alpha 0: by visible colour within `reach` pixels of it, by 0 beyond. Step by step,
/// each hidden pixel with visible ones among its eight neighbours takes their mean, rounded half up, and counts as
/// visible from then on.
///
/// `image`: checked, of 8 or 16 bits. Gives it as it is where it has no alpha, or where no or all alpha is 0; else a
/// view of `copy`, which is overwritten.
ImageView extend_colour(const ImageView& image, int reach, std::vector<unsigned char>& copy);

}  // namespace fsrcnn
