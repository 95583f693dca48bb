"""Video on a cluster."""


def upscale_videos() -> None:
    raise NotImplementedError
