"""Upscaling images: :func:`upscale` for one call, :class:`Upscaler` for many."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard, TypeVar, overload

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.arrays import (
    ArrayLike,
    ChannelOrder,
    as_array,
    check_channel_order,
    from_pil,
    is_bgr,
)
from fsrcnn_rt.engine.compute import Engine, PictureProgress
from fsrcnn_rt.engine.content import is_graphics
from fsrcnn_rt.engine.options import Colour, EngineOptions, Options, Precision
from fsrcnn_rt.engine.outputs import allocate, by_scale
from fsrcnn_rt.engine.planes import ChromaLocation, Layout, luma_shape
from fsrcnn_rt.engine.reuse import Before
from fsrcnn_rt.engine.runtime import resolve_isa, resolve_threads
from fsrcnn_rt.engine.sizes import (
    PICTURE_SCALE,
    VIDEO_SCALE,
    Box,
    Size,
    goal_of,
    goals_of,
    size_of,
)
from fsrcnn_rt.engine.streams import in_order
from fsrcnn_rt.engine.variants import Choice, Loss, Weights, loss_of, loss_of_video
from fsrcnn_rt.errors import ScaleError
from fsrcnn_rt.model import SHIPPED, Model, find, load

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack

AnyArray = npt.NDArray[Any]
ModelLike: TypeAlias = "str | os.PathLike[str] | Model"
Factor = TypeVar("Factor", int, float)


class Upscaler:
    """A model made ready for one kernel set. Immutable; any number of Python threads may share one.

    It can be pickled and copied. A copy has the same weights; default threads and kernels are those of the
    machine where it is unpickled.

    ``model``: a shipped name ("fsrcnn", "fsrcnn-s"), the path of a model file, or a
    :class:`~fsrcnn_rt.Model`.

    ``content``: "photo", "graphics" (lines, text, user interfaces, pixel art), or "auto": the pixels of each
    picture decide. ``denoise``: 0 for clean pictures, 1 to 3 for compressed or noisy ones, the higher the
    worse they are; or "auto": the quantisation tables decide for a Pillow image that was opened from a JPEG
    file (a copy has lost them), and all else gets 0. Both choose among the weights of "fsrcnn" or "fsrcnn-s";
    ``denoise`` above 0 counts more than ``content``. Any other model is used as it is. Weights that depend on
    the picture are loaded when the first one needs them.

    ``strength``: 0..1.5, how much is taken of what the network adds to the luma of the bicubic filter: 0 is
    bicubic, 1 the network, more exaggerates it.

    ``colour``: how chroma is made. "guided": by the bicubic filter, and where chroma goes with luma it
    follows the sharp luma. "bicubic": by the bicubic filter alone. "rgb": the network runs on red, green and
    blue instead of luma, which takes three times as long and also sharpens edges between colours of equal
    brightness. Video has bicubic chroma.

    ``guard``: whether luma (with "rgb" each channel) is kept within the range of the 5x5 input pixels around,
    widened by 0.27 of that range and 0.01 of full scale. No weights can leave it; sound ones rarely touch it.
    A window with an infinity in it bounds nothing, and NaN is neither counted nor hidden.

    ``precision``: what the network computes with. "float32"; "int16", by which every kernel set and every
    number of threads gives the same picture to the bit, within one code of 8 bits of what floats give for a
    photograph; or "auto": int16 for uint8 samples where the network is a small one that has it, layer after
    layer from luma to its heads as in FSRCNN, else float32. "int16" of a network that has it not is a
    ``ValueError``. See docs/fixed-point.md.

    ``threads``: threads per call, 1..1024; default ``FSRCNN_RT_THREADS``, else the CPUs this process may use.
    ``isa``: one of :func:`~fsrcnn_rt.available_isas`; default ``FSRCNN_RT_ISA``, else the fastest.

    Raises ``ModelError`` for an unusable model, ``OSError`` for an unreadable one, ``ValueError`` or
    ``TypeError`` for the other arguments.
    """

    __slots__ = ("_choice", "_engine", "_loaded", "_options", "_threads", "_weights")

    def __init__(self, model: ModelLike = "fsrcnn", **options: Unpack[EngineOptions]) -> None:
        self._options = Options(**options)
        self._choice = Choice(model, self._options.content, self._options.denoise)
        self._threads = resolve_threads(self._options.threads)
        isa = resolve_isa(self._options.isa)
        self._weights = self._choice.settled
        name = self._weights.name if self._weights else model
        self._engine = Engine(name if isinstance(name, Model) else load(name), isa, self._options)
        if not self._choice.has_variants:
            self._weights = Weights(self.model.name)
        # By name, shared with what `choose` gives. No lock: at worst two threads load the same weights.
        self._loaded: dict[object, Engine] = {name: self._engine}

    def __repr__(self) -> str:
        return f"<Upscaler {self.model!r}, isa={self.isa!r}, threads={self._threads}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # What was not asked for is chosen anew where the copy is made, which may be another machine.
        options = self._options.as_keywords()
        if self._weights is None:
            return partial(type(self), **options), (self._choice.model,)
        del options["content"], options["denoise"]  # they have chosen these weights
        return partial(type(self), **options), (self.model,), (None, {"_weights": self._weights})

    @property
    def model(self) -> Model:
        """The network as data; with the weights for clean photographs, where each picture has its own."""
        return self._engine.model

    @property
    def weights(self) -> Weights | None:
        """Which weights are used, and why; None where each picture has its own (see :meth:`choose`)."""
        return self._weights

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales the model offers, ascending."""
        return self._engine.model.scales

    @property
    def isa(self) -> str:
        """Name of the kernel set in use."""
        return self._engine.isa

    @property
    def threads(self) -> int:
        """Threads that a call uses."""
        return self._threads

    @property
    def strength(self) -> float:
        """How much is taken of what the network adds."""
        return self._options.strength

    @property
    def colour(self) -> Colour:
        """How chroma is made."""
        return self._options.colour

    @property
    def precision(self) -> Precision:
        """What the network is to compute with; "auto" where that depends on the picture."""
        return self._options.precision

    def precision_for(self, dtype: npt.DTypeLike) -> Literal["float32", "int16"]:
        """Tell what the network computes with for pictures of a dtype."""
        return self._engine.precision_for(np.dtype(dtype))

    @property
    def guard(self) -> bool:
        """Whether the result is kept near the range of the input around."""
        return self._options.guard

    def choose(self, image: ArrayLike | Image, *, qp: float | None = None) -> Upscaler:
        """Settle on the weights that ``image`` gets, as for all frames of a film by one of them.

        ``qp``: mean quantiser on the scale of H.264, 0..51, of the video that it is a frame of.

        Gives an upscaler of these alone, whose :attr:`weights` tell which they are and why; itself where
        there is nothing to choose.

        Raises ``TypeError`` or ``ValueError`` for what is no picture, ``ModelError`` where the weights are
        missing.
        """
        return self.choose_by(
            lambda: loss_of(image) if qp is None else loss_of_video(qp), lambda: is_graphics(image)
        )

    def with_threads(self, threads: int | None) -> Upscaler:
        """Make the same with other threads per call; the weights are shared. Raises as the class does."""
        other = self._twin()
        other._threads = resolve_threads(threads)
        other._options = replace(self._options, threads=threads)
        return other

    @overload
    def upscale(
        self,
        image: ArrayLike,
        scale: float | None = None,
        *,
        size: Size | Box | None = None,
        out: AnyArray | None = None,
        channel_order: ChannelOrder = "rgb",
        progress: PictureProgress | None = None,
    ) -> AnyArray: ...
    @overload
    def upscale(
        self,
        image: ArrayLike,
        scale: Sequence[Factor],
        *,
        out: Mapping[Factor, AnyArray] | None = None,
        channel_order: ChannelOrder = "rgb",
        progress: PictureProgress | None = None,
    ) -> dict[Factor, AnyArray]: ...
    @overload
    def upscale(
        self,
        image: Image,
        scale: float | None = None,
        *,
        size: Size | Box | None = None,
        progress: PictureProgress | None = None,
    ) -> Image: ...
    @overload
    def upscale(
        self, image: Image, scale: Sequence[Factor], *, progress: PictureProgress | None = None
    ) -> dict[Factor, Image]: ...

    def upscale(
        self,
        image: ArrayLike | Image,
        scale: float | Sequence[float] | None = None,
        *,
        size: Size | Box | None = None,
        out: AnyArray | Mapping[Any, AnyArray] | None = None,
        channel_order: ChannelOrder = "rgb",
        progress: PictureProgress | None = None,
    ) -> Any:
        """Upscale a picture by ``scale``, by each of several scales, or to ``size``.

        ``scale``: a factor above 1 and up to 16, or a sequence of them; default 3. ``size``: (width, height)
        of the result in pixels, exactly, or a :class:`~fsrcnn_rt.Box` that it fits into; at most 16
        times as large as ``image`` and nowhere smaller. Only one of both is given. Sides that a factor or a
        shape gives are rounded to the nearest pixel, halves up.

        A scale of the model (:attr:`scales`) is what the network gives, and several of them take one pass of
        its trunk. Any other size comes from the next larger product of scales: the network runs once for each
        factor of it (x6 is x2, then x3; x5 is that, made smaller), and an antialiased bicubic filter (that of
        MATLAB's imresize) brings its luma down to size. Nothing is rounded or clipped before the result is
        stored. Chroma and alpha are brought to size by the bicubic filter directly. A strength below 1 mixes
        the result with luma brought to size by the bicubic filter, one above 1 is given to every pass; every
        pass is guarded by what goes into it.

        ``image``: a Pillow image, or an array (H, W) or (H, W, C) with C = 1 grey, 2 grey + alpha, 3 RGB, 4
        RGBA; uint8 or uint16 of full range, or float16, float32, float64 where 0..1 is full range and values
        outside pass through unclipped; any strides. What has ``__dlpack__`` (a tensor in main memory) or
        ``__array_interface__`` is read in place as such an array. Grey goes through the network, and so does
        the BT.601 luma of colour, unless the upscaler's ``colour`` says else; chroma follows it. Alpha is
        upscaled by the bicubic filter. Colour under alpha 0 is not kept: near an edge it is the visible
        colour beside it. An animation gives its current frame.
        :func:`fsrcnn_rt.engine.arrays.from_pil` lists what becomes of each Pillow mode.

        ``channel_order``: "bgr" where an array has BGR or BGRA, as OpenCV's have; so has the result then.

        ``out``: the array to write to, or for several scales a mapping of them, keyed by scale; of exactly
        the shape and dtype of the result, and apart from ``image`` in memory. Only with an array.

        ``progress``: called by this thread with the part that is done, more each time and at last 1.0; once
        for a small picture, else every second or so; sizes that are no scale of the model are one piece each.
        What it raises ends the call, as Ctrl-C does then; ``out`` is left as far as it was written.

        Returns the same kind of image, dtype and rank, of the size asked for (``out`` where given); for a
        sequence of scales a dict of them, keyed by scale. The GIL is released meanwhile.

        Raises ``ScaleError`` for a scale out of range, ``TypeError`` for a wrong type or dtype,
        ``ValueError`` for a wrong shape, for ``scale`` and ``size`` together, and for a size that is smaller
        than the picture, its own, or more than 16 times as large; nothing has been written then.
        """
        return self._upscale(image, scale, size, out, self._threads, channel_order, progress)

    @overload
    def map(
        self,
        frames: Iterable[ArrayLike],
        scale: float | None = None,
        *,
        size: Size | Box | None = None,
        channel_order: ChannelOrder = "rgb",
    ) -> Iterator[AnyArray]: ...
    @overload
    def map(
        self, frames: Iterable[Image], scale: float | None = None, *, size: Size | Box | None = None
    ) -> Iterator[Image]: ...

    def map(
        self,
        frames: Iterable[ArrayLike | Image],
        scale: float | None = None,
        *,
        size: Size | Box | None = None,
        channel_order: ChannelOrder = "rgb",
    ) -> Iterator[Any]:
        """Upscale frames as they come, several at a time, and give the results in order.

        ``frames``: pictures as :meth:`upscale` takes them, of any sizes; ``scale`` or ``size``, and
        ``channel_order``: as there, one for all. Each is computed on one thread, and as many at once as this
        upscaler has threads: no rows are computed twice where threads would meet, and none waits for another.
        At most that many frames and results are held, and at least two, so that one is ready when the next is
        asked for.

        Raises what :meth:`upscale` and ``frames`` raise, when it is the turn of the frame that is at fault;
        the frames behind it are then dropped.
        """
        goal_of(scale, size, PICTURE_SCALE)
        check_channel_order(channel_order)

        def enlarge(frame: ArrayLike | Image) -> Any:
            return self._upscale(frame, scale, size, None, 1, channel_order)

        return in_order(enlarge, frames, self._threads, max(2, self._threads))

    def upscale_planes(
        self,
        planes: Sequence[AnyArray],
        scale: float | None = None,
        *,
        size: Size | Box | None = None,
        bits: int = 8,
        subsampling: tuple[int, int] = (2, 2),
        chroma_location: ChromaLocation = "left",
        out: Sequence[AnyArray] | None = None,
    ) -> list[AnyArray]:
        """Upscale a frame of planar YUV without ever leaving YUV.

        ``planes``: luma (H, W) alone, or luma, Cb and Cr; behind them may be alpha (H, W), which goes through
        the bicubic filter as chroma does; uint8 for 8 bits, uint16 for 9 to 16, aligned; any strides. A code
        stands for code / (255 * 2**(bits - 8)), whatever the range of the video: a plane of 8 bits gives what
        :meth:`upscale` gives for it. ``subsampling``: luma samples for each of chroma, (horizontal,
        vertical): (2, 2) is 4:2:0, (2, 1) 4:2:2, (1, 1) 4:4:4; odd sizes are rounded up.
        ``chroma_location``: where subsampled chroma lies: "left" (MPEG-2, H.264, H.265), "center" (JPEG,
        MPEG-1) or "topleft". ``out``: the arrays to write to.

        ``scale`` (default 2) or ``size``, (width, height) of luma: as in :meth:`upscale`. Where chroma is
        subsampled, sides that a fraction gives are rounded to whole samples of chroma.

        Returns the planes of the larger frame, in the dtype they came in.

        Raises as :meth:`upscale` does.
        """
        goal = goal_of(scale, size, VIDEO_SCALE)
        layout = Layout(bits, subsampling, chroma_location)
        height, width = luma_shape(planes)
        layout.check(planes, layout.shapes((height, width), len(planes)), "planes")
        target = size_of(goal, (width, height), layout.step(len(planes)))
        shapes = layout.shapes(target[::-1], len(planes))
        if out is None:
            out = [allocate(shape, layout.dtype) for shape in shapes]
        layout.check(out, shapes, "out")
        for i, array in enumerate(out):
            if not array.flags.writeable:
                raise ValueError(f"out[{i}] is read-only")
        if self._weights is None:
            chosen = self.choose_by(Loss, lambda: is_graphics(planes[0], bits=bits))
            return chosen.upscale_planes(
                planes,
                size=target,
                bits=bits,
                subsampling=subsampling,
                chroma_location=chroma_location,
                out=out,
            )
        for one, other in combinations([*planes, *out], 2):
            if any(one is array or other is array for array in out) and np.may_share_memory(one, other):
                raise ValueError("out overlaps planes or itself in memory")
        self._engine.upscale_planes(planes, out, layout, self._threads)
        return list(out)

    def upscale_frame(
        self, planes: Sequence[AnyArray], out: Sequence[AnyArray], layout: Layout, before: Before | None
    ) -> float:
        """Upscale planes of a layout to those of ``out``, with the weights settled, and nothing checked.

        What is as in the frame ``before`` is copied. Returns which part of luma, 0..1, that was.
        """
        return self._engine.upscale_planes(planes, out, layout, self._threads, before)

    def _twin(self) -> Upscaler:
        """Make another with the same attributes, for one of them to be changed."""
        twin = object.__new__(type(self))
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def choose_by(self, loss: Callable[[], Loss], is_graphics: Callable[[], bool] | None) -> Upscaler:
        """Settle on weights as :meth:`choose` does, by what is known of a picture in another way."""
        if self._weights is not None:
            return self
        chosen = self._twin()
        chosen._weights = self._choice.settle(loss, is_graphics)
        name = chosen._weights.name
        if name not in self._loaded:
            self._loaded[name] = Engine(load(name), self.isa, self._options)
        chosen._engine = self._loaded[name]
        return chosen

    def _upscale(
        self,
        image: ArrayLike | Image,
        scale: float | Sequence[float] | None,
        size: Size | Box | None,
        out: AnyArray | Mapping[Any, AnyArray] | None,
        threads: int,
        channel_order: ChannelOrder = "rgb",
        progress: PictureProgress | None = None,
    ) -> Any:
        goals, several = goals_of(scale, size, PICTURE_SCALE)
        if self._weights is None:
            chosen = self.choose(image)
            return chosen._upscale(image, scale, size, out, threads, channel_order, progress)
        if not _is_pil(image):
            array = as_array(image)
            bgr = is_bgr(array, channel_order)
            out = by_scale(out, goals, several)
            results = self._engine.upscale(array, goals, threads, out=out, bgr=bgr, progress=progress)
            return results if several else results[goals[0]]
        if out is not None or channel_order != "rgb":
            name = "channel_order" if out is None else "out"
            raise TypeError(f"{name} is for arrays, and image is a Pillow image")
        array, restore = from_pil(image)
        results = self._engine.upscale(array, goals, threads, progress=progress)
        pictures = {goal: restore(result) for goal, result in results.items()}
        return pictures if several else pictures[goals[0]]


