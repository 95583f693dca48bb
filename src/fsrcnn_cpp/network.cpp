#include "network.h"

#include <algorithm>

#include "common.h"
#include "pixel_io.h"

namespace fsrcnn {

PackedNetwork::PackedNetwork(const Model& model, const KernelTable& table, Algorithm algorithm)
    : kernels(table), padding(model.padding) {
  validate(model);
  for (const ConvLayer& layer : model.layers) layers.push_back(pack(layer, table, algorithm));
  for (const Head& head : model.heads) heads.push_back(pack(head, table, algorithm));

  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool narrows = i + 1 < layers.size() && layers[i + 1].kernel == 1 && layers[i + 1].oc < layers[i].oc;
    stages.push_back({&layers[i], narrows ? &layers[i + 1] : nullptr});
    i += narrows;
  }

  int reach = 0;  // of all heads, so that the bits of one do not depend on which others run with it
  for (const PackedHead& head : heads) reach = std::max(reach, head.reach());
  extents.assign(stages.size() + 1, {reach, reach, 0, 0});
  for (std::size_t i = stages.size(); i-- > 0;) {
    Extent& out = extents[i + 1];
    const int radius = stages[i].conv->kernel / 2;
    if (stages[i].conv->in_blocks()) {
      // What whole blocks cover beyond what is read goes to the side that reaches less far: a sample that is not finite
      // spoils every tile it is in, and the tiles that read those, so this bounds how far it is seen.
      const int needed = out.before + out.after;
      const int more = static_cast<int>(round_up(needed, kWinogradTile)) - needed;
      out.late = out.after < out.before ? more : 0;
      out.before += more - out.late;
      out.after += out.late;
      out.anchor = out.after % kWinogradTile;
    }
    extents[i] = {out.before + radius, out.after + radius, 0, 0};
  }
  // What follows the network reads the luma too.
  extents[0].before = std::max(extents[0].before, kBicubicReach);
  extents[0].after = std::max(extents[0].after, kBicubicReach);
}

const PackedHead* PackedNetwork::head(int scale) const {
  for (const PackedHead& candidate : heads) {
    if (candidate.stride == scale) return &candidate;
  }
  return nullptr;
}

}  // namespace fsrcnn
