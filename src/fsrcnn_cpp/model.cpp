#include "model.h"

#include <cstddef>
#include <stdexcept>
#include <string>

#include "kernels/kernels.h"

namespace fsrcnn {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace

void validate(const Model& model) {
  require(!model.layers.empty(), "layers is empty");
  require(!model.heads.empty(), "heads is empty");
  int channels = 1;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const ConvLayer& layer = model.layers[i];
    const std::string name = "layers[" + std::to_string(i) + "]";
    require(layer.ic == channels,
            name + " takes " + std::to_string(layer.ic) + " channels, but gets " + std::to_string(channels));
    require(layer.oc > 0, name + " has no output channel");
    require(layer.kernel > 0 && layer.kernel % 2 == 1 && layer.kernel <= kMaxKernel,
            name + " kernel=" + std::to_string(layer.kernel) + " is not odd and at most " + std::to_string(kMaxKernel));
    const std::size_t oc = static_cast<std::size_t>(layer.oc);
    require(layer.groups > 0 && layer.ic % layer.groups == 0 && layer.oc % layer.groups == 0,
            name + " groups=" + std::to_string(layer.groups) + " do not divide its channels");
    const std::size_t taps = static_cast<std::size_t>(layer.ic / layer.groups) * layer.kernel * layer.kernel;
    require(layer.weight.size() == oc * taps && layer.bias.size() == oc && layer.slope.size() == oc,
            name + " weight, bias and slope disagree about the output channels");
    channels = layer.oc;
  }
  int previous_stride = 0;
  for (const Head& head : model.heads) {
    const std::string name = "heads[" + std::to_string(head.stride) + "]";
    require(head.stride >= 2 && head.stride <= kMaxStride, name + ": stride is not 2, 3 or 4");
    require(head.stride > previous_stride, name + ": strides do not ascend");
    require(head.ic == channels,
            name + " takes " + std::to_string(head.ic) + " channels, but gets " + std::to_string(channels));
    require(head.kernel > 0 && head.kernel % 2 == 1 && head.kernel <= kMaxKernel,
            name + " kernel=" + std::to_string(head.kernel) + " is not odd and at most " + std::to_string(kMaxKernel));
    require(head.weight.size() == static_cast<std::size_t>(head.ic) * head.kernel * head.kernel,
            name + " weight is not (ic, 1, kernel, kernel)");
    require(head.output_padding > -head.stride && head.output_padding < head.stride && head.pad >= 0 &&
                head.kernel - 2 * head.pad + head.output_padding == head.stride,
            name + " pad=" + std::to_string(head.pad) + ", output_padding=" + std::to_string(head.output_padding) +
                " does not give exactly stride times the input");
    require(head.border >= Head::kFullBorder, name + " border=" + std::to_string(head.border) + " is negative");
    previous_stride = head.stride;
  }
}

}  // namespace fsrcnn
