// The conformance list: what fixed point makes of every picture in it, by every instruction set, number of threads and
// width of strips, against the committed checksums. docs/conformance.md defines what is done here; tests/conformance.py
// does the same in Python.
//
//   conformance_check [--isa NAME] [--every N]
//
// Each case is computed with 1 to 8 threads, and in strips of every width. --every N: one in N of these ways, for slow
// machines; every case is computed in one way at least.
// Exit status: 0 all are as the list says, 1 one is not, 2 usage, 77 this processor cannot run NAME.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "planes.h"
#include "sha256.h"
#include "trim.h"
#include "upscaler.h"

namespace fsrcnn {
namespace {

using Words = std::map<std::string, std::string>;

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

// ---- the list -------------------------------------------------------------------------------------------------------

struct Case {
  std::string line, network, picture, layout, target, checksum;
  int width, height;
  Words options;

  std::string option(const std::string& name, const std::string& otherwise) const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second;
  }
};

struct List {
  std::map<std::string, Words> networks;
  std::vector<Case> cases;
};

/// Numbers with `separator` between them.
std::vector<int> numbers(const std::string& text, char separator) {
  std::vector<int> list;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, separator);) list.push_back(std::stoi(word));
  return list;
}

void add_option(Words& options, const std::string& word) {
  const std::size_t middle = word.find('=');
  if (middle == std::string::npos) fail("'" + word + "' is no option");
  options[word.substr(0, middle)] = word.substr(middle + 1);
}

List read_list(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail("there is no " + path);
  List list;
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    const std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
    if (words.empty() || words[0] == "#") continue;
    if (words[0] == "network") {
      for (std::size_t i = 2; i < words.size(); ++i) add_option(list.networks[words[1]], words[i]);
      continue;
    }
    if (words.size() < 6) fail("'" + line + "' is no case");
    const std::vector<int> size = numbers(words[2], 'x');
    Case entry{line, words[0], words[1], words[3], words[4], words.back(), size.at(0), size.at(1), {}};
    for (std::size_t i = 5; i + 1 < words.size(); ++i) add_option(entry.options, words[i]);
    for (const auto& [name, value] : entry.options) {
      if (name != "passes" && name != "chroma" && name != "strength" && name != "guard" && name != "colour") {
        fail("'" + name + "' is no option");
      }
    }
    list.cases.push_back(std::move(entry));
  }
  return list;
}

// ---- networks -------------------------------------------------------------------------------------------------------

/// Numbers of 32 bits without end.
class Integers {
 public:
  explicit Integers(uint32_t seed) : state_(seed) {}
  uint32_t next() { return state_ = state_ * 1664525 + 1013904223; }

 private:
  uint32_t state_;
};

/// Gives the values of a tensor: of a layer or a head, ".0." or ".x2."; its name; how many; how many of its taps reach
/// a sum.
using Tensors = std::function<std::vector<float>(const std::string& of, const std::string& name, int count, int taps)>;

/// Tensors of a safetensors file: of the header, only the offsets are read.
Tensors from_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 8) fail("there is no " + path);
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return [=](const std::string& of, const std::string& name, int count, int) {
    const std::string header = bytes.substr(8, length), key = "data_offsets\":[";
    const std::size_t tensor = header.find(of + name + "\":{"), offsets = header.find(key, tensor);
    if (offsets == std::string::npos) fail(path + " has no tensor " + of + name);
    const std::size_t begin = offsets + key.size();
    const std::vector<int> range = numbers(header.substr(begin, header.find(']', begin) - begin), ',');
    std::vector<float> values(static_cast<std::size_t>(count));
    if (range[1] - range[0] != 4 * count || 8 + length + static_cast<std::size_t>(range[1]) > bytes.size()) {
      fail(path + ": tensor " + of + name + " is not of " + std::to_string(count) + " numbers");
    }
    std::memcpy(values.data(), bytes.data() + 8 + length + range[0], 4 * values.size());
    return values;
  };
}

