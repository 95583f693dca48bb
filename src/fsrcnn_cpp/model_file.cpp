#include "model_file.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "json.h"
#include "kernels/kernels.h"

namespace fsrcnn {
namespace {

// The limits of the Python package. More is refused before anything is computed or stored.
constexpr std::uint64_t kMaxHeader = std::uint64_t{1} << 23;
constexpr std::size_t kMaxMetadata = std::size_t{1} << 20;
constexpr std::size_t kMaxNodes = 256, kMaxName = 256;
constexpr int kMaxChannels = 1024, kMaxNodeKernel = 9;
constexpr std::size_t kMaxWeights = std::size_t{1} << 23;
constexpr int kVersion1First = 5, kVersion1Mapping = 3, kVersion1Head = 9;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void require(bool condition, const std::string& message) {
  if (!condition) refuse(message);
}

/// A text of a file in a message: its beginning, in one line.
std::string brief(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, 60)) shown += c < 0x20 || c == 0x7f ? '?' : c;
  return shown + (text.size() > 60 ? "...'" : "'");
}

const Json& parsed(std::string_view text, Json::Kind kind, const std::string& what, Json& json) {
  try {
    json = Json::parse(text);
  } catch (const std::invalid_argument& error) {
    refuse(what + " " + error.what());
  }
  require(json.is(kind), what + " is not a JSON " + (kind == Json::Kind::list ? "list" : "object"));
  return json;
}

// ---- safetensors ----------------------------------------------------------------------------------------------------

using Shape = std::vector<int>;

struct Tensor {
  std::string dtype;
  Shape shape;
  std::span<const unsigned char> bytes;
};

struct File {
  std::map<std::string, std::string> metadata;
  std::map<std::string, Tensor> tensors;
};

std::string describe(const Shape& shape) {
  std::string text = "(";
  for (const int side : shape) text += std::to_string(side) + ",";
  return text + ")";
}

/// Numbers from 0 on; `least` of them at most kMaxWeights.
std::vector<long long> naturals(const Json* json, const std::string& what) {
  require(json && json->is(Json::Kind::list), what + " is not a list");
  std::vector<long long> values;
  for (const Json& item : json->items) {
    require(item.is(Json::Kind::integer) && item.integer >= 0, what + " is not of whole numbers of at least 0");
    values.push_back(item.integer);
  }
  return values;
}

Tensor read_tensor(const std::string& name, const Json& json, std::span<const unsigned char> data) {
  const std::string what = "tensor " + brief(name);
  const Json* const dtype = json.find("dtype");
  require(json.is(Json::Kind::object) && json.members.size() == 3 && dtype && dtype->is(Json::Kind::string),
          what + " does not have exactly the keys dtype, shape and data_offsets");
  Tensor tensor{dtype->string, {}, {}};
  require(tensor.dtype == "F32", what + " has dtype " + brief(tensor.dtype) + ", not F32");
  std::uint64_t count = 1;
  for (const long long side : naturals(json.find("shape"), what + ": shape")) {
    require(side > 0 && side <= static_cast<long long>(kMaxWeights) && tensor.shape.size() < 4,
            what + ": its shape is not of up to four sides of 1 and more");
    tensor.shape.push_back(static_cast<int>(side));
    count *= static_cast<std::uint64_t>(side);
    require(count <= kMaxWeights, what + " has more than " + std::to_string(kMaxWeights) + " numbers");
  }
  const std::vector<long long> offsets = naturals(json.find("data_offsets"), what + ": data_offsets");
  require(offsets.size() == 2 && offsets[0] <= offsets[1] && static_cast<std::uint64_t>(offsets[1]) <= data.size() &&
              static_cast<std::uint64_t>(offsets[1] - offsets[0]) == 4 * count,
          what + ": data_offsets do not lie in the file, or are not of its shape");
  tensor.bytes = data.subspan(static_cast<std::size_t>(offsets[0]), static_cast<std::size_t>(4 * count));
  return tensor;
}

