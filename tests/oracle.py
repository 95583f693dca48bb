"""What the package must compute, in numpy float64, by definition. Shares no code with the package.

Planes are (H, W), feature maps (channels, H, W). A network is a ``Net``; full scale of every sample is 1.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Net:
    """A network as the core takes it. Result 0 is its input, i + 1 what node i makes."""

    # weight (oc, ic // groups, k, k), bias (oc,), slope (oc,), groups, source, adds; a source is (result,
    # first channel, channels), and adds are a list of such; slope 0 is ReLU, 1 is no activation
    nodes: list[tuple[np.ndarray, np.ndarray, np.ndarray, int, tuple, list]]
    # scale -> weight (ic, 1, k, k), bias (1,), pad, output_padding, border; -1 is as far as the kernel
    # reaches. Of an enlarged network weight (planes, ic, k, k), bias (planes,), and the rest means nothing
    heads: dict[int, tuple[np.ndarray, np.ndarray, int, int, int]]
    padding: str
    planes: int = 1
    enlarged: bool = False
    plus_bicubic: bool = False

    @property
    def layers(self):
        """Weight, bias and slope of each convolution."""
        return [node[:3] for node in self.nodes]

    def soft(self, plane, scale):
        """The bicubic picture. That which a network reads or adds to is MATLAB's, mirrored at the edges."""
        return bicubic(plane, scale, "symmetric" if self.enlarged or self.plus_bicubic else "edge")


def chain(layers):
    """Nodes of which each reads all that the one before it makes."""
    return [(*layer, 1, (i, 0, layer[0].shape[1]), []) for i, layer in enumerate(layers)]


