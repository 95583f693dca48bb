"""Many pictures, and long videos, on many machines, by Ray; needs the extra ``cluster``."""

from fsrcnn_rt.cluster.pictures import upscale_pictures
from fsrcnn_rt.cluster.summary import Summary
from fsrcnn_rt.cluster.videos import upscale_videos

__all__ = ["Summary", "upscale_pictures", "upscale_videos"]
