// The C API: checks what it is given, and calls the core.
#include "fsrcnn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "alpha.h"
#include "arguments.h"
#include "fixed.h"
#include "kernels/dispatch.h"
#include "model_file.h"
#include "planes.h"
#include "upscaler.h"

using fsrcnn::refuse;

struct fsrcnn_model {
  std::shared_ptr<const fsrcnn::NamedModel> named;
};

namespace fsrcnn {
namespace {

constexpr int kMaxThreads = 1024, kMaxTimes = 16;
// Of the largest network that is computed in fixed point unasked, as in Python.
constexpr double kMostMultiplications = 1 << 16;

thread_local std::string t_error;

/// A model at fault.
struct BadModel : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// What `body` throws, as a status.
template <typename Body>
fsrcnn_status guarded(const Body& body) noexcept {
  const auto tell = [](const char* what) {
    try {
      t_error = what;
    } catch (...) {
      t_error.clear();  // there is no memory for the message
    }
  };
  try {
    body();
    return FSRCNN_OK;
  } catch (const BadModel& error) {
    tell(error.what());
    return FSRCNN_BAD_MODEL;
  } catch (const std::invalid_argument& error) {
    tell(error.what());
    return FSRCNN_BAD_ARGUMENT;
  } catch (const std::bad_alloc&) {
    tell("there is not enough memory");
    return FSRCNN_NO_MEMORY;
  } catch (const std::length_error&) {
    tell("there is not enough memory");
    return FSRCNN_NO_MEMORY;
  } catch (const std::exception& error) {
    tell(error.what());
    return FSRCNN_FAILED;
  }
}

template <typename Pointer>
void check_pointer(const Pointer* pointer, const char* name) {
  if (!pointer) refuse(std::string(name) + " is NULL");
}

/// Runs `make`, of which a std::invalid_argument is the model's fault.
template <typename Make>
auto of_model(const Make& make) {
  try {
    return make();
  } catch (const std::invalid_argument& error) {
    throw BadModel(error.what());
  }
}

std::string size_text(std::ptrdiff_t width, std::ptrdiff_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

// ---- images ---------------------------------------------------------------------------------------------------------

/// Checks one image and gives a view of it. What the core checks of views is left to it.
MutableImageView view_of(const std::string& name, void* data, std::int32_t width, std::int32_t height, int channels,
                         std::int32_t bits, SampleRange range, std::ptrdiff_t stride) {
  check_pointer(data, (name + ".data").c_str());
  const SampleType type = bits == 8 ? SampleType::u8 : SampleType::u16;
  const std::int64_t row = std::int64_t{width} * channels * sample_bytes(type);
  // Of the largest stride that there is, the magnitude is no ptrdiff_t.
  const std::uint64_t apart =
      stride < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(stride) : static_cast<std::uint64_t>(stride);
  if (apart < static_cast<std::uint64_t>(row)) {
    refuse(name + ".stride=" + std::to_string(stride) + " is less than a row of " + std::to_string(row) + " bytes");
  }
  if (apart > static_cast<std::uint64_t>(PTRDIFF_MAX) / static_cast<std::uint64_t>(height)) {
    refuse(name + ".stride=" + std::to_string(stride) + " times height=" + std::to_string(height) +
           " is more than there are addresses");
  }
  const std::ptrdiff_t sample = sample_bytes(type);
  return {static_cast<unsigned char*>(data), height, width, channels, type, range, stride, channels * sample, sample};
}

void check_sides(const std::string& name, std::int32_t width, std::int32_t height) {
  const auto fits = [](std::int32_t side) { return side >= 1 && side <= FSRCNN_MAX_SIDE; };
  if (!fits(width)) refuse(name + ".width=" + std::to_string(width) + " is not 1 to 2^24");
  if (!fits(height)) refuse(name + ".height=" + std::to_string(height) + " is not 1 to 2^24");
}

MutableImageView view_of(const fsrcnn_picture& picture, const std::string& name) {
  check_sides(name, picture.width, picture.height);
  if (picture.channels < 1 || picture.channels > 4) {
    refuse(name + ".channels=" + std::to_string(picture.channels) + " is not 1 to 4");
  }
  if (picture.bits != 8 && picture.bits != 16) {
    refuse(name + ".bits=" + std::to_string(picture.bits) + " is neither 8 nor 16");
  }
  const float full = picture.bits == 8 ? 255.0f : 65535.0f;
  return view_of(name, picture.data, picture.width, picture.height, picture.channels, picture.bits, {full, full},
                 picture.stride);
}

/// Luma, and Cb and Cr if there is chroma.
std::vector<MutableImageView> views_of(const fsrcnn_frame& frame, const std::string& name) {
  check_sides(name, frame.width, frame.height);
  if (frame.bits < 8 || frame.bits > 16) refuse(name + ".bits=" + std::to_string(frame.bits) + " is not 8 to 16");
  if (!frame.planes[1] != !frame.planes[2]) refuse(name + " has one plane of chroma, neither none nor both");
  const auto is_step = [](std::int32_t step) { return step == 1 || step == 2 || step == 4; };
  if (frame.planes[1] && !(is_step(frame.across) && is_step(frame.down))) {
    refuse(name + ": across=" + std::to_string(frame.across) + ", down=" + std::to_string(frame.down) +
           " are not 1, 2 or 4 each");
  }
  if (frame.planes[1] && (frame.location < FSRCNN_LEFT || frame.location > FSRCNN_TOPLEFT)) {
    refuse(name + ".location=" + std::to_string(frame.location) + " is none of fsrcnn_location");
  }
  // As video counts: 255 of 8 bits is 1020 of 10.
  const SampleRange range{255.0f * static_cast<float>(1 << (frame.bits - 8)),
                          static_cast<float>((1 << frame.bits) - 1)};
  std::vector<MutableImageView> views;
  for (int i = 0; i < (frame.planes[1] ? 3 : 1); ++i) {
    const std::int32_t across = i > 0 ? frame.across : 1, down = i > 0 ? frame.down : 1;
    views.push_back(view_of(name + ".planes[" + std::to_string(i) + "]", frame.planes[i],
                            static_cast<std::int32_t>(ceil_div(frame.width, across)),
                            static_cast<std::int32_t>(ceil_div(frame.height, down)), 1, frame.bits, range,
                            frame.strides[i]));
  }
  return views;
}

/// One channel of a picture.
MutableImageView channel_of(MutableImageView view, int channel) {
  view.data += channel * view.channel_stride;
  view.channels = 1;
  return view;
}

/// What becomes of a frame's planes lies apart from all of them.
void check_apart(const std::vector<MutableImageView>& source, const std::vector<MutableImageView>& result) {
  const auto extent = [](const MutableImageView& view) {
    const unsigned char *top = view.row(0), *bottom = view.row(view.height - 1);
    return std::pair(std::min(top, bottom), std::max(top, bottom) + view.width * view.pixel_stride);
  };
  const auto overlap = [&](const MutableImageView& one, const MutableImageView& other) {
    const auto [begin, end] = extent(one);
    const auto [other_begin, other_end] = extent(other);
    return begin < other_end && other_begin < end;
  };
  for (std::size_t i = 0; i < result.size(); ++i) {
    for (const MutableImageView& plane : source) {
      if (overlap(result[i], plane)) refuse("result overlaps source in memory");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (overlap(result[i], result[j])) refuse("result overlaps itself in memory");
    }
  }
}

void check_growth(const MutableImageView& source, const MutableImageView& result) {
  const std::string what = "result of " + size_text(result.width, result.height) + " is ";
  const std::string than = size_text(source.width, source.height);
  if (result.width < source.width || result.height < source.height) refuse(what + "smaller than source of " + than);
  if (result.width == source.width && result.height == source.height) refuse(what + "no larger than source");
  if (result.width > kMaxTimes * source.width || result.height > kMaxTimes * source.height) {
    refuse(what + "more than 16 times as large as source of " + than);
  }
}

// ---- sizes ----------------------------------------------------------------------------------------------------------

/// Scales whose product is the smallest that reaches a size; of these, the fewest. They ascend, as a pass costs by the
/// pixels that go in.
std::vector<int> find_passes(const ImageView& source, const MutableImageView& result, const std::vector<int>& offered) {
  std::vector<int> best, chain;
  std::ptrdiff_t smallest = 0;
  const auto extend = [&](const auto& self, std::size_t first, std::ptrdiff_t product) -> void {
    const bool reaches = product * source.width >= result.width && product * source.height >= result.height;
    if (reaches && (best.empty() || product < smallest || (product == smallest && chain.size() < best.size()))) {
      best = chain;
      smallest = product;
    }
    if (chain.size() == static_cast<std::size_t>(kMaxChain)) return;
    for (std::size_t i = first; i < offered.size(); ++i) {
      chain.push_back(offered[i]);
      self(self, i, product * offered[i]);
      chain.pop_back();
    }
  };
  extend(extend, 0, 1);
  return best;
}

/// How far around a pixel these passes read.
int reach_of(int network, const ImageView& source, const MutableImageView& result, const std::vector<int>& passes) {
  double pixels = 0, scale = 1;
  for (const int pass : passes) {
    pixels += network / scale;
    scale *= pass;
  }
  // The last filter reads two pixels of the result, where that is what it makes smaller.
  const auto times = [](std::ptrdiff_t to, std::ptrdiff_t from) {
    return static_cast<double>(to) / static_cast<double>(from);
  };
  const double least = std::min(times(result.width, source.width), times(result.height, source.height));
  return static_cast<int>(std::ceil(pixels + 2 / least)) + 1;
}

}  // namespace

// ---- upscalers ------------------------------------------------------------------------------------------------------

/// A model with its weights packed, for 8 bits at once and for others when they are asked for.
class Engine {
 public:
  Engine(std::shared_ptr<const NamedModel> named, const fsrcnn_options& options)
      : named_(std::move(named)),
        isa_(options.isa ? options.isa : available_sets().back().isa),
        threads_(options.threads ? options.threads
                                 : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads)),
        by_channel_(options.colour == FSRCNN_RGB),
        finish_{.strength = options.strength, .guard = options.guard != 0, .guided = options.colour == FSRCNN_GUIDED},
        reach_(reach(model())),
        bicubic_(table_by_name(isa_, Precision::float32)),
        bicubic_fixed_(table_by_name(isa_, Precision::int16)) {
    for (const Head& head : model().heads) scales_.push_back(head.stride);
    if (options.precision != FSRCNN_AUTO) {
      of_8_bits_ = of_others_ = options.precision == FSRCNN_INT16 ? Precision::int16 : Precision::float32;
    } else if (multiplications(model()) <= kMostMultiplications && packs_fixed()) {
      of_8_bits_ = Precision::int16;
    }
    network(of_8_bits_);
  }
  ~Engine() {
    for (std::atomic<const Upscaler*>& packed : packed_) delete packed.load();
  }