File read_file(const unsigned char* bytes, std::size_t size) {
  std::uint64_t length = 0;
  require(size >= 8, "is not a safetensors file: it has " + std::to_string(size) + " bytes");
  for (int i = 8; i-- > 0;) length = length << 8 | bytes[i];
  require(length <= kMaxHeader,
          "has a header of " + std::to_string(length) + " bytes, more than " + std::to_string(kMaxHeader));
  require(length <= size - 8 && length > 0 && bytes[8] == '{',
          "is not a safetensors file, or a damaged one: it has no header");
  const std::span<const unsigned char> data(bytes + 8 + length, size - 8 - static_cast<std::size_t>(length));
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 8, static_cast<std::size_t>(length));
  Json header;
  parsed(text, Json::Kind::object, "header", header);
  File file;
  for (const auto& [name, value] : header.members) {
    if (name != "__metadata__") {
      file.tensors.emplace(name, read_tensor(name, value, data));
      continue;
    }
    require(value.is(Json::Kind::object), "metadata is not an object");
    for (const auto& [key, entry] : value.members) {
      require(entry.is(Json::Kind::string), "metadata " + brief(key) + " is not a string");
      file.metadata.emplace(key, entry.string);
    }
  }
  // The tensors fill the file: without holes, and none over another.
  std::vector<std::span<const unsigned char>> parts;
  for (const auto& [name, tensor] : file.tensors) parts.push_back(tensor.bytes);
  std::sort(parts.begin(), parts.end(), [](const auto& one, const auto& other) { return one.data() < other.data(); });
  const unsigned char* end = data.data();
  for (const auto& part : parts) {
    require(part.data() == end, "is a damaged safetensors file: its tensors do not follow each other");
    end += part.size();
  }
  require(end == data.data() + data.size(), "is a damaged safetensors file: more follows its tensors");
  return file;
}

// ---- the network ----------------------------------------------------------------------------------------------------

void require_keys(const std::string& what, const std::set<std::string_view>& found,
                  const std::set<std::string_view>& expected) {
  for (const std::string_view key : expected) require(found.contains(key), what + " " + brief(key) + " is missing");
  for (const std::string_view key : found) require(expected.contains(key), what + " " + brief(key) + " is unknown");
}

template <typename Map>
std::set<std::string_view> keys_of(const Map& map) {
  std::set<std::string_view> keys;
  for (const auto& [key, value] : map) keys.insert(key);
  return keys;
}

/// An object that has exactly these keys.
class Entry {
 public:
  Entry(std::string what, const Json& json, const std::set<std::string_view>& keys)
      : what_(std::move(what)), json_(json) {
    require(json.is(Json::Kind::object), what_ + " is not an object");
    require_keys(what_ + ":", keys_of(json.members), keys);
  }

  const Json& at(std::string_view key) const { return *json_.find(key); }
  int integer(std::string_view key, int least, int most) const {
    const Json& value = at(key);
    require(value.is(Json::Kind::integer) && value.integer >= least && value.integer <= most,
            name(key) + " is not a whole number of " + std::to_string(least) + " to " + std::to_string(most));
    return static_cast<int>(value.integer);
  }
  bool boolean(std::string_view key) const {
    require(at(key).is(Json::Kind::boolean), name(key) + " is neither true nor false");
    return at(key).boolean;
  }
  const std::string& string(std::string_view key) const {
    require(at(key).is(Json::Kind::string), name(key) + " is not a string");
    return at(key).string;
  }
  void fixed(std::string_view key, std::string_view value) const {
    require(string(key) == value, name(key) + "=" + brief(string(key)) + " is not supported, only " + brief(value));
  }

 private:
  std::string name(std::string_view key) const { return what_ + ": " + std::string(key); }

  std::string what_;
  const Json& json_;
};

/// A network without its weights, and how its tensors are called in the file: of a node or a head, before the dot.
struct Description {
  Model model{};
  std::vector<std::string> nodes, heads;
  std::vector<float> slopes;  // of nodes that have no tensor of them; NaN of those that have
};

Padding padding_of(const std::string& name) {
  require(name == "zeros" || name == "replicate", "padding=" + brief(name) + " is neither 'zeros' nor 'replicate'");
  return name == "zeros" ? Padding::zeros : Padding::replicate;
}

Colour colour_of(const std::string& name) {
  require(name == "y" || name == "ycbcr" || name == "rgb", "colour=" + brief(name) + " is none of y, ycbcr and rgb");
  return name == "y" ? Colour::luma : name == "ycbcr" ? Colour::ycbcr : Colour::rgb;
}

