// pybind11 only: translates numpy arrays into views, and exceptions into Python's. Prose lives in _core.pyi.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "fma_peak.h"
#include "gradient.h"
#include "kernels/dispatch.h"
#include "resize.h"
#include "upscaler.h"

namespace py = pybind11;

namespace fsrcnn {
namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

Padding parse_padding(const std::string& name) {
  if (name == "zeros") return Padding::zeros;
  if (name == "replicate") return Padding::replicate;
  throw py::value_error("padding='" + name + "' is neither 'zeros' nor 'replicate'");
}

Algorithm parse_algorithm(const std::string& name) {
  if (name == "direct") return Algorithm::direct;
  if (name == "winograd") return Algorithm::winograd;
  throw py::value_error("algorithm='" + name + "' is neither 'direct' nor 'winograd'");
}

std::vector<float> to_vector(const FloatArray& array) { return {array.data(), array.data() + array.size()}; }

int dim(const FloatArray& array, int axis) { return static_cast<int>(array.shape(axis)); }

ConvLayer to_layer(const FloatArray& weight, const FloatArray& bias, const FloatArray& slope) {
  if (weight.ndim() != 4 || weight.shape(2) != weight.shape(3)) {
    throw py::value_error("weight is not (oc, ic, k, k)");
  }
  return {dim(weight, 1), dim(weight, 0), dim(weight, 2), to_vector(weight), to_vector(bias), to_vector(slope)};
}

Head to_head(int stride, const FloatArray& weight, const FloatArray& bias, int pad, int output_padding, int border) {
  if (weight.ndim() != 4 || bias.size() != 1) throw py::value_error("head is not weight (ic, 1, 9, 9), bias (1,)");
  return {stride, pad, output_padding, border, dim(weight, 0), to_vector(weight), *bias.data()};
}

std::string describe_shape(const py::array& array) { return py::str(array.attr("shape")).cast<std::string>(); }

// Full scale of samples of `bits` bits (0: as many as the type has) as video counts it: 255 * 2^(bits - 8).
SampleRange to_range(SampleType type, int bits) {
  const int most = type == SampleType::u8 ? 8 : 16;
  if (bits != 0 && (type == SampleType::f32 || bits < 8 || bits > most)) {
    throw py::value_error("bits=" + std::to_string(bits) + " does not fit the dtype");
  }
  const float max = static_cast<float>((1 << (bits ? bits : most)) - 1);
  return {bits ? 255.0f * static_cast<float>(1 << (bits - 8)) : max, max};
}

template <typename Byte>
BasicImageView<Byte> to_view(const py::array& array, Byte* data, const char* name, int bits) {
  BasicImageView<Byte> view{};
  const py::dtype dtype = array.dtype();
  if (dtype.equal(py::dtype::of<uint8_t>())) {
    view.type = SampleType::u8;
  } else if (dtype.equal(py::dtype::of<uint16_t>())) {
    view.type = SampleType::u16;
  } else if (dtype.equal(py::dtype::of<float>())) {
    view.type = SampleType::f32;
  } else {
    throw py::type_error(std::string(name) + ": dtype " + py::str(dtype).cast<std::string>() +
                         " is not uint8, uint16 or float32");
  }
  // As numpy counts it, which looks at the strides, too.
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    throw py::value_error(std::string(name) + " is not aligned for its dtype");
  }
  const bool has_channels = array.ndim() == 3;
  if ((array.ndim() != 2 && !has_channels) || array.size() == 0 || (has_channels && array.shape(2) > 4)) {
    throw py::value_error(std::string(name) + ": shape " + describe_shape(array) +
                          " is not (height, width) or (height, width, 1..4), none of them 0");
  }
  view.range = to_range(view.type, bits);
  view.data = data;
  view.height = array.shape(0);
  view.width = array.shape(1);
  view.channels = has_channels ? static_cast<int>(array.shape(2)) : 1;
  view.row_stride = array.strides(0);
  view.pixel_stride = array.strides(1);
  view.channel_stride = has_channels ? array.strides(2) : 0;
  return view;
}

// First and last byte that a view touches.
template <typename Byte>
std::pair<const unsigned char*, const unsigned char*> extent(const BasicImageView<Byte>& v) {
  const unsigned char* low = v.data;
  const unsigned char* high = v.data + sample_bytes(v.type) - 1;
  const auto stretch = [&](std::ptrdiff_t count, std::ptrdiff_t stride) {
    (stride < 0 ? low : high) += (count - 1) * stride;
  };
  stretch(v.height, v.row_stride);
  stretch(v.width, v.pixel_stride);
  stretch(v.channels, v.channel_stride);
  return {low, high};
}