  void upscale(const MutableImageView& source, const MutableImageView& result) const {
    const Precision precision = precision_of(source);
    const ImageView small = read_only(source);
    const std::vector<int> passes = passes_to(small, result);
    // Alpha makes pixels visible as far as its filter reaches, and the network reads around those.
    const int around =
        (passes.size() == 1 && is_exact(small, result) ? reach_ : reach_of(reach_, small, result, passes)) +
        kBicubicReach;
    std::vector<unsigned char> copy;
    const ImageView extended = extend_colour(small, around, copy);
    const Upscaler& packed = network(precision);
    if (!by_channel_ || !source.has_colour()) return run(packed, extended, result, passes);
    for (int c = 0; c < 3; ++c) run(packed, channel(extended, c), channel_of(result, c), passes);
    if (source.has_alpha()) {
      filter(precision, channel(extended, 3), channel_of(result, 3), lengths_of(small), lengths_of(result), {});
    }
  }

  void upscale(const std::vector<MutableImageView>& source, const std::vector<MutableImageView>& result,
               Siting siting) const {
    const Precision precision = precision_of(source[0]);
    const ImageView luma = read_only(source[0]);
    run(network(precision), luma, result[0], passes_to(luma, result[0]));
    for (std::size_t i = 1; i < source.size(); ++i) {
      filter(precision, read_only(source[i]), result[i], lengths_of(luma), lengths_of(result[0]), siting);
    }
  }

