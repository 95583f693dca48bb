"""Other runtimes, each given the same graph: float32, one batch, a fixed number of threads.

Every one is used as well as we know how: the input lies ready in the runtime's own form, and fetching the
result is not timed where the runtime can leave it in place.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from networks import F32, Graph


class Prepared(NamedTuple):
    """A graph that is ready to run on one picture: ``to_numpy(run())`` is (scale * H, scale * W)."""

    run: Callable[[], Any]
    to_numpy: Callable[[Any], F32]


Prepare = Callable[[Graph, F32, int], Prepared]


class Runtime(NamedTuple):
    """A way to run a graph, and the modules it needs."""

    prepare: Prepare
    modules: tuple[str, ...]


def onnxruntime(graph: Graph, plane: F32, threads: int) -> Prepared:
    """ONNX Runtime, its CPU provider; input and output are bound once."""
    ort: Any = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(_onnx(graph, plane.shape), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("input", np.ascontiguousarray(plane[None, None]))
    binding.bind_output("output", "cpu")

    def run() -> object:
        session.run_with_iobinding(binding)
        return binding

    return Prepared(run, lambda bound: bound.copy_outputs_to_cpu()[0][0, 0])


def openvino(graph: Graph, plane: F32, threads: int) -> Prepared:
    """OpenVINO's CPU plugin, told to keep float32: by itself it takes bf16 where the processor has it."""
    ov: Any = import_module("openvino")
    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(core.read_model(_onnx(graph, plane.shape)), "CPU", settings)
    request = model.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ascontiguousarray(plane[None, None])))

    def run() -> object:
        request.infer()
        return request

    return Prepared(run, lambda done: done.get_output_tensor().data[0, 0])


def ncnn(graph: Graph, plane: F32, threads: int) -> Prepared:
    """Tencent's ncnn without its 16-bit options; Winograd and packed layouts are on, as by default."""
    module: Any = import_module("ncnn")
    net = module.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    for kind in ("fp16", "bf16", "int8"):
        for what in ("packed", "storage", "arithmetic"):
            if hasattr(net.opt, f"use_{kind}_{what}"):
                setattr(net.opt, f"use_{kind}_{what}", False)
    with TemporaryDirectory() as folder:
        param, weights = _ncnn_files(graph)
        for name, data in (("net.param", param.encode()), ("net.bin", weights)):
            with open(f"{folder}/{name}", "wb") as file:  # noqa: PTH123
                file.write(data)
        if net.load_param(f"{folder}/net.param") or net.load_model(f"{folder}/net.bin"):
            raise RuntimeError("ncnn does not read the network")
    output = net.output_names()[0]
    source = module.Mat(np.ascontiguousarray(plane[None])).clone()

    def run() -> object:
        extractor = net.create_extractor()
        extractor.input("input", source)
        status, result = extractor.extract(output)
        if status:
            raise RuntimeError(f"ncnn fails with status {status}")
        return result

    return Prepared(run, lambda mat: np.array(mat)[0])


def torch_eager(graph: Graph, plane: F32, threads: int) -> Prepared:
    """PyTorch as it comes."""
    return _torch(graph, plane, threads, compiled=False)


def torch_compile(graph: Graph, plane: F32, threads: int) -> Prepared:
    """PyTorch's compiler on weights laid out channels last, which is the fastest it does here."""
    return _torch(graph, plane, threads, compiled=True)


def opencv(graph: Graph, plane: F32, threads: int) -> Prepared:
    """OpenCV's dnn with the engine it chooses itself."""
    return _opencv(graph, plane, threads, "ENGINE_AUTO")


def opencv_classic(graph: Graph, plane: F32, threads: int) -> Prepared:
    """OpenCV's dnn with the engine it had before version 5."""
    return _opencv(graph, plane, threads, "ENGINE_CLASSIC")


RUNTIMES = {
    "onnxruntime": Runtime(onnxruntime, ("onnx", "onnxruntime")),
    "openvino": Runtime(openvino, ("onnx", "openvino")),
    "ncnn": Runtime(ncnn, ("ncnn",)),
    "torch": Runtime(torch_eager, ("torch",)),
    "torch.compile": Runtime(torch_compile, ("torch",)),
    "opencv": Runtime(opencv, ("onnx", "cv2")),
    "opencv classic": Runtime(opencv_classic, ("onnx", "cv2")),
}


