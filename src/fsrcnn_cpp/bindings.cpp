// pybind11 only: translates numpy arrays into views, and exceptions into Python's. Prose lives in _core.pyi.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <map>
#include <string>
#include <utility>

#include "changes.h"
#include "fma_peak.h"
#include "gradient.h"
#include "kernels/dispatch.h"
#include "planes.h"
#include "stream.h"
#include "take_gil.h"
#include "upscaler.h"

namespace py = pybind11;

namespace fsrcnn {
namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

/// Leaves the GIL to others for as long as it lives.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { take_gil(state_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* const state_;
};

Padding parse_padding(const std::string& name) {
  if (name == "zeros") return Padding::zeros;
  if (name == "replicate") return Padding::replicate;
  throw py::value_error("padding='" + name + "' is neither 'zeros' nor 'replicate'");
}

Colour parse_colour(const std::string& name, int planes) {
  if (planes == 1 && name == "y") return Colour::luma;
  if (planes == 3 && name == "ycbcr") return Colour::ycbcr;
  if (planes == 3 && name == "rgb") return Colour::rgb;
  throw py::value_error("colour='" + name + "' with planes=" + std::to_string(planes) +
                        " is none of 'y' with 1, 'ycbcr' and 'rgb' with 3");
}

Precision parse_precision(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "int16") return Precision::int16;
  throw py::value_error("precision='" + name + "' is neither 'float32' nor 'int16'");
}

Algorithm parse_algorithm(const std::string& name) {
  if (name == "direct") return Algorithm::direct;
  if (name == "winograd") return Algorithm::winograd;
  throw py::value_error("algorithm='" + name + "' is neither 'direct' nor 'winograd'");
}

std::vector<float> to_vector(const FloatArray& array) { return {array.data(), array.data() + array.size()}; }

int dim(const FloatArray& array, int axis) { return static_cast<int>(array.shape(axis)); }

ConvLayer to_layer(const FloatArray& weight, const FloatArray& bias, const FloatArray& slope, int groups = 1) {
  if (weight.ndim() != 4 || weight.shape(2) != weight.shape(3)) {
    throw py::value_error("weight is not (oc, ic / groups, k, k)");
  }
  return {.ic = dim(weight, 1) * groups,
          .oc = dim(weight, 0),
          .kernel = dim(weight, 2),
          .weight = to_vector(weight),
          .bias = to_vector(bias),
          .slope = to_vector(slope),
          .groups = groups};
}

using RangeTuple = std::tuple<int, int, int>;  // of, first, count
using NodeTuple = std::tuple<FloatArray, FloatArray, FloatArray, int, RangeTuple, std::vector<RangeTuple>>;
using HeadTuple = std::tuple<FloatArray, FloatArray, int, int, int>;

Channels to_channels(const RangeTuple& range) {
  return {.of = std::get<0>(range), .first = std::get<1>(range), .count = std::get<2>(range)};
}

Node to_node(const NodeTuple& tuple) {
  const auto& [weight, bias, slope, groups, source, adds] = tuple;
  Node node{.conv = to_layer(weight, bias, slope, groups), .source = to_channels(source), .adds = {}};
  for (const RangeTuple& range : adds) node.adds.push_back(to_channels(range));
  return node;
}

Head to_head(int stride, const HeadTuple& tuple, bool enlarged) {
  const auto& [weight, bias, pad, output_padding, border] = tuple;
  const bool fits = weight.ndim() == 4 && weight.shape(2) == weight.shape(3) && bias.ndim() == 1 &&
                    (enlarged ? weight.shape(0) : weight.shape(1)) == (enlarged ? bias.shape(0) : 1);
  if (!fits) {
    throw py::value_error(enlarged ? "head is not weight (planes, ic, k, k), bias (planes,)"
                                   : "head is not weight (ic, 1, k, k), bias (1,)");
  }
  return {.stride = stride,
          .pad = pad,
          .output_padding = output_padding,
          .border = border,
          .ic = dim(weight, enlarged ? 1 : 0),
          .kernel = dim(weight, 2),
          .weight = to_vector(weight),
          .bias = to_vector(bias),
          .enlarges = !enlarged};
}