 private:
  const Model& model() const { return named_->model; }

  template <typename View>
  static Lengths lengths_of(const View& view) {
    return {static_cast<double>(view.width), static_cast<double>(view.height)};
  }
  static ImageView channel(ImageView view, int channel) {
    view.data += channel * view.channel_stride;
    view.channels = 1;
    return view;
  }
  bool is_exact(const ImageView& source, const MutableImageView& result) const {
    return std::any_of(scales_.begin(), scales_.end(), [&](int scale) {
      return result.width == scale * source.width && result.height == scale * source.height;
    });
  }
  std::vector<int> passes_to(const ImageView& source, const MutableImageView& result) const {
    return find_passes(source, result, scales_);
  }
  Precision precision_of(const MutableImageView& image) const {
    return image.type == SampleType::u8 ? of_8_bits_ : of_others_;
  }

  bool packs_fixed() const {
    try {
      network(Precision::int16);
      return true;
    } catch (const std::invalid_argument&) {  // a network that is not of a kind that has it, or of too large weights
      return false;
    }
  }

  /// Packed when it is first asked for. No lock: at worst two threads pack the same weights.
  const Upscaler& network(Precision precision) const {
    std::atomic<const Upscaler*>& packed = packed_[precision == Precision::int16];
    if (const Upscaler* const ready = packed.load(std::memory_order_acquire)) return *ready;
    auto fresh = std::make_unique<const Upscaler>(model(), table_by_name(isa_, precision), Algorithm::winograd);
    const Upscaler* found = nullptr;
    return packed.compare_exchange_strong(found, fresh.get()) ? *fresh.release() : *found;
  }

