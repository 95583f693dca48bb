"""What the package must compute, in numpy float64, by definition. Shares no code with the package.

Planes are (H, W), feature maps (channels, H, W). A network is a ``Net``; full scale of every sample is 1.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Net:
    """A network as the core takes it: slope 0 is ReLU, 1 is no activation."""

    layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # weight (oc, ic, k, k), bias (oc,), slope (oc,)
    # scale -> weight (ic, 1, 9, 9), bias (1,), pad, output_padding, border; -1 is as far as the kernel
    # reaches
    heads: dict[int, tuple[np.ndarray, np.ndarray, int, int, int]]
    padding: str
    plus_bicubic = False

    @property
    def nodes(self):
        return chain(self.layers)


@dataclass(frozen=True)
class Graph:
    """A network of any nodes, each (weight, bias, slope, groups, source, adds) as the core takes it."""

    nodes: list[tuple]
    heads: dict[int, tuple[np.ndarray, np.ndarray, int, int, int]]
    padding: str
    plus_bicubic: bool


def random_net(rng, d, s, m, *, padding="replicate", alignment=None, border=-1, scales=(2, 3, 4), relu=False):
    """A float32 network whose activations stay around 1. ``alignment``: scale -> pad of the head."""

    def layer(oc, ic, k):
        weight = rng.normal(size=(oc, ic, k, k)) / np.sqrt(ic * k * k)
        slope = np.zeros(oc) if relu else rng.uniform(-0.5, 1.5, oc)
        return tuple(array.astype(np.float32) for array in (weight, rng.normal(scale=0.1, size=oc), slope))

    pads = {2: 4, 3: 3, 4: 4} | (alignment or {})
    heads = {}
    for scale in scales:
        weight = rng.normal(size=(d, 1, 9, 9)) * scale / np.sqrt(d * 81)
        output_padding = scale - 9 + 2 * pads[scale]
        bias = rng.normal(scale=0.1, size=1).astype(np.float32)
        heads[scale] = (weight.astype(np.float32), bias, pads[scale], output_padding, border)
    layers = [layer(d, 1, 5), layer(s, d, 1), *(layer(s, s, 3) for _ in range(m)), layer(d, s, 1)]
    return Net(layers, heads, padding)


def chain(layers):
    """Layers that follow each other as the nodes of ``_core.Network``."""
    return [
        (weight, bias, slope, 1, (i, 0, weight.shape[1]), [])
        for i, (weight, bias, slope) in enumerate(layers)
    ]


def conv2d(src, weight, bias, padding):
    reach = weight.shape[2] // 2
    mode = {"zeros": "constant", "replicate": "edge"}[padding]
    padded = np.pad(src, ((0, 0), (reach, reach), (reach, reach)), mode=mode)
    height, width = src.shape[1:]
    dst = np.zeros((len(weight), height, width)) + bias.astype(np.float64)[:, None, None]
    for i, j in np.ndindex(weight.shape[2:]):
        taps = weight[:, :, i, j].astype(np.float64)
        dst += np.tensordot(taps, padded[:, i : i + height, j : j + width], 1)
    return dst


def prelu(x, slope):
    return np.maximum(x, 0) + slope.astype(np.float64)[:, None, None] * np.minimum(x, 0)


def deconv2d(src, head, scale, padding):
    """Transposed convolution by scattering every input pixel, cropped to scale times the input."""
    weight, bias, pad, _, border = head
    height, width = src.shape[1:]
    kernel = weight.shape[2]
    # As many pixels as there are taps lie beyond their reach.
    extent = 0 if padding == "zeros" else kernel if border == -1 else border
    src = np.pad(src, ((0, 0), (extent, extent), (extent, extent)), mode="edge")
    full = np.zeros((scale * src.shape[1] + kernel, scale * src.shape[2] + kernel))
    for i, j in np.ndindex(kernel, kernel):
        rows, columns = slice(i, i + scale * src.shape[1], scale), slice(j, j + scale * src.shape[2], scale)
        full[rows, columns] += np.tensordot(weight[:, 0, i, j].astype(np.float64), src, 1)
    origin = pad + extent * scale
    full = np.pad(full, (0, max(0, origin)))  # what no tap reaches
    return full[origin : origin + scale * height, origin : origin + scale * width] + np.float64(bias[0])


def forward(net, plane, scale):
    """The network on one plane, of any range."""
    results = [np.asarray(plane, np.float64)[None]]

    def channels(of, first, count):
        return results[of][first : first + count]

    for weight, bias, slope, groups, source, adds in net.nodes:
        parts = zip(
            np.split(channels(*source), groups), np.split(weight, groups), np.split(bias, groups), strict=True
        )
        x = prelu(np.concatenate([conv2d(*part, net.padding) for part in parts]), slope)
        results.append(x + np.concatenate([channels(*add) for add in adds]) if adds else x)
    result = deconv2d(results[-1], net.heads[scale], scale, net.padding)
    return result + bicubic(results[0][0], scale) if net.plus_bicubic else result


def keys(x):
    """The cubic convolution kernel of Keys (1981), a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def bicubic(plane, scale):
    """Bicubic interpolation, pixel centres aligned, edges replicated."""
    for axis in (0, 1):
        n = plane.shape[axis]
        matrix = np.zeros((scale * n, n))
        for o in range(scale * n):
            centre = (o + 0.5) / scale - 0.5
            for i in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                matrix[o, min(max(i, 0), n - 1)] += keys(centre - i)
        plane = np.moveaxis(np.tensordot(matrix, plane, (1, axis)), 0, axis)
    return plane


