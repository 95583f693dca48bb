"""Other runtimes, each given the same graph: one batch, a fixed number of threads; float32, or what they say.

Every one is used as well as we know how: the input lies ready in the runtime's own form, and fetching the
result is not timed where the runtime can leave it in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from graphs import F32, Add, Concat, Convolve, Deconvolve, Graph, Shuffle, Slice, Step, sources
from photographs import set5


class Prepared(NamedTuple):
    """A graph that is ready to run on one picture: ``to_numpy(run())`` is (scale * H, scale * W)."""

    run: Callable[[], Any]
    to_numpy: Callable[[Any], F32]


_MNN_WINOGRAD_MEMORY_LEVEL = 3  # a HintMode, which has no name in Python

Prepare = Callable[[Graph, F32, int], Prepared]


class Runtime(NamedTuple):
    """A way to run a graph, the modules it needs, and what it computes with."""

    prepare: Prepare
    modules: tuple[str, ...]
    precision: str = "float32"


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
    return _openvino(ov.Core().read_model(_onnx(graph, plane.shape)), plane, threads, "f32")


def openvino_bf16(graph: Graph, plane: F32, threads: int) -> Prepared:
    """OpenVINO in bfloat16; ``RuntimeError`` where the processor has no instructions for it."""
    ov: Any = import_module("openvino")
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("the processor has no bfloat16")
    return _openvino(ov.Core().read_model(_onnx(graph, plane.shape)), plane, threads, "bf16")


def openvino_int8(graph: Graph, plane: F32, threads: int) -> Prepared:
    """OpenVINO in 8 bits, as NNCF quantises; calibrated by the pictures that PSNR is measured on.

    No network can have better ones. ``RuntimeError`` where they are missing.
    """
    model = _quantised(graph).clone()
    model.reshape([1, 1, *plane.shape])
    return _openvino(model, plane, threads, "f32")  # of what is not quantised


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
    array = np.ascontiguousarray(plane[None])  # which must live until it has been copied
    source = module.Mat(array).clone()

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


def mnn(graph: Graph, plane: F32, threads: int) -> Prepared:
    """Alibaba's MNN, with the largest Winograd tiles that keep its error below 1e-5 of full scale.

    Those that it takes by itself had errors of up to 6e-4.
    """
    module: Any = import_module("MNN")
    # The converter without MNN.tools, whose import installs a package that reports on its use.
    tools: Any = import_module("_tools")
    with TemporaryDirectory() as folder:
        exported, converted = f"{folder}/net.onnx", f"{folder}/net.mnn"
        Path(exported).write_bytes(_onnx(graph, plane.shape))
        tools.mnnconvert(
            ["", "-f", "ONNX", "--modelFile", exported, "--MNNModel", converted, "--bizCode", "MNN"]
        )
        interpreter = module.Interpreter(converted)
    interpreter.setSessionHint(_MNN_WINOGRAD_MEMORY_LEVEL, 1)
    session = interpreter.createSession({"backend": "CPU", "precision": "high", "numThread": threads})

    def tensor(array: F32) -> Any:
        layout = module.Tensor_DimensionType_Caffe
        return module.Tensor(array.shape, module.Halide_Type_Float, array, layout)

    array = np.ascontiguousarray(plane[None, None])
    interpreter.getSessionInput(session).copyFrom(tensor(array))
    result = interpreter.getSessionOutput(session)

    def run() -> object:
        interpreter.runSession(session)
        return result

    def to_numpy(output: Any) -> F32:
        empty = np.empty(output.getShape(), np.float32)
        copy = tensor(empty)
        output.copyToHostTensor(copy)
        made: F32 = np.array(copy.getNumpyData(), np.float32)[0, 0]
        return made

    return Prepared(run, to_numpy)


RUNTIMES = {  # those in float32 first
    "onnxruntime": Runtime(onnxruntime, ("onnx", "onnxruntime")),
    "openvino": Runtime(openvino, ("onnx", "openvino")),
    "ncnn": Runtime(ncnn, ("ncnn",)),
    "mnn": Runtime(mnn, ("onnx", "MNN")),
    "torch": Runtime(torch_eager, ("torch",)),
    "torch.compile": Runtime(torch_compile, ("torch",)),
    "opencv": Runtime(opencv, ("onnx", "cv2")),
    "opencv classic": Runtime(opencv_classic, ("onnx", "cv2")),
    "openvino bf16": Runtime(openvino_bf16, ("onnx", "openvino"), "bf16"),
    "openvino int8": Runtime(openvino_int8, ("onnx", "openvino", "nncf"), "int8"),
}


def _openvino(model: Any, plane: F32, threads: int, precision: str) -> Prepared:
    ov: Any = import_module("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ascontiguousarray(plane[None, None])))

    def run() -> object:
        request.infer()
        return request

    return Prepared(run, lambda done: done.get_output_tensor().data[0, 0])


_quantised_models: dict[tuple[str, str, int], Any] = {}  # as it takes long


def _quantised(graph: Graph) -> Any:
    """Quantise a graph for pictures of any size."""
    key = (graph.name, graph.form, graph.scale)
    if key not in _quantised_models:
        ov: Any = import_module("openvino")
        nncf: Any = import_module("nncf")
        planes = [pair.lr for pair in set5(graph.scale)]
        if not planes:
            raise RuntimeError("there are no pictures to calibrate with")
        model = ov.Core().read_model(_onnx(graph, planes[0].shape))
        model.reshape([1, 1, -1, -1])
        dataset = nncf.Dataset([plane[None, None] for plane in planes])
        # Sums are symmetric, activations are not: after a PReLU there is little below zero.
        preset = nncf.QuantizationPreset.MIXED
        _quantised_models[key] = nncf.quantize(model, dataset, preset=preset, fast_bias_correction=False)
    return _quantised_models[key]


def _torch(graph: Graph, plane: F32, threads: int, *, compiled: bool) -> Prepared:
    torch: Any = import_module("torch")
    torch.set_num_threads(threads)
    net = _module(torch, graph).eval()
    if compiled:
        net = torch.compile(net.to(memory_format=torch.channels_last), fullgraph=True, dynamic=False)
    source = torch.tensor(plane)[None, None]

    def run() -> object:
        with torch.inference_mode():
            return net(source)

    return Prepared(run, lambda tensor: tensor.numpy()[0, 0])


def _module(torch: Any, graph: Graph) -> Any:
    """Make a PyTorch module of the graph."""
    nn = torch.nn

    def module(step: Step) -> Any:
        if isinstance(step, Convolve):
            oc, ic, kernel, _ = step.weight.shape
            conv = nn.Conv2d(ic * step.groups, oc, kernel, step.stride, step.pad, groups=step.groups)
            constant = step.constant_slope
            if constant is None:
                activation = nn.PReLU(oc)
                activation.weight.data = torch.tensor(step.slope)
            else:
                activation = nn.Identity() if constant == 1 else nn.LeakyReLU(constant)
            made = nn.Sequential(conv, activation)
        elif isinstance(step, Deconvolve):
            ic, _, kernel, _ = step.weight.shape
            conv = nn.ConvTranspose2d(ic, 1, kernel, step.stride, step.pad, max(step.output_padding, 0))
            made = conv
        else:
            return nn.PixelShuffle(step.scale) if isinstance(step, Shuffle) else nn.Identity()
        conv.weight.data, conv.bias.data = torch.tensor(step.weight), torch.tensor(step.bias)
        return made

    class Net(nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.modules_of_steps = nn.ModuleList(map(module, graph.steps))

        def forward(self, picture: Any) -> Any:
            made = [picture]
            for step, apply in zip(graph.steps, self.modules_of_steps, strict=True):
                x = [made[i] for i in sources(step)]
                if isinstance(step, Slice):
                    made.append(x[0][:, step.first : step.end])
                elif isinstance(step, Concat):
                    made.append(torch.cat(x, 1))
                elif isinstance(step, Add):
                    made.append(x[0] + x[1])
                elif isinstance(step, Deconvolve) and step.output_padding < 0:
                    made.append(apply(x[0])[..., : step.output_padding, : step.output_padding])
                else:
                    made.append(apply(x[0]))
            return made[-1]

    return Net()


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
    names = ["input"]  # of the results

    def constants(*arrays: npt.NDArray[Any]) -> list[str]:
        first = len(tensors)
        added = [f"constant{first + i}" for i in range(len(arrays))]
        tensors.extend(map(onnx.numpy_helper.from_array, arrays, added))
        return added

    def add(operator: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"value{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    for step in graph.steps:
        x = [names[i] for i in sources(step)]
        if isinstance(step, Convolve):
            y = add(
                "Conv",
                x + constants(step.weight, step.bias),
                kernel_shape=list(step.weight.shape[2:]),
                pads=4 * [step.pad],
                strides=2 * [step.stride],
                group=step.groups,
            )
            constant = step.constant_slope
            if constant is None:
                y = add("PRelu", [y, *constants(step.slope[:, None, None])])
            elif constant == 0:
                y = add("Relu", [y])
            elif constant != 1:
                y = add("LeakyRelu", [y], alpha=constant)
        elif isinstance(step, Slice):
            ends = (np.array([value], np.int64) for value in (step.first, step.end, 1))
            y = add("Slice", x + constants(*ends))
        elif isinstance(step, Concat):
            y = add("Concat", x, axis=1)
        elif isinstance(step, Add):
            y = add("Add", x)
        elif isinstance(step, Deconvolve):
            y = add(
                "ConvTranspose",
                x + constants(step.weight, step.bias),
                kernel_shape=list(step.weight.shape[2:]),
                strides=2 * [step.stride],
                # A negative output padding is a larger pad at the end.
                pads=2 * [step.pad] + 2 * [step.pad - min(step.output_padding, 0)],
                output_padding=2 * [max(step.output_padding, 0)],
            )
        else:
            y = add("DepthToSpace", x, blocksize=step.scale, mode="CRD")
        names.append(y)
    nodes[-1].output[0] = "output"
    height, width = shape
    float32 = onnx.TensorProto.FLOAT
    net = helper.make_graph(
        nodes,
        "network",
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
    lines: list[str] = []
    weights: list[bytes] = []
    blobs = 0
    # A blob has one reader; what several read is copied by name alone, which costs nothing.
    readers = Counter(source for step in graph.steps for source in sources(step))
    names: list[list[str]] = []  # of every result, one for each reader

    def add(
        kind: str, inputs: Sequence[str], parameters: str, tagged: F32 | None, *plain: F32, count: int = 1
    ) -> list[str]:
        nonlocal blobs
        name = f"layer{len(lines)}"
        outputs = [f"{name}.{i}" for i in range(count)] if inputs else ["input"]
        lines.append(
            " ".join([kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, parameters])
        )
        blobs += len(outputs)
        if tagged is not None:
            weights.append(bytes(4) + tagged.tobytes())  # the tag 0 says float32
        weights.extend(array.tobytes() for array in plain)
        return outputs

    def finish(made: list[str]) -> None:
        count = readers[len(names)]
        names.append(add("Split", made, "", None, count=count) if count > 1 else made)

    def numbered(parameters: dict[int, float]) -> str:
        return " ".join(f"{key}={value}" for key, value in parameters.items())

    finish(add("Input", [], "", None))
    for step in graph.steps:
        x = [names[i].pop() for i in sources(step)]
        if isinstance(step, Convolve):
            oc, _, kernel, _ = step.weight.shape
            settings = {0: oc, 1: kernel, 3: step.stride, 4: step.pad, 5: 1, 6: step.weight.size}
            if step.groups > 1:
                settings[7] = step.groups
            constant = step.constant_slope
            parameters = numbered(settings)
            if constant == 0:
                parameters += " 9=1"
            elif constant not in (None, 1):
                parameters += f" 9=2 -23310=1,{constant}"
            kind = "Convolution" if step.groups == 1 else "ConvolutionDepthWise"
            y = add(kind, x, parameters, step.weight, step.bias)
            if constant is None:
                y = add("PReLU", y, f"0={oc}", None, step.slope)
        elif isinstance(step, Slice):
            y = add("Crop", x, f"-23309=1,{step.first} -23310=1,{step.end} -23311=1,0", None)
        elif isinstance(step, Concat):
            y = add("Concat", x, "0=0", None)
        elif isinstance(step, Add):
            y = add("BinaryOp", x, "0=0", None)
        elif isinstance(step, Deconvolve):
            extra, cut = max(step.output_padding, 0), max(-step.output_padding, 0)
            settings = {
                0: 1, 1: step.weight.shape[2], 3: step.stride, 4: step.pad, 14: step.pad,
                15: step.pad + cut, 16: step.pad + cut, 5: 1, 6: step.weight.size, 18: extra, 19: extra,
            }  # fmt: skip
            y = add("Deconvolution", x, numbered(settings), step.weight.swapaxes(0, 1), step.bias)
        else:
            y = add("PixelShuffle", x, f"0={step.scale}", None)
        finish(y)
    header = f"7767517\n{len(lines)} {blobs}\n"
    return header + "\n".join(lines) + "\n", b"".join(weights)