/// Tensors of integers times a power of two, or twice or four times that.
Tensors from_integers(const Words& words) {
  auto integers = std::make_shared<Integers>(static_cast<uint32_t>(std::stoul(words.at("seed"))));
  const float gain = std::stof(words.at("gain")), slope = std::stof(words.at("slope"));
  return [=](const std::string& of, const std::string& name, int count, int taps) {
    const bool of_head = of[1] == 'x';
    float unit = 0x1p-19f, middle = 0;
    if (name == "weight") {
      unit = (of_head ? 0.5f : gain) * std::ldexp(1.0f, -15 - (std::bit_width(static_cast<unsigned>(taps)) - 1) / 2);
    } else if (name == "slope") {
      unit = slope * 0x1p-15f;
    } else if (of_head) {
      middle = 0.5f;
    }
    std::vector<float> values;
    for (int i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(static_cast<int>(integers->next() >> 16) - 32768) * unit + middle);
    }
    return values;
  };
}

Model make_model(const Words& words) {
  const Tensors tensors = words.contains("weights")
                              ? from_file(FSRCNN_SOURCE "/weights/" + words.at("weights") + ".safetensors")
                              : from_integers(words);
  std::vector<ConvLayer> layers;
  std::istringstream in(words.at("layers"));
  int channels = 1;
  for (std::string word; std::getline(in, word, ',');) {
    const std::vector<int> shape = numbers(word, ':');
    const int kernel = shape.at(0), oc = shape.at(1), taps = channels * kernel * kernel;
    const std::string of = std::string(".").append(std::to_string(layers.size())).append(".");
    ConvLayer layer{channels, oc, kernel, tensors(of, "weight", oc * taps, taps), {}, {}};
    layer.bias = tensors(of, "bias", oc, taps);
    layer.slope = tensors(of, "slope", oc, taps);
    layers.push_back(std::move(layer));
    channels = oc;
  }
  const std::string& padding = words.at("padding");
  if (padding != "zeros" && padding != "replicate") fail("padding=" + padding);
  Model model{.nodes = chain(std::move(layers)),
              .heads = {},
              .padding = padding == "zeros" ? Padding::zeros : Padding::replicate};
  const std::string& border = words.at("border");
  const int kernel = std::stoi(words.at("head"));
  int scale = 2;
  for (const int pad : numbers(words.at("pads"), ',')) {
    const int count = channels * kernel * kernel, taps = count / (scale * scale);
    const std::string of = std::string(".x").append(std::to_string(scale)).append(".");
    model.heads.push_back({.stride = scale,
                           .pad = pad,
                           .output_padding = scale - kernel + 2 * pad,
                           .border = border == "full" ? Head::kFullBorder : std::stoi(border),
                           .ic = channels,
                           .kernel = kernel,
                           .weight = tensors(of, "weight", count, taps),
                           .bias = tensors(of, "bias", 1, taps)});
    ++scale;
  }
  return model;
}

// ---- pictures -------------------------------------------------------------------------------------------------------

/// A number of 8 bits for every point.
int lattice(int i, int j, int k, int c) {
  uint32_t n = static_cast<uint32_t>(i) * 73856093u + static_cast<uint32_t>(j) * 19349663u +
               static_cast<uint32_t>(k) * 83492791u + static_cast<uint32_t>(c) * 2654435761u;
  n = (n ^ n >> 13) * 1540483477u;
  return static_cast<int>((n ^ n >> 15) & 255);
}

/// Smooth noise of every size, the larger the stronger, of which the colours share what is large.
int photo(int x, int y, int c) {
  int total = 0;
  for (int k = 0; k < 6; ++k) {
    const int side = 1 << k, channel = k < 3 ? c : 0;
    const int i = x / side, j = y / side, u = x % side, v = y % side;
    const int smooth = lattice(i, j, k, channel) * (side - u) * (side - v) +
                       lattice(i + 1, j, k, channel) * u * (side - v) + lattice(i, j + 1, k, channel) * (side - u) * v +
                       lattice(i + 1, j + 1, k, channel) * u * v;
    total += (smooth >> 2 * k) * side;
  }
  return total / 63;
}

int sample(const std::string& picture, int x, int y, int c) {
  if (picture == "black") return 0;
  if (picture == "white") return 255;
  if (picture == "checkerboard") return (x + y + c) % 2 * 255;
  if (picture == "lines") return x % 7 == 3 || y % 5 == 2 || (x + 2 * y + c) % 11 == 0 ? 255 : 0;
  if (picture == "edges") return (3 * x + 2 * y + 85 * c + (x / 16 + y / 12) % 2 * 96) % 256;
  if (picture == "photo") return photo(x, y, c);
  fail("'" + picture + "' is no picture");
}