def _torch(graph: Graph, plane: F32, threads: int, *, compiled: bool) -> Prepared:
    torch: Any = import_module("torch")
    torch.set_num_threads(threads)
    nn = torch.nn
    modules: list[Any] = []
    for layer in graph.convolutions:
        conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, padding=layer.kernel // 2)
        conv.weight.data, conv.bias.data = torch.tensor(layer.weight), torch.tensor(layer.bias)
        modules.append(conv)
        if layer.activation != "none":
            modules.append(nn.PReLU(layer.out_channels))
            modules[-1].weight.data = torch.tensor(layer.slope)
    if graph.head is None:
        modules.append(nn.PixelShuffle(graph.scale))
    else:
        head = graph.head
        channels, _, kernel, _ = head.weight.shape
        deconv = nn.ConvTranspose2d(channels, 1, kernel, graph.scale, head.pad, head.output_padding)
        deconv.weight.data, deconv.bias.data = torch.tensor(head.weight), torch.tensor(head.bias)
        modules.append(deconv)
    net = nn.Sequential(*modules).eval()
    if compiled:
        net = torch.compile(net.to(memory_format=torch.channels_last), fullgraph=True, dynamic=False)
    source = torch.tensor(plane)[None, None]

    def run() -> object:
        with torch.inference_mode():
            return net(source)

    return Prepared(run, lambda tensor: tensor.numpy()[0, 0])


def _opencv(graph: Graph, plane: F32, threads: int, engine: str) -> Prepared:
    cv2: Any = import_module("cv2")
    cv2.setNumThreads(threads)
    data = np.frombuffer(_onnx(graph, plane.shape), np.uint8)
    # Before version 5 there is one engine and no choice.
    choice = [getattr(cv2.dnn, engine)] if hasattr(cv2.dnn, engine) else []
    net = cv2.dnn.readNetFromONNX(data, *choice)
    source = np.ascontiguousarray(plane[None, None])

    def run() -> object:
        net.setInput(source)
        return net.forward()

    return Prepared(run, lambda array: array[0, 0])


def _onnx(graph: Graph, shape: tuple[int, ...]) -> bytes:
    """Write the graph as an ONNX model of a fixed size."""
    onnx: Any = import_module("onnx")
    helper = onnx.helper
    nodes: list[Any] = []
    tensors: list[Any] = []
    value = "input"

    def add(operator: str, *weights: F32, **attributes: object) -> None:
        nonlocal value
        i = len(nodes)
        names = [f"weight{i}.{j}" for j in range(len(weights))]
        tensors.extend(map(onnx.numpy_helper.from_array, weights, names))
        nodes.append(helper.make_node(operator, [value, *names], [f"value{i}"], **attributes))
        value = f"value{i}"

    for layer in graph.convolutions:
        kernel = [layer.kernel] * 2
        add("Conv", layer.weight, layer.bias, kernel_shape=kernel, pads=[layer.kernel // 2] * 4)
        if layer.activation != "none":
            add("PRelu", layer.slope[:, None, None])
    if graph.head is None:
        add("DepthToSpace", blocksize=graph.scale, mode="CRD")
    else:
        head = graph.head
        add(
            "ConvTranspose",
            head.weight,
            head.bias,
            kernel_shape=list(head.weight.shape[2:]),
            strides=[graph.scale] * 2,
            pads=[head.pad] * 4,
            output_padding=[head.output_padding] * 2,
        )
    nodes[-1].output[0] = "output"
    height, width = shape
    float32 = onnx.TensorProto.FLOAT
    net = helper.make_graph(
        nodes,
        "fsrcnn",
        [helper.make_tensor_value_info("input", float32, [1, 1, height, width])],
        [helper.make_tensor_value_info("output", float32, [1, 1, graph.scale * height, graph.scale * width])],
        tensors,
    )
    # Old enough for every runtime.
    model = helper.make_model(net, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _ncnn_files(graph: Graph) -> tuple[str, bytes]:
    """Write the graph in ncnn's own format: lines of numbered parameters, and the weights one by one."""
    lines = ["Input input 0 1 input"]
    weights: list[bytes] = []
    value = "input"

    def add(kind: str, parameters: dict[int, int], tagged: F32 | None, *plain: F32) -> None:
        nonlocal value
        name = f"value{len(lines)}"
        settings = " ".join(f"{key}={setting}" for key, setting in parameters.items())
        lines.append(f"{kind} {name} 1 1 {value} {name} {settings}")
        value = name
        if tagged is not None:
            weights.append(bytes(4) + tagged.tobytes())  # the tag 0 says float32
        weights.extend(array.tobytes() for array in plain)

    for layer in graph.convolutions:
        parameters = {
            0: layer.out_channels,
            1: layer.kernel,
            4: layer.kernel // 2,
            5: 1,
            6: layer.weight.size,
        }
        add("Convolution", parameters, layer.weight, layer.bias)
        if layer.activation != "none":
            add("PReLU", {0: layer.out_channels}, None, layer.slope)
    if graph.head is None:
        add("PixelShuffle", {0: graph.scale}, None)
    else:
        head = graph.head
        extra = head.output_padding
        parameters = {
            0: 1, 1: head.weight.shape[2], 3: graph.scale, 4: head.pad, 5: 1, 6: head.weight.size,
            18: extra, 19: extra,
        }  # fmt: skip
        add("Deconvolution", parameters, head.weight.swapaxes(0, 1), head.bias)
    header = f"7767517\n{len(lines)} {len(lines)}\n"
    return header + "\n".join(lines) + "\n", b"".join(weights)