def check_scales(scale: int | Sequence[int], model: Model) -> list[int]:
    """List the scales; ``ScaleError`` or ``TypeError`` unless they are the model's own, each named once."""
    scales = list(scale) if isinstance(scale, Sequence) else [scale]
    for value in scales:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"scale={scale!r} is not an integer or a sequence of integers")
        if value not in model.scales:
            offered = ", ".join(map(str, model.scales))
            raise ScaleError(f"scale={value} is not offered by model {model.name!r}, only {offered}")
    if not scales or len(set(scales)) < len(scales):
        raise ScaleError(f"scale={scale!r} is empty or names a scale twice")
    return [int(value) for value in scales]


@overload
def upscale(
    image: ArrayLike,
    scale: float | None = None,
    *,
    size: Size | Box | None = ...,
    model: ModelLike | Upscaler = ...,
    channel_order: ChannelOrder = ...,
    progress: PictureProgress | None = ...,
    **options: Unpack[EngineOptions],
) -> AnyArray: ...
@overload
def upscale(
    image: ArrayLike,
    scale: Sequence[Factor],
    *,
    model: ModelLike | Upscaler = ...,
    channel_order: ChannelOrder = ...,
    progress: PictureProgress | None = ...,
    **options: Unpack[EngineOptions],
) -> dict[Factor, AnyArray]: ...
@overload
def upscale(
    image: Image,
    scale: float | None = None,
    *,
    size: Size | Box | None = ...,
    model: ModelLike | Upscaler = ...,
    progress: PictureProgress | None = ...,
    **options: Unpack[EngineOptions],
) -> Image: ...
@overload
def upscale(
    image: Image,
    scale: Sequence[Factor],
    *,
    model: ModelLike | Upscaler = ...,
    progress: PictureProgress | None = ...,
    **options: Unpack[EngineOptions],
) -> dict[Factor, Image]: ...