# ITU-R BT.601, R'G'B' of 0..1 to Y'CbCr with luma in 16..235 and chroma in 16..240, all over 255.
_RGB_TO_YCBCR = (
    np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
)
_OFFSET = np.array([16, 128, 128]) / 255


def rgb_to_ycbcr(rgb):
    """(H, W, 3) to planes (3, H, W)."""
    return np.moveaxis(np.asarray(rgb, np.float64) @ _RGB_TO_YCBCR.T + _OFFSET, -1, 0)


def ycbcr_to_rgb(planes):
    return (np.moveaxis(planes, 0, -1) - _OFFSET) @ np.linalg.inv(_RGB_TO_YCBCR).T


def windows(plane, reach):
    """The pixels around each as the last axis; beyond the picture there are those of its edge."""
    padded = np.pad(np.asarray(plane, np.float64), reach, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return around.reshape(*np.shape(plane), -1)


def guarded(result, plane, scale):
    """Keep a result in the range of the 5x5 pixels around, widened by 0.27 of it and 0.01."""
    around = windows(plane, 2)
    low, high = around.min(-1), around.max(-1)
    margin = 0.27 * (high - low) + 0.01
    least, most = (bound.repeat(scale, 0).repeat(scale, 1) for bound in (low - margin, high + margin))
    return np.clip(result, least, most)


def luma(net, plane, scale, *, strength=1.0, guard=True):
    """The network on one plane, and what follows it."""
    result = forward(net, plane, scale)
    if strength != 1:
        soft = bicubic(np.asarray(plane, np.float64), scale)
        result = soft + strength * (result - soft)
    return guarded(result, plane, scale) if guard else result


def slopes(chroma, y):
    """How much chroma changes with luma around each pixel."""
    a, b = (around - around.mean(-1, keepdims=True) for around in (windows(chroma, 1), windows(y, 1)))
    covariance, of_a, of_b = (a * b).mean(-1), (a * a).mean(-1), (b * b).mean(-1)
    correlation = covariance**2 / (of_a * of_b + 1e-9)
    limit = np.ptp(windows(chroma, 2), -1) / (np.ptp(windows(y, 2), -1) + 1e-3)
    return np.clip(covariance / (of_b + 3e-4) * correlation**2, -limit, limit)


def upscale_samples(net, image, scale, *, strength=1.0, guard=True, guided=True):
    """Upscale (H, W[, C]) of full scale 1: luma by the network, the rest by bicubic; nothing rounded.

    ``guided``: chroma follows luma by its slope there.
    """
    image = np.asarray(image, np.float64)
    finish = {"strength": strength, "guard": guard}
    if image.ndim == 2:
        return luma(net, image, scale, **finish)
    channels = image.shape[2]
    planes = []
    if channels <= 2:
        planes.append(luma(net, image[..., 0], scale, **finish))
    else:
        ycbcr = image[..., :3] @ _RGB_TO_YCBCR.T + _OFFSET
        y = luma(net, ycbcr[..., 0], scale, **finish)
        cb, cr = (bicubic(ycbcr[..., c], scale) for c in (1, 2))
        if guided:
            added = y - bicubic(ycbcr[..., 0], scale)
            cb, cr = (
                soft + slopes(ycbcr[..., c], ycbcr[..., 0]).repeat(scale, 0).repeat(scale, 1) * added
                for c, soft in ((1, cb), (2, cr))
            )
        rgb = (np.stack([y, cb, cr], -1) - _OFFSET) @ np.linalg.inv(_RGB_TO_YCBCR).T
        planes += list(np.moveaxis(rgb, -1, 0))
    if channels in (2, 4):
        planes.append(bicubic(image[..., -1], scale))
    return np.stack(planes, -1)


def full_scale(dtype):
    return np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1


def quantise(samples, dtype):
    """Samples of full scale 1 as ``dtype``: integers rounded half up and clipped, floats as they are."""
    if np.dtype(dtype).kind != "u":
        return samples.astype(dtype)
    top = np.iinfo(dtype).max
    return np.clip(np.floor(samples * top + 0.5), 0, top).astype(dtype)