Model to_model(const std::vector<NodeTuple>& nodes, const std::map<int, HeadTuple>& heads, const std::string& padding,
               Colour colour, bool enlarged, bool plus_bicubic) {
  Model model{.nodes = {},
              .heads = {},
              .padding = parse_padding(padding),
              .plus_bicubic = plus_bicubic,
              .enlarged = enlarged,
              .colour = colour};
  for (const NodeTuple& node : nodes) model.nodes.push_back(to_node(node));
  for (const auto& [stride, head] : heads) model.heads.push_back(to_head(stride, head, enlarged));
  return model;
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
BasicImageView<Byte> to_view(const py::array& array, Byte* data, const std::string& name, int bits) {
  BasicImageView<Byte> view{};
  const py::dtype dtype = array.dtype();
  if (dtype.equal(py::dtype::of<uint8_t>())) {
    view.type = SampleType::u8;
  } else if (dtype.equal(py::dtype::of<uint16_t>())) {
    view.type = SampleType::u16;
  } else if (dtype.equal(py::dtype::of<float>())) {
    view.type = SampleType::f32;
  } else {
    throw py::type_error(name + ": dtype " + py::str(dtype).cast<std::string>() + " is not uint8, uint16 or float32");
  }
  const bool has_channels = array.ndim() == 3;
  if ((array.ndim() != 2 && !has_channels) || array.size() == 0 || (has_channels && array.shape(2) > 4)) {
    throw py::value_error(name + ": shape " + describe_shape(array) +
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

ImageView to_source(const py::array& array, int bits) {
  return to_view(array, static_cast<const unsigned char*>(array.data()), "src", bits);
}

/// Of the rank of the source.
MutableImageView to_destination(const py::array& array, const std::string& name, int bits, const py::array& src) {
  if (!array.writeable()) throw py::value_error(name + " is not writeable");
  if (array.ndim() != src.ndim()) {
    throw py::value_error(name + ": shape " + describe_shape(array) + " does not fit src " + describe_shape(src));
  }
  return to_view(array, static_cast<unsigned char*>(const_cast<void*>(array.data())), name, bits);
}

ImageView to_plane(const py::array& src, int bits) {
  if (src.ndim() != 2) throw py::value_error("src: shape " + describe_shape(src) + " is not (height, width)");
  return to_source(src, bits);
}

using Box = std::array<std::ptrdiff_t, 4>;  // left, top, right, bottom

std::vector<Tile> to_tiles(const std::vector<Box>& parts) {
  std::vector<Tile> tiles;
  for (const auto& [left, top, right, bottom] : parts) tiles.push_back({{left, right}, top, bottom});
  return tiles;
}

Finish to_finish(double strength, bool guard, bool guided) {
  return {.strength = static_cast<float>(strength), .guard = guard, .guided = guided};
}

class Network {
 public:
  Network(const std::vector<NodeTuple>& nodes, const std::map<int, HeadTuple>& heads, const std::string& padding,
          const std::string& isa, int planes, const std::string& colour, bool enlarged, bool plus_bicubic,
          const std::string& algorithm, const std::string& precision)
      : isa_(isa),
        precision_(precision),
        upscaler_(to_model(nodes, heads, padding, parse_colour(colour, planes), enlarged, plus_bicubic),
                  table_by_name(isa, parse_precision(precision)), parse_algorithm(algorithm)),
        planes_(upscaler_.kernels()) {}

  std::string isa() const { return isa_; }
  std::string precision() const { return precision_; }
  std::ptrdiff_t reach(int scale) const { return upscaler_.reach(scale); }

  void run(const py::array& src, const std::map<int, py::array>& dst, int threads, std::ptrdiff_t strip_width, int bits,
           const std::vector<Box>& parts, double strength, bool guard, bool guided) const {
    const ImageView source = to_source(src, bits);
    std::vector<Target> targets;
    for (const auto& [scale, array] : dst) {
      targets.push_back({scale, to_destination(array, "dst[" + std::to_string(scale) + "]", bits, src)});
    }
    const WithoutGil released;
    upscaler_.run(source, targets, to_finish(strength, guard, guided), threads, strip_width, to_tiles(parts));
  }

  void resize(const py::array& src, const py::array& dst, const std::vector<int>& scales, int threads,
              std::ptrdiff_t strip_width, int bits, const std::vector<Box>& parts, double strength, bool guard,
              bool guided) const {
    const ImageView source = to_source(src, bits);
    const MutableImageView view = to_destination(dst, "dst", bits, src);
    const WithoutGil released;
    upscaler_.run_resized(source, view, to_finish(strength, guard, guided), scales, threads, strip_width,
                          to_tiles(parts));
  }

  void bicubic_resize(const py::array& src, const py::array& dst, const std::pair<double, double>& from,
                      const std::pair<double, double>& to, int threads, int bits,
                      const std::pair<double, double>& siting) const {
    const ImageView source = to_plane(src, bits);
    const MutableImageView view = to_destination(dst, "dst", bits, src);
    const WithoutGil released;
    planes_.resize(source, view, {from.first, from.second}, {to.first, to.second}, {siting.first, siting.second},
                   threads);
  }

  void bicubic(const py::array& src, const py::array& dst, int scale, int threads, int bits,
               const std::pair<double, double>& siting) const {
    const ImageView source = to_plane(src, bits);
    const MutableImageView view = to_destination(dst, "dst", bits, src);
    const WithoutGil released;
    planes_.enlarge(source, view, scale, {siting.first, siting.second}, threads);
  }

 private:
  std::string isa_, precision_;
  Upscaler upscaler_;
  PlaneUpscaler planes_;
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
      const WithoutGil released;
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

PYBIND11_MODULE(main_core, m) {
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (const KernelSet& set : available_sets()) names.emplace_back(set.isa);
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
        const WithoutGil released;
        return fma_peak(table, threads, seconds);
      },
      py::arg("isa"), py::arg("threads"), py::arg("seconds"));
  m.def(
      "changed_parts",
      [](const py::array& src, const py::array& before, std::ptrdiff_t reach) {
        const ImageView now = to_plane(src, 0), then = to_plane(before, 0);
        std::vector<Tile> parts;
        {
          const WithoutGil released;
          parts = changed_parts(now, then, reach);
        }
        std::vector<std::tuple<std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t>> boxes;
        for (const Tile& part : parts) boxes.emplace_back(part.columns.begin, part.y0, part.columns.end, part.y1);
        return boxes;
      },
      py::arg("src"), py::arg("before"), py::arg("reach"));
  m.def(
      "copy_all_but",
      [](const std::vector<Box>& parts, const py::array& before, const py::array& dst) {
        const ImageView source = to_plane(before, 0);
        const MutableImageView view = to_destination(dst, "dst", 0, before);
        const WithoutGil released;
        return copy_all_but(to_tiles(parts), source, view);
      },
      py::arg("parts"), py::arg("before"), py::arg("dst"));
  py::class_<Gradients>(m, "Gradients")
      .def(py::init<const std::string&>(), py::arg("isa"))
      .def("run", &Gradients::run, py::arg("layers"), py::arg("lr"), py::arg("hr"), py::arg("loss"), py::arg("border"),
           py::arg("threads"), py::arg("overshoot") = 0.0f);
  py::class_<Network>(m, "Network")
      .def(py::init<const std::vector<NodeTuple>&, const std::map<int, HeadTuple>&, const std::string&,
                    const std::string&, int, const std::string&, bool, bool, const std::string&, const std::string&>(),
           py::arg("nodes"), py::arg("heads"), py::arg("padding"), py::arg("isa"), py::kw_only(), py::arg("planes") = 1,
           py::arg("colour") = "y", py::arg("enlarged") = false, py::arg("plus_bicubic") = false,
           py::arg("algorithm") = "winograd", py::arg("precision") = "float32")
      .def_property_readonly("isa", &Network::isa)
      .def_property_readonly("precision", &Network::precision)
      .def("reach", &Network::reach, py::arg("scale"))
      .def("run", &Network::run, py::arg("src"), py::arg("dst"), py::arg("threads"), py::kw_only(),
           py::arg("strip_width") = 0, py::arg("bits") = 0, py::arg("parts") = py::tuple(), py::arg("strength") = 1.0,
           py::arg("guard") = true, py::arg("guided") = true)
      .def("resize", &Network::resize, py::arg("src"), py::arg("dst"), py::arg("scales"), py::arg("threads"),
           py::kw_only(), py::arg("strip_width") = 0, py::arg("bits") = 0, py::arg("parts") = py::tuple(),
           py::arg("strength") = 1.0, py::arg("guard") = true, py::arg("guided") = true)
      .def("bicubic_resize", &Network::bicubic_resize, py::arg("src"), py::arg("dst"), py::arg("source_size"),
           py::arg("result_size"), py::arg("threads"), py::kw_only(), py::arg("bits") = 0,
           py::arg("siting") = std::pair(0.5, 0.5))
      .def("bicubic", &Network::bicubic, py::arg("src"), py::arg("dst"), py::arg("scale"), py::arg("threads"),
           py::kw_only(), py::arg("bits") = 0, py::arg("siting") = std::pair(0.5, 0.5));
}

/// What Python calls. pybind11 would wait for the GIL of the main interpreter, for ever, before it looked at anything.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "fsrcnn_rt runs in the main interpreter only: for work in parallel take threads, which it serves "
                    "without the GIL, or processes");
    return nullptr;
  }
  return PyInit_main_core();
}

}  // namespace
}  // namespace fsrcnn