class Network {
 public:
  Network(const std::vector<std::tuple<FloatArray, FloatArray, FloatArray>>& layers,
          const std::map<int, std::tuple<FloatArray, FloatArray, int, int, int>>& heads, const std::string& padding,
          const std::string& isa, const std::string& algorithm)
      : upscaler_(to_model(layers, heads, padding), table_by_name(isa), parse_algorithm(algorithm)) {}

  std::string isa() const { return upscaler_.kernels().isa; }

  void run(const py::array& src, const std::map<int, py::array>& dst, int threads, std::ptrdiff_t strip_width, int bits,
           const std::optional<std::pair<std::ptrdiff_t, std::ptrdiff_t>>& rows, double strength, bool guard,
           bool guided) const {
    require_threads(threads);
    const Finish finish = to_finish(strength, guard, guided);
    if (strip_width < 0) throw py::value_error("strip_width=" + std::to_string(strip_width) + " is negative");
    if (dst.empty()) throw py::value_error("dst is empty");
    const ImageView source = to_view(src, static_cast<const unsigned char*>(src.data()), "src", bits);
    const auto [begin, end] = rows.value_or(std::pair<std::ptrdiff_t, std::ptrdiff_t>(0, source.height));
    if (begin < 0 || begin >= end || end > source.height || begin % kWinogradTile != 0 ||
        (end % kWinogradTile != 0 && end != source.height)) {
      throw py::value_error("rows=(" + std::to_string(begin) + ", " + std::to_string(end) + ") are no blocks of " +
                            std::to_string(kWinogradTile) + " rows of " + std::to_string(source.height));
    }
    Target targets[kMaxStride];
    std::size_t count = 0;
    for (const auto& [scale, array] : dst) {
      const std::string name = "dst[" + std::to_string(scale) + "]";
      if (!upscaler_.has_scale(scale)) throw py::value_error(name + ": the model has no head for this scale");
      const MutableImageView view = to_dst(array, name, bits, src, source);
      if (view.height != source.height * scale || view.width != source.width * scale) refuse_shape(array, name, src);
      targets[count++] = {scale, view};
    }
    py::gil_scoped_release release;
    upscaler_.run(source, std::span<const Target>(targets, count), finish, begin, end, threads, strip_width);
  }

  void resize(const py::array& src, const py::array& dst, const std::vector<int>& scales, int threads,
              std::ptrdiff_t strip_width, int bits, double strength, bool guard, bool guided) const {
    require_threads(threads);
    const Finish finish = to_finish(strength, guard, guided);
    if (strip_width < 0) throw py::value_error("strip_width=" + std::to_string(strip_width) + " is negative");
    if (scales.empty() || scales.size() > static_cast<std::size_t>(kMaxChain)) {
      throw py::value_error("scales has " + std::to_string(scales.size()) + " scales, not 1 to " +
                            std::to_string(kMaxChain));
    }
    std::ptrdiff_t product = 1;
    for (const int scale : scales) {
      if (!upscaler_.has_scale(scale)) {
        throw py::value_error("scales: the model has no head for " + std::to_string(scale));
      }
      product *= scale;
    }
    const ImageView source = to_view(src, static_cast<const unsigned char*>(src.data()), "src", bits);
    const MutableImageView view = to_dst(dst, "dst", bits, src, source);
    const auto fits = [&](std::ptrdiff_t size, std::ptrdiff_t of) {
      return size >= of && size <= of * product && of * product <= kMaxTaps / 4 * size;
    };
    if (!fits(view.height, source.height) || !fits(view.width, source.width)) refuse_shape(dst, "dst", src);
    py::gil_scoped_release release;
    upscaler_.run_resized(source, view, finish, scales, threads, strip_width);
  }

  void bicubic_resize(const py::array& src, const py::array& dst, const std::pair<double, double>& from,
                      const std::pair<double, double>& to, int threads, int bits,
                      const std::pair<double, double>& siting) const {
    require_threads(threads);
    if (src.ndim() != 2) throw py::value_error("src: shape " + describe_shape(src) + " is not (height, width)");
    const auto grows = [](double of, double size) { return of > 0 && size >= of && size < 1e15; };
    if (!grows(from.first, to.first) || !grows(from.second, to.second)) {
      throw py::value_error("source_size and result_size are not sizes, of which the second is no smaller");
    }
    const ImageView source = to_view(src, static_cast<const unsigned char*>(src.data()), "src", bits);
    const MutableImageView view = to_dst(dst, "dst", bits, src, source);
    py::gil_scoped_release release;
    upscaler_.run_bicubic_resized(source, view, {from.first, from.second}, {to.first, to.second},
                                  {siting.first, siting.second}, threads);
  }