  void run(const Upscaler& packed, const ImageView& source, const MutableImageView& result,
           const std::vector<int>& passes) const {
    if (is_exact(source, result)) {
      const Target target{static_cast<int>(result.width / source.width), result};
      packed.run(source, {&target, 1}, finish_, threads_, 0);
    } else {
      packed.run_resized(source, result, finish_, passes, threads_, 0);
    }
  }

  /// What of the picture bypasses the network: of the size `from`, which becomes `to`.
  void filter(Precision precision, const ImageView& source, const MutableImageView& result, Lengths from, Lengths to,
              Siting siting) const {
    const PlaneUpscaler& planes = precision == Precision::int16 ? bicubic_fixed_ : bicubic_;
    for (const int scale : scales_) {
      if (to.x == scale * from.x && to.y == scale * from.y) {
        return planes.enlarge(source, result, scale, siting, threads_);
      }
    }
    planes.resize(source, result, from, to, siting, threads_);
  }

  const std::shared_ptr<const NamedModel> named_;
  const std::string isa_;
  const int threads_;
  const bool by_channel_;
  const Finish finish_;
  const int reach_;
  std::vector<int> scales_;
  Precision of_8_bits_ = Precision::float32, of_others_ = Precision::float32;
  PlaneUpscaler bicubic_, bicubic_fixed_;
  mutable std::atomic<const Upscaler*> packed_[2] = {};  // float32, int16
};

}  // namespace fsrcnn

struct fsrcnn_upscaler {
  fsrcnn::Engine engine;
};

using namespace fsrcnn;

const char* fsrcnn_version(void) { return FSRCNN_VERSION; }

const char* fsrcnn_error(void) { return t_error.c_str(); }

fsrcnn_status fsrcnn_model_open(const void* bytes, size_t size, fsrcnn_model** model) {
  return guarded([&] {
    check_pointer(bytes, "bytes");
    check_pointer(model, "model");
    auto named = of_model([&] { return std::make_shared<const NamedModel>(read_model(bytes, size)); });
    *model = new fsrcnn_model{std::move(named)};
  });
}

void fsrcnn_model_close(fsrcnn_model* model) { delete model; }

const char* fsrcnn_model_name(const fsrcnn_model* model) { return model ? model->named->name.c_str() : ""; }

int fsrcnn_model_has_scale(const fsrcnn_model* model, int scale) {
  if (!model) return 0;
  const std::vector<Head>& heads = model->named->model.heads;
  return std::any_of(heads.begin(), heads.end(), [&](const Head& head) { return head.stride == scale; });
}