/// Samples of 8 bits, the channels of a pixel together.
struct Image {
  int width, height, channels;
  std::vector<unsigned char> samples;

  Image(int image_width, int image_height, int image_channels)
      : width(image_width),
        height(image_height),
        channels(image_channels),
        samples(static_cast<std::size_t>(width) * height * channels, 0x5a) {}

  /// All of it, or one of its channels.
  MutableImageView view(int channel = -1) {
    return {samples.data() + std::max(0, channel),
            height,
            width,
            channel < 0 ? channels : 1,
            SampleType::u8,
            {255, 255},
            static_cast<std::ptrdiff_t>(width) * channels,
            channels,
            1};
  }
  ImageView source(int channel = -1) {
    const MutableImageView v = view(channel);
    return {v.data, v.height, v.width, v.channels, v.type, v.range, v.row_stride, v.pixel_stride, v.channel_stride};
  }
};

Image make_picture(const std::string& name, int width, int height, int channels) {
  Image image(width, height, channels);
  Integers noise(1);
  unsigned char* next = image.samples.data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        *next++ = static_cast<unsigned char>(name == "noise" ? noise.next() >> 24 : sample(name, x, y, c));
      }
    }
  }
  return image;
}

/// One channel of a picture.
Image make_plane(const std::string& name, int width, int height, int channel) {
  const Image all = make_picture(name, width, height, 3);
  Image plane(width, height, 1);
  for (std::size_t i = 0; i < plane.samples.size(); ++i) {
    plane.samples[i] = all.samples[3 * i + static_cast<std::size_t>(channel)];
  }
  return plane;
}

// ---- cases ----------------------------------------------------------------------------------------------------------

class Engine {
 public:
  Engine(const List& list, const KernelTable& table) : planes_(table) {
    for (const auto& [name, words] : list.networks) {
      upscalers_.emplace(name, std::make_unique<Upscaler>(make_model(words), table, Algorithm::winograd));
    }
  }

  /// SHA-256 of the samples that a case makes.
  std::string checksum(const Case& entry, int threads, std::ptrdiff_t strip_width) const {
    const Work work{*upscalers_.at(entry.network), planes_, entry, threads, strip_width};
    return sha256(entry.layout == "yuv420" ? work.planes() : work.picture());
  }

 private:
  struct Work {
    const Upscaler& upscaler;
    const PlaneUpscaler& bicubic;
    const Case& entry;
    int threads;
    std::ptrdiff_t strip_width;

    /// 0 for a size that is none.
    int scale() const { return entry.target[0] == 'x' ? std::stoi(entry.target.substr(1)) : 0; }
    int made(int axis) const {
      const int side = axis == 0 ? entry.width : entry.height;
      return scale() ? scale() * side : numbers(entry.target, 'x').at(static_cast<std::size_t>(axis));
    }

    std::vector<unsigned char> picture() const {
      const std::map<std::string, int> known = {{"grey", 1}, {"grey+alpha", 2}, {"rgb", 3}, {"rgba", 4}};
      const int channels = known.at(entry.layout);
      Image src = make_picture(entry.picture, entry.width, entry.height, channels), dst(made(0), made(1), channels);
      if (channels % 2 == 0) {
        for (std::size_t i = 0; i < src.samples.size(); ++i) {
          unsigned char& alpha = src.samples[i];
          if (i % static_cast<std::size_t>(channels) + 1 == static_cast<std::size_t>(channels) && alpha == 0) alpha = 1;
        }
      }
      if (entry.option("colour", "guided") == "rgb") {
        for (int c = 0; c < 3; ++c) by_network(src.source(c), dst.view(c));
        if (channels == 4) by_filter(src.source(3), dst.view(3), {});
      } else {
        by_network(src.source(), dst.view());
      }
      return dst.samples;
    }