  void bicubic(const py::array& src, const py::array& dst, int scale, int threads, int bits,
               const std::pair<double, double>& siting) const {
    require_threads(threads);
    if (scale < 1 || scale > kMaxStride) throw py::value_error("scale=" + std::to_string(scale) + " is not 1 to 4");
    if (src.ndim() != 2) throw py::value_error("src: shape " + describe_shape(src) + " is not (height, width)");
    const ImageView source = to_view(src, static_cast<const unsigned char*>(src.data()), "src", bits);
    const MutableImageView view = to_dst(dst, "dst", bits, src, source);
    const auto fits = [&](std::ptrdiff_t size, std::ptrdiff_t of) {
      return size <= of * scale && size > (of - 1) * scale;
    };
    if (!fits(view.height, source.height) || !fits(view.width, source.width)) refuse_shape(dst, "dst", src);
    py::gil_scoped_release release;
    upscaler_.run_bicubic(source, view, scale, {siting.first, siting.second}, threads);
  }

 private:
  static void require_threads(int threads) {
    if (threads < 1) throw py::value_error("threads=" + std::to_string(threads) + " is not positive");
  }

  static Finish to_finish(double strength, bool guard, bool guided) {
    if (!(strength >= 0 && strength <= 1.5)) {
      throw py::value_error("strength=" + py::str(py::cast(strength)).cast<std::string>() + " is not 0 to 1.5");
    }
    return {static_cast<float>(strength), guard, guided};
  }

  [[noreturn]] static void refuse_shape(const py::array& array, const std::string& name, const py::array& src) {
    throw py::value_error(name + ": shape " + describe_shape(array) + " does not fit src " + describe_shape(src));
  }

  /// A destination of the dtype, rank and channels of the source, and apart from it.
  static MutableImageView to_dst(const py::array& array, const std::string& name, int bits, const py::array& src,
                                 const ImageView& source) {
    if (!array.writeable()) throw py::value_error(name + " is not writeable");
    const MutableImageView view =
        to_view(array, static_cast<unsigned char*>(const_cast<void*>(array.data())), name.c_str(), bits);
    if (view.type != source.type) throw py::type_error(name + ": dtype is not that of src");
    if (array.ndim() != src.ndim() || view.channels != source.channels) refuse_shape(array, name, src);
    const auto [src_low, src_high] = extent(source);
    const auto [low, high] = extent(view);
    if (low <= src_high && src_low <= high) throw py::value_error(name + " overlaps src");
    return view;
  }

  static Model to_model(const std::vector<std::tuple<FloatArray, FloatArray, FloatArray>>& layers,
                        const std::map<int, std::tuple<FloatArray, FloatArray, int, int, int>>& heads,
                        const std::string& padding) {
    Model model{{}, {}, parse_padding(padding)};
    for (const auto& [weight, bias, slope] : layers) model.layers.push_back(to_layer(weight, bias, slope));
    for (const auto& [stride, head] : heads) {
      const auto& [weight, bias, pad, output_padding, border] = head;
      model.heads.push_back(to_head(stride, weight, bias, pad, output_padding, border));
    }
    return model;
  }

  Upscaler upscaler_;
};

FloatArray to_array(const std::vector<float>& values, const std::vector<py::ssize_t>& shape) {
  return FloatArray(shape, values.data());
}

class Gradients {
 public:
  explicit Gradients(const std::string& isa) : engine_(table_by_name(isa)) {}