// Hidden colour comes from as far away as it can be seen from.
int fsrcnn_model_reach(const fsrcnn_model* model) {
  return model ? 2 * (reach(model->named->model) + kBicubicReach) : 0;
}

void fsrcnn_options_init(fsrcnn_options* options) {
  if (options) *options = {sizeof(fsrcnn_options), FSRCNN_AUTO, FSRCNN_GUIDED, 1.0f, 1, 0, nullptr};
}

fsrcnn_status fsrcnn_upscaler_create(const fsrcnn_model* model, const fsrcnn_options* options,
                                     fsrcnn_upscaler** upscaler) {
  return guarded([&] {
    check_pointer(model, "model");
    check_pointer(upscaler, "upscaler");
    fsrcnn_options chosen;
    fsrcnn_options_init(&chosen);
    if (options) {
      if (options->size != sizeof chosen) {
        refuse("options.size=" + std::to_string(options->size) + " is not " + std::to_string(sizeof chosen) +
               ": fsrcnn_options_init sets it");
      }
      chosen = *options;
    }
    const auto check = [](const char* name, int value, int least, int most) {
      if (value < least || value > most) {
        refuse("options." + std::string(name) + "=" + std::to_string(value) + " is not " + std::to_string(least) +
               " to " + std::to_string(most));
      }
    };
    check("precision", chosen.precision, FSRCNN_AUTO, FSRCNN_INT16);
    check("colour", chosen.colour, FSRCNN_GUIDED, FSRCNN_RGB);
    check("threads", chosen.threads, 0, kMaxThreads);
    check_strength({.strength = chosen.strength, .guard = true, .guided = true});
    if (chosen.isa) table_by_name(chosen.isa);
    *upscaler = of_model([&] { return new fsrcnn_upscaler{{model->named, chosen}}; });
  });
}

void fsrcnn_upscaler_close(fsrcnn_upscaler* upscaler) { delete upscaler; }

fsrcnn_status fsrcnn_upscale(const fsrcnn_upscaler* upscaler, const fsrcnn_picture* source,
                             const fsrcnn_picture* result) {
  return guarded([&] {
    check_pointer(upscaler, "upscaler");
    check_pointer(source, "source");
    check_pointer(result, "result");
    const MutableImageView small = view_of(*source, "source"), large = view_of(*result, "result");
    const auto check_same = [](const char* name, int of_source, int of_result) {
      if (of_source != of_result) {
        refuse("result." + std::string(name) + "=" + std::to_string(of_result) + " is not that of source, " +
               std::to_string(of_source));
      }
    };
    check_same("channels", source->channels, result->channels);
    check_same("bits", source->bits, result->bits);
    check_source(read_only(small));
    check_growth(small, large);
    check_destination(large, "result", read_only(small));
    upscaler->engine.upscale(small, large);
  });
}

fsrcnn_status fsrcnn_upscale_frame(const fsrcnn_upscaler* upscaler, const fsrcnn_frame* source,
                                   const fsrcnn_frame* result) {
  return guarded([&] {
    check_pointer(upscaler, "upscaler");
    check_pointer(source, "source");
    check_pointer(result, "result");
    const std::vector<MutableImageView> small = views_of(*source, "source"), large = views_of(*result, "result");
    if (small.size() != large.size()) refuse("result and source do not both have chroma");
    const bool has_chroma = small.size() > 1;
    if (source->bits != result->bits ||
        (has_chroma &&
         (source->across != result->across || source->down != result->down || source->location != result->location))) {
      refuse("result differs from source in bits, across, down or location");
    }
    check_growth(small[0], large[0]);
    for (const MutableImageView& plane : small) check_source(read_only(plane));
    for (const MutableImageView& plane : large) check_source(read_only(plane));
    check_apart(small, large);
    Siting siting;
    if (has_chroma && source->location != FSRCNN_CENTER) siting.x = 0.5 / source->across;
    if (has_chroma && source->location == FSRCNN_TOPLEFT) siting.y = 0.5 / source->down;
    upscaler->engine.upscale(small, large, siting);
  });
}