constexpr int kMany = 1 << 20;  // more than any number of a network

Channels channels_of(const Json& json, const std::string& what) {
  const std::vector<long long> values = naturals(&json, what);
  require(values.size() == 3 && *std::max_element(values.begin(), values.end()) < kMany,
          what + " is not [result, first channel, count of channels]");
  return {static_cast<int>(values[0]), static_cast<int>(values[1]), static_cast<int>(values[2])};
}

Node node_of(const Json& json, const std::string& what) {
  const Entry entry(what, json, {"out", "kernel", "groups", "source", "adds"});
  Node node{.conv = {.ic = 0,
                     .oc = entry.integer("out", 1, kMaxChannels),
                     .kernel = entry.integer("kernel", 1, kMaxNodeKernel),
                     .weight = {},
                     .bias = {},
                     .slope = {},
                     .groups = entry.integer("groups", 1, kMaxChannels)},
            .source = channels_of(entry.at("source"), what + ": source"),
            .adds = {}};
  node.conv.ic = node.source.count;
  require(node.conv.ic % node.conv.groups == 0 && node.conv.oc % node.conv.groups == 0,
          what + ": groups do not divide its channels");
  const Json& adds = entry.at("adds");
  require(adds.is(Json::Kind::list), what + ": adds is not a list");
  for (const Json& add : adds.items) node.adds.push_back(channels_of(add, what + ": adds"));
  return node;
}

/// `extra`: keys besides those of a head.
Head head_of(const std::string& key, const Json& json, bool enlarged, std::set<std::string_view> extra) {
  const std::string what = "heads[" + brief(key) + "]";
  require(key == "2" || key == "3" || key == "4", what + ": the scale is none of 2, 3, 4");
  extra.insert({"kernel", "pad", "output_padding", "border"});
  const Entry entry(what, json, extra);
  Head head{.stride = key[0] - '0',
            .pad = entry.integer("pad", 0, kMaxHeadKernel),
            .output_padding = entry.integer("output_padding", -kMaxStride, kMaxStride),
            .border = Head::kFullBorder,
            .ic = 0,
            .kernel = entry.integer("kernel", 1, enlarged ? kMaxNodeKernel : kMaxHeadKernel),
            .weight = {},
            .bias = {},
            .enlarges = !enlarged};
  const bool is_full = entry.at("border").is(Json::Kind::string) && entry.at("border").string == "full";
  // Farther than the kernel reaches there is nothing to see.
  if (!is_full) head.border = std::min(entry.integer("border", 0, kMany), head.kernel);
  require(!enlarged || (is_full && head.pad == 0 && head.output_padding == 0),
          what + ": pad, output_padding and border are not 0, 0 and 'full', and nothing is enlarged there");
  return head;
}

void add_heads(const Json& json, Description& network, const std::set<std::string_view>& extra) {
  require(json.is(Json::Kind::object), "heads is not an object");
  for (const auto& [key, value] : json.members) {
    network.model.heads.push_back(head_of(key, value, network.model.enlarged, extra));
    network.heads.push_back("head.x" + key);
  }
}

Description version2(const Json& json) {
  const Entry entry("network", json, {"padding", "colour", "enlarged", "plus_bicubic", "nodes", "heads"});
  Description network;
  network.model.padding = padding_of(entry.string("padding"));
  network.model.colour = colour_of(entry.string("colour"));
  network.model.enlarged = entry.boolean("enlarged");
  network.model.plus_bicubic = entry.boolean("plus_bicubic");
  const Json& nodes = entry.at("nodes");
  require(nodes.is(Json::Kind::list), "nodes is not a list");
  require(nodes.items.size() <= kMaxNodes, "there are more than " + std::to_string(kMaxNodes) + " nodes");
  for (const Json& node : nodes.items) {
    network.nodes.push_back("node." + std::to_string(network.nodes.size()));
    network.model.nodes.push_back(node_of(node, network.nodes.back()));
  }
  network.slopes.assign(network.nodes.size(), std::nanf(""));
  add_heads(entry.at("heads"), network, {});
  return network;
}

