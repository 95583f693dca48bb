// What a fuzzer (libFuzzer) finds by changing bytes: networks, model files and arguments of any kind are refused with
// std::invalid_argument or work; and whatever works gives the same on every instruction set, with either algorithm, on
// any threads, cut into any strips: to the bit in fixed point and within one table, else within the tolerance of the
// checks. Built with sanitizers, which see the rest.
//
//   fuzz CORPUS_FOLDER...        libFuzzer's options: -max_total_time=60, -runs=N, ...
//   fuzz FILE...                 carries out these cases
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "gradient.h"
#include "graphs.h"
#include "model_file.h"
#include "upscaler_check.h"

namespace fsrcnn {
namespace {

/// A case as a row of decisions. Where it ends, all further ones are 0.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), end_(data + size) {}

  unsigned byte() { return data_ == end_ ? 0 : *data_++; }
  bool chance(unsigned one_in) { return byte() % one_in == one_in - 1; }
  int between(int low, int high) { return low + static_cast<int>(byte() % static_cast<unsigned>(high - low + 1)); }
  /// A number of no particular size, most often a small one.
  int any() {
    constexpr int kEdges[] = {
        std::numeric_limits<int>::min(), std::numeric_limits<int>::max(), -1, 1 << 14, (1 << 14) + 1, 1 << 30, -4, 17};
    return chance(8) ? kEdges[byte() % std::size(kEdges)] : chance(4) ? between(-8, 100) : between(0, 9);
  }
  float real() {
    constexpr float kEdges[] = {
        0, -1, 1e38f, -1e38f, 1e-40f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
        2};
    return chance(8) ? kEdges[byte() % std::size(kEdges)] : static_cast<float>(between(-128, 127)) / 100;
  }
  template <typename T>
  const T& one_of(const std::vector<T>& list) {
    return list[byte() % list.size()];
  }

 private:
  const std::uint8_t *data_, *end_;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "FOUND: %s\n", what.c_str());
  std::abort();
}

