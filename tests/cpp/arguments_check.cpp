// What a caller in C++ may get wrong: the core refuses it before any work, and names it.
#include <functional>
#include <stdexcept>

#include "upscaler_check.h"

namespace fsrcnn {
namespace {

/// Everything that a call takes, right as it is.
struct Call {
  Picture src{8, 12, 1, SampleType::u16, 1}, dst{24, 36, 1, SampleType::u16, 2};
  ImageView source = src.view();
  MutableImageView target = dst.target();
  int scale = 3, threads = 2;
  std::vector<int> scales{3};
  Finish finish{};
  std::ptrdiff_t strip_width = 0;
  std::vector<Tile> parts{{{0, 12}, 0, 8}};
  Lengths from{12, 8}, to{36, 24};
  Siting siting{};
};
using Break = std::function<void(Call&)>;

/// Whether it is refused with that text.
template <typename Run>
bool refuses(const Run& run, const std::string& text) {
  try {
    run();
  } catch (const std::invalid_argument& error) {
    if (std::string(error.what()).find(text) != std::string::npos) return true;
    std::printf("  '%s' is told as '%s'\n", text.c_str(), error.what());
    return false;
  }
  std::printf("  '%s' is not refused\n", text.c_str());
  return false;
}

}  // namespace

void check_arguments(const KernelTable& table) {
  const Upscaler upscaler(make_model(Padding::zeros, 0, false), table, Algorithm::winograd);
  const PlaneUpscaler planes(table);
  const auto run = [&](Call& call) {
    const Target target{call.scale, call.target};
    upscaler.run(call.source, {&target, 1}, call.finish, call.threads, call.strip_width, call.parts);
  };
  const auto resize = [&](Call& call) {
    upscaler.run_resized(call.source, call.target, call.finish, call.scales, call.threads, call.strip_width,
                         call.parts);
  };
  const auto enlarge = [&](Call& call) {
    planes.enlarge(call.source, call.target, call.scale, call.siting, call.threads);
  };
  const auto resize_plane = [&](Call& call) {
    planes.resize(call.source, call.target, call.from, call.to, call.siting, call.threads);
  };
  long cases = 0, failures = 0;
  const auto check = [&](const auto& driver, const Break& spoil, const char* text) {
    Call call;
    spoil(call);
    ++cases;
    failures += !refuses([&] { driver(call); }, text);
  };
  // What every driver looks at.
  const std::vector<std::pair<const char*, Break>> common = {
      {"threads=0", [](Call& c) { c.threads = 0; }},
      {"src: shape", [](Call& c) { c.source.data = nullptr; }},
      {"src: shape", [](Call& c) { c.source.height = 0; }},
      {"src: shape", [](Call& c) { c.source.channels = 5; }},
      {"src is not aligned", [](Call& c) { ++c.source.data; }},
      {"src is not aligned", [](Call& c) { ++c.source.row_stride; }},
      {"src is not aligned", [](Call& c) { c.source.pixel_stride = 3; }},
      {"is not aligned", [](Call& c) { ++c.target.data; }},
      {"dtype is not that of src", [](Call& c) { c.target.type = SampleType::u8; }},
      {"overlaps src", [](Call& c) { c.source.data = c.target.data + 40; }},
      {"does not fit src", [](Call& c) { c.target.channels = 2; }},
  };
  for (const auto& [text, spoil] : common) {
    check(run, spoil, text);
    check(resize, spoil, text);
    check(enlarge, spoil, text);
    check(resize_plane, spoil, text);
  }
  check(
      run, [](Call& c) { c.finish.strength = 1.6f; }, "strength=1.6");
  check(
      run, [](Call& c) { c.finish.strength = std::nanf(""); }, "strength=nan");
  check(
      run, [](Call& c) { c.strip_width = -1; }, "strip_width=-1");
  check(
      run, [](Call& c) { c.parts[0].y0 = 2; }, "parts has (0, 2, 12, 8), which is no part of 12x8 in blocks of 4");
  check(
      run, [](Call& c) { c.parts[0].columns.end = 10; }, "parts has (0, 0, 10, 8)");
  check(
      run,
      [](Call& c) {
        c.parts.push_back({{0, 12}, 0, 12});
      },
      "parts has (0, 0, 12, 12)");
  check(
      resize, [](Call& c) { c.parts[0].y1 = 0; }, "parts has (0, 0, 12, 0), which is no part of 36x24");
  check(
      resize, [](Call& c) { c.parts[0].columns.begin = -1; }, "parts has (-1, 0, 12, 8)");
  check(
      run, [](Call& c) { c.scale = 5; }, "dst[5]: the model has no head");
  check(
      run, [](Call& c) { c.scale = 2; }, "dst[2]: shape (24, 36) does not fit src (8, 12)");
  check(
      resize, [](Call& c) { c.scales = {}; }, "scales has 0");
  check(
      resize,
      [](Call& c) {
        c.scales = {2, 2, 2, 2, 2};
      },
      "scales has 5");
  check(
      resize, [](Call& c) { c.scales = {7}; }, "no head for 7");
  check(
      resize, [](Call& c) { c.scales = {2}; }, "does not fit src");
  check(
      resize, [](Call& c) { c.target.height = 7; }, "does not fit src");
  check(
      enlarge, [](Call& c) { c.scale = 0; }, "scale=0");
  check(
      enlarge, [](Call& c) { c.scale = 2; }, "does not fit src");
  check(
      resize_plane, [](Call& c) { c.to.x = 11; }, "result_size");
  check(
      resize_plane, [](Call& c) { c.from.y = std::nan(""); }, "source_size");
  for (const double at : {std::nan(""), -0.1, 1e38}) {
    check(
        enlarge, [=](Call& c) { c.siting.x = at; }, "siting=");
    check(
        resize_plane, [=](Call& c) { c.siting.y = at; }, "siting=");
  }
  report(table.isa, "wrong arguments are refused", cases, failures);
}

}  // namespace fsrcnn