/// An FSRCNN as a list of layers, whose slopes stand only where the activation is a PReLU.
Description version1(const Json& layers, const Json& heads, const std::string& padding) {
  Description network;
  network.model.padding = padding_of(padding);
  require(layers.items.size() >= 3 && layers.items.size() <= kMaxNodes,
          "an FSRCNN has at least 3 convolutions, not " + std::to_string(layers.items.size()));
  int channels = 1, index = 0;
  for (const Json& layer : layers.items) {
    const std::string what = "layers[" + std::to_string(index) + "]";
    const Entry entry(what, layer, {"kind", "in", "out", "kernel", "groups", "activation"});
    entry.fixed("kind", "conv2d");
    entry.integer("in", channels, channels);
    ConvLayer conv{.ic = channels,
                   .oc = entry.integer("out", 1, kMaxChannels),
                   .kernel = entry.integer("kernel", 1, kMaxNodeKernel),
                   .weight = {},
                   .bias = {},
                   .slope = {},
                   .groups = entry.integer("groups", 1, 1)};
    const std::string& activation = entry.string("activation");
    require(activation == "prelu" || activation == "relu" || activation == "none",
            what + ": activation=" + brief(activation) + " is not prelu, relu or none");
    network.slopes.push_back(activation == "prelu" ? std::nanf("") : activation == "relu" ? 0.0f : 1.0f);
    network.nodes.push_back("trunk." + std::to_string(index));
    network.model.nodes.push_back({std::move(conv), {index, 0, channels}, {}});
    channels = network.model.nodes.back().conv.oc;
    ++index;
  }
  // 5x5, 1x1, any number of 3x3, 1x1 back to as many channels as the first makes.
  const std::vector<Node>& nodes = network.model.nodes;
  bool fits = nodes.front().conv.oc == nodes.back().conv.oc;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const bool ends = i == 1 || i + 1 == nodes.size();
    fits = fits && nodes[i].conv.kernel == (i == 0 ? kVersion1First : ends ? 1 : kVersion1Mapping);
    fits = fits && (i == 0 || i + 1 == nodes.size() || nodes[i].conv.oc == nodes[1].conv.oc);
  }
  require(fits, "layers are not those of an FSRCNN");
  add_heads(heads, network, {"kind", "stride"});
  for (const auto& [key, value] : heads.members) {
    const Entry entry("heads[" + brief(key) + "]", value,
                      {"kind", "stride", "kernel", "pad", "output_padding", "border"});
    entry.fixed("kind", "deconv2d");
    entry.integer("stride", key[0] - '0', key[0] - '0');
    entry.integer("kernel", kVersion1Head, kVersion1Head);
  }
  return network;
}

/// Every result but the last is read or added by a later node.
void check_readers(const Model& model) {
  std::set<int> read;
  for (const Node& node : model.nodes) {
    read.insert(node.source.of);
    for (const Channels& add : node.adds) read.insert(add.of);
  }
  for (std::size_t i = 0; i + 1 < model.nodes.size(); ++i) {
    require(read.contains(static_cast<int>(i) + 1), "node." + std::to_string(i) + ": nothing reads what it makes");
  }
}

// ---- weights --------------------------------------------------------------------------------------------------------

std::vector<float> numbers(const std::string& name, const Tensor& tensor, const Shape& shape) {
  require(tensor.shape == shape,
          "tensor " + brief(name) + " has shape " + describe(tensor.shape) + ", not " + describe(shape));
  std::vector<float> values(tensor.bytes.size() / 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits = 0;
    for (int byte = 4; byte-- > 0;) bits = bits << 8 | tensor.bytes[4 * i + static_cast<std::size_t>(byte)];
    std::memcpy(&values[i], &bits, sizeof bits);
    require(std::isfinite(values[i]), "tensor " + brief(name) + " has a value that is not finite");
  }
  return values;
}