def random_node(rng, oc, ic, k, groups=1, *, relu=False):
    """Weight, bias and slope that keep noise as large as it is."""
    weight = rng.normal(size=(oc, ic // groups, k, k)) / np.sqrt(ic // groups * k * k)
    slope = np.zeros(oc) if relu else rng.uniform(-0.5, 1.5, oc)
    return tuple(array.astype(np.float32) for array in (weight, rng.normal(scale=0.1, size=oc), slope))


def random_head(rng, ic, scale, pad, *, kernel=9, border=-1):
    """A transposed convolution that gives scale times its input."""
    weight = rng.normal(size=(ic, 1, kernel, kernel)) * scale / np.sqrt(ic * kernel**2)
    bias = rng.normal(scale=0.1, size=1).astype(np.float32)
    return weight.astype(np.float32), bias, pad, scale - kernel + 2 * pad, border


def random_net(rng, d, s, m, *, padding="replicate", alignment=None, border=-1, scales=(2, 3, 4), relu=False):
    """A float32 FSRCNN whose activations stay around 1. ``alignment``: scale -> pad of the head."""
    pads = {2: 4, 3: 3, 4: 4} | (alignment or {})
    heads = {scale: random_head(rng, d, scale, pads[scale], border=border) for scale in scales}
    shapes = [(d, 1, 5), (s, d, 1), *m * [(s, s, 3)], (d, s, 1)]
    return Net(chain([random_node(rng, *shape, relu=relu) for shape in shapes]), heads, padding)


def random_srcnn(rng, kernels, n1, n2, *, planes=1, padding="replicate", scales=(2, 3, 4)):
    """A float32 SRCNN, whose heads differ from scale to scale."""
    f1, f2, f3 = kernels
    layers = [random_node(rng, n1, planes, f1, relu=True), random_node(rng, n2, n1, f2, relu=True)]
    heads = {scale: (*random_node(rng, planes, n2, f3)[:2], 0, 0, -1) for scale in scales}
    return Net(chain(layers), heads, padding, planes, enlarged=True)


def random_idn(rng, features=8, kept=2, blocks=2, groups=2, *, padding="zeros", scales=(2, 3, 4)):
    """A float32 IDN: three convolutions a half block, the first and the third of them as wide as features."""
    nodes = []

    def add(oc, k, source, groups=1, adds=()):
        weight, bias, _ = random_node(rng, oc, source[2], k, groups)
        nodes.append((weight, bias, np.full(oc, 0.05, np.float32), groups, source, list(adds)))
        return len(nodes), 0, oc

    x = add(features, 3, add(features, 3, (0, 0, 1)))
    for _ in range(blocks):
        upper = add(features, 3, add(features, 3, add(features - kept, 3, x), groups))
        rest = (upper[0], kept, features - kept)
        lower = add(features, 3, add(features, 3, rest), groups)
        both = add(features + kept, 3, lower, adds=[x, (upper[0], 0, kept)])
        x = add(features, 1, both)
    heads = {scale: random_head(rng, features, scale, 9 - scale, kernel=17) for scale in scales}
    return Net(nodes, heads, padding, plus_bicubic=True)


def random_graph(rng, *, padding="replicate", scales=(2, 3, 4), most_nodes=8, most_channels=12):
    """A float32 network that reads and adds whatever there is, in groups; every result is used."""
    channels, nodes = [1], []
    count = rng.integers(1, most_nodes + 1)
    for i in range(count):
        unread = [of for of in range(1, i + 1) if not any(of in _reads(node) for node in nodes)]
        # The last node reads and adds what nobody else has read, as each may leave one result to it.
        of = unread.pop() if unread else int(rng.integers(0, i + 1))
        size = int(rng.integers(1, channels[of] + 1))
        source = (of, int(rng.integers(0, channels[of] - size + 1)), size)
        adds = [(of, 0, channels[of]) for of in unread]
        while rng.random() < 0.4:
            of = int(rng.integers(0, i + 1))
            part = int(rng.integers(1, channels[of] + 1))
            adds.append((of, int(rng.integers(0, channels[of] - part + 1)), part))
        oc = sum(add[2] for add in adds) if adds else int(rng.integers(1, most_channels + 1))
        divisors = [g for g in range(1, 5) if oc % g == size % g == 0]
        groups = int(rng.choice(divisors))
        layer = random_node(rng, oc, size, int(rng.choice([1, 3, 5, 7, 9])), groups)
        nodes.append((*layer, groups, source, adds))
        channels.append(oc)
    heads = {}
    for scale in scales:
        kernel = int(rng.choice([9, 11, 13, 17]))
        pads = [pad for pad in range(kernel) if abs(scale - kernel + 2 * pad) < scale]
        heads[scale] = random_head(rng, channels[-1], scale, int(rng.choice(pads)), kernel=kernel)
    return Net(nodes, heads, padding, plus_bicubic=bool(rng.random() < 0.5))


def _reads(node):
    return [part[0] for part in (node[4], *node[5])]


def conv2d(src, weight, bias, padding, groups=1):
    reach = weight.shape[2] // 2
    mode = {"zeros": "constant", "replicate": "edge"}[padding]
    padded = np.pad(src, ((0, 0), (reach, reach), (reach, reach)), mode=mode)
    height, width = src.shape[1:]
    dst = np.zeros((len(weight), height, width)) + bias.astype(np.float64)[:, None, None]
    oc, ic = len(weight) // groups, weight.shape[1]
    for g in range(groups):
        inputs, outputs = slice(g * ic, g * ic + ic), slice(g * oc, g * oc + oc)
        for i, j in np.ndindex(weight.shape[2:]):
            taps = weight[outputs, :, i, j].astype(np.float64)
            dst[outputs] += np.tensordot(taps, padded[inputs, i : i + height, j : j + width], 1)
    return dst


def prelu(x, slope):
    return np.maximum(x, 0) + slope.astype(np.float64)[:, None, None] * np.minimum(x, 0)


def deconv2d(src, head, scale, padding):
    """Transposed convolution by scattering every input pixel, cropped to scale times the input."""
    weight, bias, pad, _, border = head
    kernel = weight.shape[2]
    height, width = src.shape[1:]
    # As many pixels as there are taps are beyond the reach of all.
    extent = 0 if padding == "zeros" else kernel if border == -1 else border
    src = np.pad(src, ((0, 0), (extent, extent), (extent, extent)), mode="edge")
    # Rows and columns that the output padding adds at the end get no tap.
    full = np.zeros((scale * (src.shape[1] + 1) + kernel, scale * (src.shape[2] + 1) + kernel))
    for i, j in np.ndindex(kernel, kernel):
        rows, columns = slice(i, i + scale * src.shape[1], scale), slice(j, j + scale * src.shape[2], scale)
        full[rows, columns] += np.tensordot(weight[:, 0, i, j].astype(np.float64), src, 1)
    origin = pad + extent * scale
    return full[origin : origin + scale * height, origin : origin + scale * width] + np.float64(bias[0])


def forward(net, picture, scale):
    """The network on one plane (H, W), or on (planes, H, W) where it has several; of any range."""
    picture = np.asarray(picture, np.float64)
    planes = picture.reshape(net.planes, *picture.shape[-2:])
    soft = np.stack([net.soft(plane, scale) for plane in planes])
    results = [soft if net.enlarged else planes]
    for weight, bias, slope, groups, (of, first, count), adds in net.nodes:
        made = prelu(conv2d(results[of][first : first + count], weight, bias, net.padding, groups), slope)
        if adds:
            made += np.concatenate([results[of][first : first + count] for of, first, count in adds])
        results.append(made)
    head = net.heads[scale]
    if net.enlarged:
        made = conv2d(results[-1], *head[:2], net.padding)
    else:
        made = deconv2d(results[-1], head, scale, net.padding)[None]
    if net.plus_bicubic:
        made += soft
    return made.reshape(picture.shape[:-2] + made.shape[-2:])


def keys(x):
    """The cubic convolution kernel of Keys (1981), a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def bicubic(plane, scale, edge="edge"):
    """Bicubic interpolation, pixel centres aligned. ``edge``: a mode of np.pad."""
    for axis in (0, 1):
        n = plane.shape[axis]
        matrix = np.zeros((scale * n, n))
        seen = np.pad(np.arange(n), 2, edge)
        for o in range(scale * n):
            centre = (o + 0.5) / scale - 0.5
            for i in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                matrix[o, seen[i + 2]] += keys(centre - i)
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
        soft = net.soft(np.asarray(plane, np.float64), scale)
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
            added = y - net.soft(ycbcr[..., 0], scale)
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