def upscale(
    image: ArrayLike | Image,
    scale: float | Sequence[float] | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    channel_order: ChannelOrder = "rgb",
    progress: PictureProgress | None = None,
    **options: Unpack[EngineOptions],
) -> Any:
    """Upscale a picture: ``Upscaler(model, **options).upscale(image, scale, ...)``.

    ``model`` may also be an :class:`Upscaler`, which has its options already.

    The last few upscalers are kept, so a loop of calls loads its model once; a model file that has changed on
    disk is loaded again. See :class:`Upscaler` and :meth:`Upscaler.upscale` for arguments, result and errors.
    """
    upscaler = as_upscaler(model, **options)
    return upscaler._upscale(image, scale, size, None, upscaler.threads, channel_order, progress)


def as_upscaler(model: ModelLike | Upscaler, **options: Unpack[EngineOptions]) -> Upscaler:
    """Return ``model`` where it is an upscaler, else one of it with these options, kept for a few calls.

    Raises ``TypeError`` for options beside an upscaler, which has its own; and what :class:`Upscaler` raises.
    """
    if isinstance(model, Upscaler):
        if options:
            raise TypeError(f"{next(iter(options))} is for making an upscaler, and model={model!r} is one")
        return model
    checked = Options(**options)
    identity = (0, 0)
    source = model
    if not isinstance(model, Model):
        path = find(model)
        status = path.stat()
        identity = (status.st_mtime_ns, status.st_size)
        if model not in SHIPPED:
            source = path.absolute()  # a relative path is another file after chdir
    # What the environment says may change from call to call.
    checked = replace(checked, threads=resolve_threads(checked.threads), isa=resolve_isa(checked.isa))
    return _cached_upscaler(Choice(source, checked.content, checked.denoise), identity, checked)


# lru_cache needs no lock of ours: it may be called from several threads, and none is held over a fork.
@lru_cache(maxsize=8)
def _cached_upscaler(choice: Choice, identity: tuple[int, int], options: Options) -> Upscaler:
    """Build the upscaler of a model, or of a file as it was at a time (``identity``: modified when, size)."""
    return Upscaler(choice.model, **options.as_keywords())


def _is_pil(image: object) -> TypeGuard[Image]:
    """Whether this is a Pillow image, without importing Pillow for those who do not use it."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)
