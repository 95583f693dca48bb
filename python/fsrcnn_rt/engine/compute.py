"""Arrays through the core: a model's packed weights, and what is computed with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import numpy as np

from fsrcnn_rt import _core
from fsrcnn_rt.engine.arrays import (
    AnyArray,
    check_array,
    extend_colour,
    from_compute,
    is_computed_directly,
    swapped,
    to_compute,
)
from fsrcnn_rt.engine.options import Options, Precision
from fsrcnn_rt.engine.outputs import allocate, check_outputs
from fsrcnn_rt.engine.planes import Layout, has_alpha
from fsrcnn_rt.engine.reuse import Before, Part, enlarged
from fsrcnn_rt.engine.sizes import Goal, Size, exact_scale, passes, reach, size_of
from fsrcnn_rt.model import Model
from fsrcnn_rt.model.network import BICUBIC_REACH

PictureProgress: TypeAlias = Callable[[float], object]

# What a thread computes before the call comes back to Python, which tells of progress and sees Ctrl-C: half a
# second. At least so many rows, as some are computed twice at each seam; a multiple of the core's blocks.
_PIXELS_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 512

# Rows and columns that the core computes together.
_BLOCK = 4

# Multiplications for an input pixel of the largest network that is computed in fixed point unasked, five
# times FSRCNN's: what a layer rounds off, others carry on, and it takes seconds to measure a large network.
_MOST_MACS = 1 << 16


class Engine:
    """A model with its weights in the order in which the kernels of one instruction set read them.

    ``options``: of these, strength, colour, guard and precision.
    """

    def __init__(self, model: Model, isa: str, options: Options) -> None:
        self.model = model
        self.isa = isa
        # By precision; packed when the first picture needs them, but for those of 8 bits.
        self._networks: dict[Literal["float32", "int16"], _core.Network] = {}
        self._of_8_bits = self._pack_for_8_bits(options.precision)
        self._of_others = self._of_8_bits if options.precision != "auto" else "float32"
        # What the core is to make of the network's result.
        self._finish: dict[str, Any] = {
            "strength": options.strength,
            "guard": options.guard,
            "guided": options.colour == "guided",
        }
        self._by_channel = options.colour == "rgb"
        self._reach = model.reach  # counted once, as small pictures take little longer

    def precision_for(self, dtype: np.dtype[Any]) -> Literal["float32", "int16"]:
        """Tell what the network computes with for pictures of a dtype."""
        return self._of_8_bits if dtype == np.uint8 else self._of_others

    def network_for(self, dtype: np.dtype[Any]) -> _core.Network:
        """Give the network for pictures of a dtype. No lock: at worst two threads pack the same weights."""
        precision = self.precision_for(dtype)
        return self._networks.get(precision) or self._pack(precision)

    def _pack_for_8_bits(self, precision: Precision) -> Literal["float32", "int16"]:
        """Pack the weights for pictures of 8 bits, and tell what these are computed with."""
        if precision == "auto":
            precision = "float32"
            network = self.model.architecture
            if network.is_chain and max(map(network.macs, network.heads)) <= _MOST_MACS:
                with suppress(ValueError):  # of weights that do not fit
                    self._pack("int16")
                    return "int16"
        self._pack(precision)
        return precision

    def _pack(self, precision: Literal["float32", "int16"]) -> _core.Network:
        try:
            network = _packed(self.model, self.isa, precision)
        except ValueError as error:  # float32 takes every model
            raise ValueError(f"model {self.model.name!r}: {error}") from None
        self._networks[precision] = network
        return network

    def upscale(
        self,
        image: AnyArray,
        goals: Sequence[Goal],
        threads: int,
        *,
        out: Mapping[Goal, AnyArray] | None = None,
        bgr: bool = False,
        progress: PictureProgress | None = None,
    ) -> dict[Goal, AnyArray]:
        """Upscale an array to each of the goals, and give the results by goal, in the dtype of ``image``.

        ``out``: the arrays to write to, by goal. ``bgr``: whether the channels of a colour picture are the
        other way round. Raises ``TypeError`` or ``ValueError`` for an image or arrays of ``out`` that do not
        fit, before anything is written.
        """
        check_array(image)
        size = (image.shape[1], image.shape[0])
        sizes = {goal: size_of(goal, size) for goal in goals}
        shapes = {goal: (*wanted[::-1], *image.shape[2:]) for goal, wanted in sizes.items()}
        if out is not None:
            check_outputs(out, shapes, image)
        src = to_compute(swapped(image) if bgr else image)
        dst = {
            goal: out[goal] if out and is_computed_directly(out[goal]) else allocate(shape, src.dtype)
            for goal, shape in shapes.items()
        }
        # Of three channels the core writes through a reversed view; of four there is none to write through.
        reverse = bgr and image.shape[2] == 3
        results = {goal: swapped(array) if reverse else array for goal, array in dst.items()}
        self._compute(src, results, sizes, threads, progress)
        if bgr and not reverse:
            for array in dst.values():
                array[..., :3] = array[..., 2::-1]
        if out is None:
            return {goal: from_compute(array, image.dtype) for goal, array in dst.items()}
        for goal, array in dst.items():
            if array is not out[goal]:
                out[goal][...] = from_compute(array, image.dtype)
        return {goal: out[goal] for goal in goals}

    def upscale_planes(
        self,
        planes: Sequence[AnyArray],
        out: Sequence[AnyArray],
        layout: Layout,
        threads: int,
        before: Before | None = None,
    ) -> float:
        """Upscale a frame of planar YUV into ``out``: luma by the network, the others by the bicubic filter.

        The sizes are those of the luma planes; all planes fit the layout. What is as in the frame ``before``
        is copied from its result. Returns which part of luma, 0..1, that was.
        """
        luma, *others = planes
        unchanged = self._upscale_luma(luma, out[0], layout.bits, threads, before)
        network, bits = self.network_for(luma.dtype), layout.bits
        source, target = luma.shape[::-1], out[0].shape[::-1]
        exact = exact_scale(source, target, self.model.scales)
        for number, (plane, result) in enumerate(zip(others, out[1:], strict=True), 1):
            is_alpha = has_alpha(len(planes)) and number == len(others)
            siting = (0.5, 0.5) if is_alpha else layout.siting
            if before and unchanged and not _core.changed_parts(plane, before.planes[number], 0):
                result[...] = before.result()[number]
            elif exact:
                network.bicubic(plane, result, exact, threads, bits=bits, siting=siting)
            else:
                network.bicubic_resize(plane, result, source, target, threads, bits=bits, siting=siting)
        return unchanged

    def _upscale_luma(
        self, luma: AnyArray, result: AnyArray, bits: int, threads: int, before: Before | None
    ) -> float:
        """Upscale the plane of luma, but for what is copied; returns which part that was."""
        network = self.network_for(luma.dtype)
        source, target = luma.shape[::-1], result.shape[::-1]
        exact = exact_scale(source, target, self.model.scales)
        chain = (exact,) if exact else passes(source, target, self.model.scales)
        parts: list[Part] = []  # none is all
        is_copied = False
        if before is not None:
            around = max(map(network.reach, chain))
            if not exact:  # passes compute whole blocks
                around = reach(around + _BLOCK, source, target, chain)
            parts = _core.changed_parts(luma, before.planes[0], around)
            is_copied = parts != [(0, 0, *source)]
        large_parts = enlarged(parts, source, target)
        if parts or not is_copied:
            if exact:
                network.run(luma, {exact: result}, threads, bits=bits, parts=parts, **self._finish)
            else:
                network.resize(luma, result, chain, threads, bits=bits, parts=large_parts, **self._finish)
        if before is None or not is_copied:
            return 0.0
        return _core.copy_all_but(large_parts, before.result()[0], result) / result.size

    def _compute(
        self,
        image: AnyArray,
        results: Mapping[Goal, AnyArray],
        sizes: Mapping[Goal, Size],
        threads: int,
        progress: PictureProgress | None,
    ) -> None:
        """Write into ``results`` what ``image`` becomes: scales of the model in one pass, then the others."""
        size = (image.shape[1], image.shape[0])
        together: dict[int, AnyArray] = {}
        others: list[Goal] = []
        for goal, wanted in sizes.items():
            exact = exact_scale(size, wanted, self.model.scales)
            if exact and exact not in together:
                together[exact] = results[goal]
            else:
                others.append(goal)
        steps = bool(together) + len(others)
        if together:
            for part in self._to_scales(image, together, threads):
                if progress:
                    progress(part / steps)
        for step, goal in enumerate(others, 1 + bool(together)):
            exact = exact_scale(size, sizes[goal], self.model.scales)
            if exact:  # by another goal, too, that differs by less than a pixel
                results[goal][...] = together[exact]
            else:
                self._to_size(image, results[goal], sizes[goal], threads)
            if progress:
                progress(step / steps)

    def _to_scales(self, image: AnyArray, results: Mapping[int, AnyArray], threads: int) -> Iterator[float]:
        """Upscale by scales of the model, some rows at a time, and tell which part is done."""
        # Alpha makes pixels visible as far as its filter reaches, and the network reads around those.
        src = extend_colour(image, self._reach + BICUBIC_REACH)
        height, width = image.shape[:2]
        network = self.network_for(image.dtype)
        for part in self._by_the_filter(image):
            for scale, result in results.items():
                network.bicubic(src[part], result[part], scale, threads)
        step = threads * max(_ROWS_AT_ONCE, _PIXELS_AT_ONCE // width // _BLOCK * _BLOCK)
        for first in range(0, height, step):
            end = min(height, first + step)
            for part in self._by_the_network(image):
                planes = {scale: result[part] for scale, result in results.items()}
                rows = (0, first, width, end)
                network.run(src[part], planes, threads, parts=[rows], **self._finish)
            yield end / height

    def _to_size(self, image: AnyArray, result: AnyArray, size: Size, threads: int) -> None:
        """Upscale to a size that is no scale of the model: passes of the network, and a filter behind."""
        source = (image.shape[1], image.shape[0])
        network = self.network_for(image.dtype)
        chain = passes(source, size, self.model.scales)
        src = extend_colour(image, reach(self._reach, source, size, chain) + BICUBIC_REACH)
        for part in self._by_the_network(image):
            network.resize(src[part], result[part], chain, threads, **self._finish)
        for part in self._by_the_filter(image):
            network.bicubic_resize(src[part], result[part], source, size, threads)

    def _by_the_network(self, image: AnyArray) -> list[Any]:
        """Index what the network takes at a time: all channels, or red, green and blue one by one."""
        if not self._by_channel or image.ndim == 2 or image.shape[2] < 3:
            return [np.s_[...]]
        return [np.s_[..., channel] for channel in range(3)]

    def _by_the_filter(self, image: AnyArray) -> list[Any]:
        """Index the alpha that the network is not given then."""
        return [np.s_[..., 3]] if self._by_channel and image.ndim == 3 and image.shape[2] == 4 else []


def _packed(model: Model, isa: str, precision: str) -> _core.Network:
    """Bring the weights of a model into the order in which the kernels read them."""
    return _core.Network(
        [
            (node.weight, node.bias, node.slope, node.groups, node.source, list(node.adds))
            for node in model.nodes
        ],
        {
            scale: (
                head.weight,
                head.bias,
                head.pad,
                head.output_padding,
                # Farther than the kernel reaches there is nothing to see.
                -1 if head.border == "full" else min(head.border, head.kernel),
            )
            for scale, head in model.heads.items()
        },
        model.padding,
        isa,
        planes=model.planes,
        colour=model.colour,
        enlarged=model.enlarged,
        plus_bicubic=model.plus_bicubic,
        precision=precision,
    )