    std::vector<unsigned char> planes() const {
      const std::string chroma = entry.option("chroma", "");
      if (chroma != "left" && chroma != "center" && chroma != "topleft") fail("chroma=" + chroma);
      const Siting siting{chroma == "center" ? 0.5 : 0.25, chroma == "topleft" ? 0.25 : 0.5};
      Image src = make_plane(entry.picture, entry.width, entry.height, 0), dst(made(0), made(1), 1);
      by_network(src.source(), dst.view());
      std::vector<unsigned char> all = dst.samples;
      for (const int channel : {1, 2}) {
        Image small = make_plane(entry.picture, (entry.width + 1) / 2, (entry.height + 1) / 2, channel);
        Image large((made(0) + 1) / 2, (made(1) + 1) / 2, 1);
        by_filter(small.source(), large.view(), siting);
        all.insert(all.end(), large.samples.begin(), large.samples.end());
      }
      return all;
    }

    void by_network(const ImageView& src, const MutableImageView& dst) const {
      const std::string colour = entry.option("colour", "guided"), guard = entry.option("guard", "on");
      if ((colour != "guided" && colour != "bicubic" && colour != "rgb") || (guard != "on" && guard != "off")) {
        fail("colour=" + colour + " guard=" + guard);
      }
      const Finish finish{std::stof(entry.option("strength", "1")), guard == "on", colour == "guided"};
      if (scale()) {
        const Target target{scale(), dst};
        upscaler.run(src, {&target, 1}, finish, threads, strip_width);
      } else {
        upscaler.run_resized(src, dst, finish, numbers(entry.options.at("passes"), ','), threads, strip_width);
      }
    }

    void by_filter(const ImageView& src, const MutableImageView& dst, Siting siting) const {
      if (scale()) return bicubic.enlarge(src, dst, scale(), siting, threads);
      bicubic.resize(src, dst, {double(entry.width), double(entry.height)}, {double(made(0)), double(made(1))}, siting,
                     threads);
    }
  };

  std::map<std::string, std::unique_ptr<Upscaler>> upscalers_;
  PlaneUpscaler planes_;
};

/// Whether a set of kernels makes what the list says.
bool check(const List& list, const KernelSet& set) {
  const Engine engine(list, *set.int16);
  long runs = 0, wrong = 0;
  const auto run = [&](const Case& entry, int threads, std::ptrdiff_t strip_width) {
    ++runs;
    const std::string got = engine.checksum(entry, threads, strip_width);
    if (got == entry.checksum) return;
    ++wrong;
    std::printf("  %s, %d threads, strips of %td: %s\n  gives %s\n", set.isa, threads, strip_width, entry.line.c_str(),
                got.c_str());
  };
  int turn = 0;
  for (const Case& entry : list.cases) {
    // One way for all, and another at every case.
    run(entry, 1 + turn % 8, turn % 3 == 0 ? 0 : 4 * (turn % 7 + 1));
    ++turn;
    for (int threads = 1; threads <= 8; ++threads) {
      if (!left_out()) run(entry, threads, 0);
    }
    for (std::ptrdiff_t strip_width = 4; strip_width < entry.width + 4; strip_width += 4) {
      if (!left_out()) run(entry, static_cast<int>(strip_width / 4 % 8) + 1, strip_width);
    }
  }
  std::printf("%-10s  conformance list: %zu cases, %ld runs  %s\n", set.isa, list.cases.size(), runs,
              wrong ? "WRONG" : "ok");
  std::fflush(stdout);
  return wrong == 0;
}

int run_checks(int argc, char** argv) {
  std::string isa;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else if (std::string(argv[i]) == "--every" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
      g_every = static_cast<unsigned>(std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: conformance_check [--isa NAME] [--every N]\n");
      return 2;
    }
  }
  tell_trim("numbers of threads and widths of strips; every case is computed in one way at least");
  const List list = read_list(FSRCNN_SOURCE "/tests/checksums.txt");
  bool found = false, ok = !list.cases.empty();
  for (const KernelSet& set : available_sets()) {
    if (!isa.empty() && isa != set.isa) continue;
    found = true;
    ok &= check(list, set);
  }
  if (!found) {
    std::printf("%-10s  skipped: not available on this processor\n", isa.c_str());
    return 77;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace fsrcnn

int main(int argc, char** argv) {
  try {
    return fsrcnn::run_checks(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "conformance_check: %s\n", error.what());
    return 1;
  }
}
