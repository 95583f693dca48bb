"""What pictures of any size are held against: the network as often as it takes, and MATLAB's filter."""

import numpy as np
import oracle


def filtered(plane, size, lengths=None, siting=(0.5, 0.5)):
    """What MATLAB's imresize makes of a plane with its edge replicated: Keys' kernel as wide as the pixels.

    ``size``: (width, height). ``lengths``: those of the frames before and after, where rounding up parts
    them from the planes'.
    """
    before, after = lengths or (plane.shape[::-1], size)
    for axis, i in ((1, 0), (0, 1)):
        n, ratio = plane.shape[axis], before[i] / after[i]
        width = max(1, ratio)
        matrix = np.zeros((size[i], n))
        for o in range(size[i]):
            centre = (o + siting[i]) * ratio - siting[i]
            for k in range(int(np.floor(centre - 2 * width)), int(np.ceil(centre + 2 * width)) + 1):
                matrix[o, min(max(k, 0), n - 1)] += oracle.keys((centre - k) / width)
        matrix /= matrix.sum(axis=1, keepdims=True)
        plane = np.moveaxis(np.tensordot(matrix, plane, (1, axis)), 0, axis)
    return plane


def luma_oracle(net, plane, size, strength=1.0):
    """The network as often as it takes, and the filter. The products are written out here once more."""
    factor = max(size[0] / plane.shape[1], size[1] / plane.shape[0])
    reached = next(product for product in (2, 3, 4, 6, 8, 9, 12, 16) if product >= factor - 1e-9)
    chains = {6: (2, 3), 8: (2, 4), 9: (3, 3), 12: (3, 4), 16: (4, 4)}
    soft = filtered(plane, size)
    for scale in chains.get(reached, (reached,)):
        plane = oracle.luma(net, plane, scale, strength=max(1, strength))
    return soft + min(1, strength) * (filtered(plane, size) - soft)


def samples_oracle(net, image, size, *, strength=1.0, guided=True):
    """(H, W, C) of full scale 1."""
    channels = image.shape[2]
    planes = (
        [image[..., 0]] if channels < 3 else list(np.moveaxis(image[..., :3] @ oracle._RGB_TO_YCBCR.T, -1, 0))
    )
    small = planes[0] = planes[0] + oracle._OFFSET[0] * (channels > 2)
    planes[0] = luma_oracle(net, small, size, strength)
    added = planes[0] - filtered(small, size)
    if guided:
        by_slope = [filtered(oracle.slopes(plane, small), size) * added for plane in planes[1:]]
    else:
        by_slope = [0] * (len(planes) - 1)
    planes[1:] = [filtered(plane, size) + more for plane, more in zip(planes[1:], by_slope, strict=True)]
    if channels > 2:
        planes[0] = planes[0] - oracle._OFFSET[0]
        planes = list(np.moveaxis(np.stack(planes, -1) @ np.linalg.inv(oracle._RGB_TO_YCBCR).T, -1, 0))
    if channels in (2, 4):
        planes.append(filtered(image[..., -1], size))
    return np.stack(planes, -1)


def yuv(rng, width, height, bits, subsampling):
    dtype = np.uint8 if bits == 8 else np.uint16
    chroma = (-(-height // subsampling[1]), -(-width // subsampling[0]))
    return [rng.integers(0, 2**bits, shape).astype(dtype) for shape in ((height, width), chroma, chroma)]


def y4m(frames, size):
    line = b"YUV4MPEG2 W%d H%d F24:1 Ip A1:1 C420jpeg\n" % size
    return line + b"".join(b"FRAME\n" + b"".join(p.tobytes() for p in planes) for planes in frames)
