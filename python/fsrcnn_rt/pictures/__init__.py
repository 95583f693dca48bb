"""Picture files: read with their metadata, upscaled, and written; one by one, or many at a time."""

from fsrcnn_rt.pictures.picture import Frames, Picture, adjusted, is_kept, left_out, upscale
from fsrcnn_rt.pictures.reading import MAX_PIXELS, Header, content_format, large_pictures_allowed, read
from fsrcnn_rt.pictures.writing import check, check_size, copy, encoded, writable_format, write

__all__ = [
    "MAX_PIXELS",
    "Frames",
    "Header",
    "Picture",
    "adjusted",
    "check",
    "check_size",
    "content_format",
    "copy",
    "encoded",
    "is_kept",
    "large_pictures_allowed",
    "left_out",
    "read",
    "upscale",
    "writable_format",
    "write",
]