void fill(Description& network, const std::map<std::string, Tensor>& tensors) {
  Model& model = network.model;
  std::map<std::string, std::pair<Shape, std::vector<float>*>> wanted;
  for (std::size_t i = 0; i < model.nodes.size(); ++i) {
    ConvLayer& conv = model.nodes[i].conv;
    const std::string& name = network.nodes[i];
    wanted[name + ".weight"] = {{conv.oc, conv.ic / conv.groups, conv.kernel, conv.kernel}, &conv.weight};
    wanted[name + ".bias"] = {{conv.oc}, &conv.bias};
    if (std::isnan(network.slopes[i])) {
      wanted[name + ".slope"] = {{conv.oc}, &conv.slope};
    } else {
      conv.slope.assign(static_cast<std::size_t>(conv.oc), network.slopes[i]);
    }
  }
  const int features = model.nodes.empty() ? 0 : model.nodes.back().conv.oc, planes = plane_count(model.colour);
  for (std::size_t i = 0; i < model.heads.size(); ++i) {
    Head& head = model.heads[i];
    head.ic = features;
    const Shape shape = model.enlarged ? Shape{planes, features, head.kernel, head.kernel}
                                       : Shape{features, 1, head.kernel, head.kernel};
    wanted[network.heads[i] + ".weight"] = {shape, &head.weight};
    wanted[network.heads[i] + ".bias"] = {{planes}, &head.bias};
  }
  require_keys("tensor", keys_of(tensors), keys_of(wanted));
  std::size_t weights = 0;
  for (auto& [name, entry] : wanted) {
    *entry.second = numbers(name, tensors.at(name), entry.first);
    weights += entry.second->size();
  }
  require(weights <= kMaxWeights,
          "there are " + std::to_string(weights) + " weights, more than " + std::to_string(kMaxWeights));
}

// ---- metadata -------------------------------------------------------------------------------------------------------

using Metadata = std::map<std::string, std::string>;

const Json& json_of(const Metadata& metadata, const std::string& key, Json::Kind kind, Json& json) {
  const std::string& text = metadata.at(key);
  require(text.size() <= kMaxMetadata, "metadata " + key + " has more than " + std::to_string(kMaxMetadata) + " bytes");
  return parsed(text, kind, "metadata " + key, json);
}

void check_name(const std::string& name) {
  std::size_t characters = 0;
  bool is_printable = true;
  for (const char c : name) {
    characters += (c & 0xc0) != 0x80;
    is_printable = is_printable && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  }
  require(characters >= 1 && characters <= kMaxName && is_printable,
          "name=" + brief(name) + " is not of 1 to " + std::to_string(kMaxName) + " printable characters");
}

void check_metadata(const Metadata& metadata, const Metadata& fixed, std::set<std::string_view> others) {
  for (const auto& [key, value] : fixed) others.insert(key);
  require_keys("metadata key", keys_of(metadata), others);
  for (const auto& [key, value] : fixed) {
    const std::string& found = metadata.at(key);
    require(found == value, "metadata " + key + "=" + brief(found) + " is not supported, only " + brief(value));
  }
}

}  // namespace

NamedModel read_model(const void* data, std::size_t size) {
  const File file = read_file(static_cast<const unsigned char*>(data), size);
  const Metadata& metadata = file.metadata;
  const auto version = metadata.find("format_version");
  if (version != metadata.end() && version->second != "1" && version->second != "2") {
    refuse("metadata format_version=" + brief(version->second) + " is not supported, only '1' and '2'");
  }
  Description network;
  Json json, heads;
  if (version != metadata.end() && version->second == "1") {
    check_metadata(metadata,
                   {{"format_version", "1"},
                    {"architecture", "fsrcnn"},
                    {"in_channels", "1"},
                    {"pre_upscale", "none"},
                    {"residual", "none"},
                    {"luma", "bt601-limited"}},
                   {"name", "padding", "layers", "heads", "provenance"});
    network = version1(json_of(metadata, "layers", Json::Kind::list, json),
                       json_of(metadata, "heads", Json::Kind::object, heads), metadata.at("padding"));
  } else {
    check_metadata(metadata, {{"format_version", "2"}, {"luma", "bt601-limited"}}, {"name", "network", "provenance"});
    network = version2(json_of(metadata, "network", Json::Kind::object, json));
  }
  json_of(metadata, "provenance", Json::Kind::object, json);
  check_name(metadata.at("name"));
  fill(network, file.tensors);
  std::vector<Head>& by_scale = network.model.heads;
  std::sort(by_scale.begin(), by_scale.end(),
            [](const Head& one, const Head& other) { return one.stride < other.stride; });
  validate(network.model);
  check_readers(network.model);
  return {metadata.at("name"), std::move(network.model)};
}

}  // namespace fsrcnn