  py::tuple run(const std::vector<std::tuple<FloatArray, FloatArray, FloatArray>>& layers, const FloatArray& lr,
                const FloatArray& hr, const std::string& loss, int border, int threads, float overshoot) {
    if (loss != "l1" && loss != "mse") throw py::value_error("loss='" + loss + "' is neither 'l1' nor 'mse'");
    if (threads < 1) throw py::value_error("threads=" + std::to_string(threads) + " is not positive");
    if (lr.ndim() != 3 || lr.size() == 0 || lr.shape(1) != lr.shape(2)) {
      throw py::value_error("lr: shape " + describe_shape(lr) + " is not (batch, side, side)");
    }
    const int scale = hr.ndim() == 3 ? static_cast<int>(hr.shape(1) / lr.shape(1)) : 0;
    if (scale < 1 || hr.shape(0) != lr.shape(0) || hr.shape(1) != scale * lr.shape(1) || hr.shape(2) != hr.shape(1)) {
      throw py::value_error("hr: shape " + describe_shape(hr) + " does not fit lr " + describe_shape(lr));
    }
    std::vector<ConvLayer> network;
    for (const auto& [weight, bias, slope] : layers) network.push_back(to_layer(weight, bias, slope));
    std::vector<ConvGradient> gradients;
    double value;
    {
      py::gil_scoped_release release;
      value = engine_.run(network, {lr.data(), hr.data(), lr.shape(0), lr.shape(1), scale, border, overshoot},
                          loss == "l1" ? Loss::l1 : Loss::mse, threads, gradients);
    }
    py::list result;
    for (std::size_t i = 0; i < network.size(); ++i) {
      const ConvLayer& layer = network[i];
      result.append(py::make_tuple(to_array(gradients[i].weight, {layer.oc, layer.ic, layer.kernel, layer.kernel}),
                                   to_array(gradients[i].bias, {layer.oc}), to_array(gradients[i].slope, {layer.oc})));
    }
    return py::make_tuple(value, result);
  }

 private:
  GradientEngine engine_;
};

PYBIND11_MODULE(_core, m) {
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (const KernelTable* table : available_tables()) names.emplace_back(table->isa);
    return names;
  });
  m.def(
      "gather_rows",
      [](std::ptrdiff_t row, int kernel, std::ptrdiff_t height, const std::string& padding) {
        if (kernel < 1 || kernel % 2 == 0) throw py::value_error("kernel=" + std::to_string(kernel) + " is not odd");
        if (height < 1) throw py::value_error("height=" + std::to_string(height) + " is not positive");
        std::vector<std::ptrdiff_t> rows(static_cast<std::size_t>(kernel));
        gather_rows(row - kernel / 2, kernel, height, parse_padding(padding), Head::kFullBorder, rows.data());
        return rows;
      },
      py::arg("row"), py::arg("kernel"), py::arg("height"), py::arg("padding"));
  m.def(
      "fma_peak",
      [](const std::string& isa, int threads, double seconds) {
        const KernelTable& table = table_by_name(isa);
        if (threads < 1) throw py::value_error("threads=" + std::to_string(threads) + " is not positive");
        py::gil_scoped_release release;
        return fma_peak(table, threads, seconds);
      },
      py::arg("isa"), py::arg("threads"), py::arg("seconds"));
  py::class_<Gradients>(m, "Gradients")
      .def(py::init<const std::string&>(), py::arg("isa"))
      .def("run", &Gradients::run, py::arg("layers"), py::arg("lr"), py::arg("hr"), py::arg("loss"), py::arg("border"),
           py::arg("threads"), py::arg("overshoot") = 0.0f);
  py::class_<Network>(m, "Network")
      .def(py::init<const std::vector<std::tuple<FloatArray, FloatArray, FloatArray>>&,
                    const std::map<int, std::tuple<FloatArray, FloatArray, int, int, int>>&, const std::string&,
                    const std::string&, const std::string&>(),
           py::arg("layers"), py::arg("heads"), py::arg("padding"), py::arg("isa"), py::kw_only(),
           py::arg("algorithm") = "winograd")
      .def_property_readonly("isa", &Network::isa)
      .def("run", &Network::run, py::arg("src"), py::arg("dst"), py::arg("threads"), py::kw_only(),
           py::arg("strip_width") = 0, py::arg("bits") = 0, py::arg("rows") = py::none(), py::arg("strength") = 1.0,
           py::arg("guard") = true, py::arg("guided") = true)
      .def("resize", &Network::resize, py::arg("src"), py::arg("dst"), py::arg("scales"), py::arg("threads"),
           py::kw_only(), py::arg("strip_width") = 0, py::arg("bits") = 0, py::arg("strength") = 1.0,
           py::arg("guard") = true, py::arg("guided") = true)
      .def("bicubic_resize", &Network::bicubic_resize, py::arg("src"), py::arg("dst"), py::arg("source_size"),
           py::arg("result_size"), py::arg("threads"), py::kw_only(), py::arg("bits") = 0,
           py::arg("siting") = std::pair(0.5, 0.5))
      .def("bicubic", &Network::bicubic, py::arg("src"), py::arg("dst"), py::arg("scale"), py::arg("threads"),
           py::kw_only(), py::arg("bits") = 0, py::arg("siting") = std::pair(0.5, 0.5));
}

}  // namespace
}  // namespace fsrcnn