/// What may be refused, and in no other way.
template <typename Run>
bool accepted(const Run& run) {
  try {
    run();
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

std::vector<KernelSet> sets() {
  static const std::vector<KernelSet> all = available_sets();
  return all;
}

/// As many numbers as the shape takes, if that is affordable, or any other number of them.
std::vector<float> numbers(Bytes& bytes, double count) {
  constexpr double kMost = 1000;  // ranges are measured in full, and slowly with sanitizers
  const bool right = !bytes.chance(32) && count >= 0 && count <= kMost;
  std::vector<float> values(right ? static_cast<std::size_t>(count) : bytes.byte() % 16);
  const float a = bytes.real(), b = bytes.real();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? a : i % 3 == 1 ? b : 0.1f;
  return values;
}

Channels any_range(Bytes& bytes) { return {bytes.any(), bytes.any(), bytes.any()}; }

ConvLayer any_layer(Bytes& bytes, int ic) {
  ConvLayer layer{.ic = bytes.chance(16) ? bytes.any() : ic,
                  .oc = bytes.any(),
                  .kernel = bytes.chance(8) ? bytes.any() : 1 + 2 * bytes.between(0, 7),
                  .weight = {},
                  .bias = {},
                  .slope = {},
                  .groups = bytes.chance(4) ? bytes.any() : 1};
  const double groups = layer.groups == 0 ? 1 : layer.groups;
  layer.weight = numbers(bytes, static_cast<double>(layer.oc) * layer.ic / groups * layer.kernel * layer.kernel);
  layer.bias = numbers(bytes, layer.oc);
  layer.slope = numbers(bytes, layer.oc);
  return layer;
}

/// A network that is most often nearly right.
Model any_model(Bytes& bytes) {
  Model model{.nodes = {}, .heads = {}, .padding = bytes.chance(2) ? Padding::zeros : Padding::replicate};
  model.enlarged = bytes.chance(4);
  model.plus_bicubic = bytes.chance(4);
  if (bytes.chance(4)) model.colour = static_cast<Colour>(bytes.between(0, 2));
  for (int i = 0, count = bytes.between(0, 4); i < count; ++i) {
    const int channels = model.channels(i);
    Node node{.conv = any_layer(bytes, channels), .source = {i, 0, channels}, .adds = {}};
    if (bytes.chance(8)) node.source = any_range(bytes);
    if (bytes.chance(4)) node.adds.push_back(bytes.chance(2) ? any_range(bytes) : Channels{i, 0, node.conv.oc});
    model.nodes.push_back(std::move(node));
  }
  for (int i = 0, count = bytes.between(0, 3); i < count; ++i) {
    Head head{.stride = bytes.chance(8) ? bytes.any() : 2 + i,
              .pad = bytes.any(),
              .output_padding = bytes.any(),
              .border = bytes.chance(4) ? bytes.any() : Head::kFullBorder,
              .ic = bytes.chance(8) || model.nodes.empty() ? bytes.any() : model.nodes.back().conv.oc,
              .kernel = bytes.chance(8) ? bytes.any() : 1 + 2 * bytes.between(0, 8),
              .weight = {},
              .bias = {},
              .enlarges = bytes.chance(16) ? model.enlarged : !model.enlarged};
    if (!bytes.chance(8)) head.output_padding = head.stride % 32 + 2 * (head.pad % 32) - head.kernel % 32;
    const int planes = plane_count(model.colour);
    head.weight = numbers(bytes, static_cast<double>(planes) * head.ic * head.kernel * head.kernel);
    head.bias = numbers(bytes, planes);
    model.heads.push_back(std::move(head));
  }
  return model;
}

void fuzz_models(Bytes& bytes) {
  const Model model = any_model(bytes);
  const KernelSet set = bytes.one_of(sets());
  const Precision precision = bytes.chance(2) ? Precision::int16 : Precision::float32;
  const Algorithm algorithm = bytes.chance(2) ? Algorithm::direct : Algorithm::winograd;
  accepted([&] {
    const Upscaler upscaler(model, set.of(precision), algorithm, kBlock * bytes.between(0, 3));
    std::vector<int> scales;
    for (const Head& head : model.heads) scales.push_back(head.stride);
    run(upscaler, {5, 9, bytes.between(1, 4), static_cast<SampleType>(bytes.between(0, 2))}, scales, 2, 4);
  });
}

void fuzz_model_file(const std::uint8_t* data, std::size_t size) {
  accepted([&] {
    const NamedModel named = read_model(data, size);
    std::vector<int> scales;
    for (const Head& head : named.model.heads) scales.push_back(head.stride);
    const Upscaler upscaler(named.model, *sets().back().float32, Algorithm::winograd);
    run(upscaler, {5, 9, plane_count(named.model.colour), SampleType::u8}, scales, 2, 4);
  });
}

// Samples of all pictures of a case: views of them may be of any kind, but what they reach is there.
constexpr std::ptrdiff_t kMemory = 1 << 14;

template <typename Byte>
BasicImageView<Byte> any_view(Bytes& bytes, Byte* memory) {
  constexpr float kFull[] = {255, 65535, 1, 0, -1, std::numeric_limits<float>::quiet_NaN()};
  BasicImageView<Byte> view{};
  view.type = static_cast<SampleType>(bytes.between(0, 2));
  view.height = bytes.chance(8) ? bytes.any() : bytes.between(1, 40);
  view.width = bytes.chance(8) ? bytes.any() : bytes.between(1, 40);
  view.channels = bytes.chance(8) ? bytes.any() : bytes.between(1, 4);
  const int size = sample_bytes(view.type);
  const float full = bytes.chance(8) ? kFull[bytes.byte() % std::size(kFull)] : kFull[static_cast<int>(view.type)];
  view.range = {full, bytes.chance(16) ? bytes.real() : full};
  view.channel_stride = bytes.chance(8) ? bytes.between(-9, 9) : size;
  view.pixel_stride = bytes.chance(8) ? bytes.between(-20, 20) : view.channels * static_cast<std::ptrdiff_t>(size);
  view.row_stride =
      bytes.chance(8) ? bytes.between(-128, 127) : std::clamp(view.width, -kMemory, kMemory) * view.pixel_stride;
  std::ptrdiff_t low = 0, high = size;
  for (const auto& [count, stride] : {std::pair<std::ptrdiff_t, std::ptrdiff_t>{view.height, view.row_stride},
                                      {view.width, view.pixel_stride},
                                      {view.channels, view.channel_stride}}) {
    if (count < 1) continue;
    if (count > kMemory || std::abs(stride) > kMemory) return {};
    (stride < 0 ? low : high) += (count - 1) * stride;
  }
  const std::ptrdiff_t at = (bytes.chance(8) ? bytes.between(0, 9) : 0) - low + 16;
  if (at + high > kMemory) return {};
  view.data = bytes.chance(64) ? nullptr : memory + at;
  return view;
}

/// Parts of a picture, of multiples of `step` mostly; seldom any.
std::vector<Tile> any_parts(Bytes& bytes, int step) {
  std::vector<Tile> parts;
  if (!bytes.chance(4)) return parts;
  const auto edge = [&] { return bytes.chance(16) ? std::ptrdiff_t{bytes.any()} : step * bytes.between(0, 6); };
  for (int i = 0, count = bytes.between(0, 3); i < count; ++i) parts.push_back({{edge(), edge()}, edge(), edge()});
  return parts;
}

void fuzz_arguments(Bytes& bytes) {
  static const KernelTable& table = *available_sets().back().float32;
  static const Upscaler upscaler(make_model(Padding::replicate, Head::kFullBorder, false), table, Algorithm::winograd);
  static const PlaneUpscaler planes(table);
  static unsigned char from[kMemory], to[kMemory];
  const ImageView src = any_view<const unsigned char>(bytes, from);
  MutableImageView dst = any_view<unsigned char>(bytes, bytes.chance(16) ? from : to);
  const int scale = bytes.chance(16) ? bytes.any() : bytes.between(1, 4);
  if (!bytes.chance(8) && src.data && dst.data) {  // what fits, as far as there is memory for it
    for (const std::ptrdiff_t side : {src.height, src.width, static_cast<std::ptrdiff_t>(src.channels)}) {
      if (std::abs(side) > kMemory) return;
    }
    dst = {to + 16,
           src.height * bytes.between(1, 4),
           src.width * bytes.between(1, 4),
           src.channels,
           src.type,
           src.range,
           0,
           src.channels * static_cast<std::ptrdiff_t>(sample_bytes(src.type)),
           sample_bytes(src.type)};
    dst.row_stride = dst.width * dst.pixel_stride;
    if (std::max(dst.height, dst.width) > kMemory || dst.height * dst.row_stride > kMemory - 16) return;
  }
  const Finish finish{bytes.chance(4) ? bytes.real() : 1.0f, bytes.chance(2), bytes.chance(2)};
  const int threads = bytes.chance(16) ? bytes.any() : bytes.between(1, 3);
  if (threads > 64) return;  // it would be given them
  const std::ptrdiff_t strip_width = bytes.chance(8) ? bytes.any() : bytes.between(0, 9);
  const Siting siting{bytes.chance(8) ? bytes.real() : 0.5, 0.5};
  accepted([&] {
    switch (bytes.between(0, 3)) {
      case 0: {
        const Target targets[] = {{scale, dst}, {bytes.between(2, 4), dst}};
        return upscaler.run(src, {targets, bytes.chance(16) ? 2u : 1u}, finish, threads, strip_width,
                            any_parts(bytes, 4));
      }
      case 1: {
        std::vector<int> scales;
        for (int i = 0, count = bytes.between(0, 5); i < count; ++i) {
          scales.push_back(bytes.chance(16) ? bytes.any() : bytes.between(2, 4));
        }
        return upscaler.run_resized(src, dst, finish, scales, threads, strip_width, any_parts(bytes, 1));
      }
      case 2: return planes.enlarge(src, dst, scale, siting, threads);
      default: {
        const auto length = [&](std::ptrdiff_t size) {
          return bytes.chance(8) ? bytes.real() * 100.0 : static_cast<double>(size);
        };
        const Lengths of{length(src.width), length(src.height)}, size{length(dst.width), length(dst.height)};
        return planes.resize(src, dst, of, size, siting, threads);
      }
    }
  });
}

void fuzz_gradients(Bytes& bytes) {
  std::vector<ConvLayer> layers;
  int channels = 1;
  for (int i = 0, count = bytes.between(0, 3); i < count; ++i) {
    layers.push_back(any_layer(bytes, channels));
    channels = layers.back().oc;
  }
  const int count = bytes.between(0, 9), side = bytes.between(1, 8), scale = bytes.between(1, 4);
  const std::vector<float> lr(static_cast<std::size_t>(count * side * side), 0.5f);
  const std::vector<float> hr(lr.size() * static_cast<std::size_t>(scale * scale), 0.3f);
  const PatchBatch batch{lr.data(), hr.data(), count, side, scale, bytes.any(), bytes.real()};
  GradientEngine engine(bytes.one_of(sets()).of(Precision::float32));
  const int threads = bytes.between(-1, 4);
  accepted([&] {
    std::vector<ConvGradient> gradients;
    engine.run(layers, batch, bytes.chance(2) ? Loss::l1 : Loss::mse, threads, gradients);
  });
}

/// How far two pictures are from each other, of full scale, or of the largest sample of one.
double difference(const Picture& one, const Picture& other, SampleType type) {
  double worst = 0, largest = 1;
  const auto add = [&](double a, double b) {
    largest = std::max(largest, std::abs(a));
    const double error = std::abs(a - b);
    worst = error <= worst ? worst : error;  // NaN is worst
  };
  const auto each = [&]<typename T>(T, double full) {
    for (std::size_t i = 0; i < one.bytes().size(); i += sizeof(T)) {
      T a, b;
      std::memcpy(&a, &one.bytes()[i], sizeof a);
      std::memcpy(&b, &other.bytes()[i], sizeof b);
      add(static_cast<double>(a) / full, static_cast<double>(b) / full);
    }
  };
  if (type == SampleType::u8) each(std::uint8_t{}, 255);
  if (type == SampleType::u16) each(std::uint16_t{}, 65535);
  if (type == SampleType::f32) each(0.0f, 1);
  return worst / largest;
}

void fuzz_difference(Bytes& bytes) {
  // That of the random graphs: Winograd's algorithm loses a few bits in every layer. Samples are rounded on top.
  constexpr double kTolerance = 1e-4, kMostMultiplications = 3e6;
  const unsigned seed = bytes.byte();
  GraphMaker maker([&] { return bytes.byte(); }, seed);
  const Model model = maker.make();
  const SampleType type = static_cast<SampleType>(bytes.between(0, 2));
  const int most = model.enlarged ? 12 : 24;
  const Geometry g{bytes.between(1, most), bytes.between(1, most), bytes.between(1, 4), type};
  const Finish finish{bytes.chance(3) ? static_cast<float>(bytes.between(0, 15)) / 10 : 1, bytes.chance(2), false};
  std::vector<int> scales;
  for (const Head& head : model.heads) scales.push_back(head.stride);
  const std::vector<int> passes(static_cast<std::size_t>(bytes.between(1, 2)), scales.front());
  const bool resizes = bytes.chance(3);
  const double pixels =
      static_cast<double>(g.height * g.width) * (resizes && passes.size() > 1 ? 1 + scales[0] * scales[0] : 1);
  if (multiplications(model) * pixels > kMostMultiplications) return;  // scalar twins, watched, take seconds
  const Picture src = make_source(g);
  const auto result = [&](const Upscaler& upscaler, int threads, std::ptrdiff_t strip_width) {
    if (!resizes) return run(upscaler, g, scales, threads, strip_width, finish);
    const std::ptrdiff_t product = passes.size() == 1 ? passes[0] : passes[0] * passes[0];
    std::vector<Picture> made;
    made.emplace_back(g.height * product - g.height / 3, g.width * product - g.width / 2, g.channels, type, 7);
    upscaler.run_resized(src.view(), made[0].target(), finish, passes, threads, strip_width);
    return made;
  };
  const Algorithm algorithms[] = {Algorithm::direct, Algorithm::winograd};
  const int threads = bytes.between(1, 4), span = kBlock * bytes.between(1, 4);
  const std::ptrdiff_t strip_width = 4 * bytes.between(0, 4);
  const KernelSet set = bytes.one_of(sets());
  const Algorithm algorithm = algorithms[bytes.byte() % 2];
  const auto name = [&] { return std::string(set.isa) + (algorithm == Algorithm::direct ? " direct" : " winograd"); };
  for (const Precision precision : {Precision::float32, Precision::int16}) {
    std::vector<Picture> want;
    const KernelTable& twins = table_by_name("reference", precision);
    // Fixed point is for some networks only.
    if (!accepted([&] { want = result(Upscaler(model, twins, Algorithm::direct, 1), 1, 1 << 20); })) {
      if (precision == Precision::float32) fail("a network of the checks is refused");
      return;
    }
    const Upscaler upscaler(model, set.of(precision), algorithm, span);
    const std::vector<Picture> got = result(upscaler, threads, strip_width);
    if (result(upscaler, 1, 1 << 20) != got) fail(name() + ": threads or strips change bits");
    if (precision == Precision::int16 && got != want) fail(name() + ": fixed point is not that of the scalar twins");
    const double step = type == SampleType::u8 ? 1.0 / 255 : type == SampleType::u16 ? 1.0 / 65535 : 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double error = difference(want[i], got[i], type);
      if (!(error <= kTolerance + step)) fail(name() + ": off by " + std::to_string(error));
    }
  }
}

}  // namespace
}  // namespace fsrcnn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What can be no other case of ours: the length of a header, and its first brace.
  if (size > 8 && data[8] == '{') return fsrcnn::fuzz_model_file(data, size), 0;
  fsrcnn::Bytes bytes(data, size);
  switch (bytes.byte() % 4) {
    case 0: fsrcnn::fuzz_models(bytes); break;
    case 1: fsrcnn::fuzz_arguments(bytes); break;
    case 2: fsrcnn::fuzz_gradients(bytes); break;
    default: fsrcnn::fuzz_difference(bytes);
  }
  return 0;
}
