"""The WebAssembly module in Node: the conformance list, every model of the page, and what is refused."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import conformance
import fsrcnn_rt
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = Path(os.environ.get("FSRCNN_RT_PAGE", ROOT / "build" / "web"))
if not (PAGE / "fsrcnn.wasm").exists():
    pytest.skip(f"the module is made by web/build.sh: no {PAGE}", allow_module_level=True)
if not (NODE := shutil.which("node")):
    pytest.skip("the module is tried in Node: no node", allow_module_level=True)


def run(jobs, folder):
    """Lines that Node prints of jobs."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [NODE, Path(__file__).with_name("run.mjs"), PAGE, folder / "jobs.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def job(model, planes, size, layout="picture", location="left", **options):
    """A picture, or planes, to be made so large."""
    height, width = planes[0].shape[:2]
    return {
        "model": str(model),
        "options": options,
        "layout": layout,
        "data": base64.b64encode(b"".join(plane.tobytes() for plane in planes)).decode(),
        **{"width": width, "height": height, "location": location},
        "channels": planes[0].shape[2] if planes[0].ndim == 3 else 1,
        "size": {"width": size[0], "height": size[1]},
    }


def test_every_case_of_the_conformance_list(tmp_path):
    networks, cases = conformance.read_list()
    for name, description in networks.items():
        fsrcnn_rt.save_model(conformance.network(description), tmp_path / name)
    jobs = []

    for case in cases:
        options = {"precision": "int16", **dict(case.options)}
        options.pop("passes", None)
        options.pop("chroma", None)
        options["strength"] = float(options.get("strength", 1))
        options["guard"] = options.get("guard", "on") == "on"
        model = tmp_path / case.network

        def add(image, *size, model=model, options=options):
            jobs.append(job(model, [image], size, **options))
            return image

        def add_planes(planes, width, height, bits, subsampling, location, model=model, options=options):
            jobs.append(job(model, planes, (width, height), "yuv420", location, **options))
            return planes

        conformance.made(case, add, add_planes)
    wrong = [
        case.line for case, line in zip(cases, run(jobs, tmp_path), strict=True) if line != case.checksum
    ]
    assert wrong == []


def test_models_of_the_page_are_those_of_python(tmp_path):
    random = np.random.default_rng(2)
    images = [random.integers(0, 256, (19, 23, channels), np.uint8) for channels in (1, 2, 3, 4)]
    for image in images[1::2]:
        image[4:9, 3:12, -1] = 0
    names = sorted(path.stem for path in (PAGE / "weights").iterdir())
    assert "fsrcnn" in names and set(names) <= set(fsrcnn_rt.model.SHIPPED)
    cases = [(name, image, scale) for name in names for image in images for scale in (2, 3, 4)]
    jobs = [
        job(PAGE / "weights" / f"{name}.safetensors", [image], (23 * scale, 19 * scale))
        for name, image, scale in cases
    ]
    for (name, image, scale), line in zip(cases, run(jobs, tmp_path), strict=True):
        expected = fsrcnn_rt.upscale(image, scale, model=name)
        assert line == hashlib.sha256(expected.tobytes()).hexdigest(), (name, image.shape, scale)


def test_what_is_refused_names_the_argument(tmp_path):
    model = PAGE / "weights" / "fsrcnn-s.safetensors"
    image = np.zeros((8, 9, 3), np.uint8)
    jobs = [
        job(model, [image], (5, 5)),
        job(model, [image], (18, 16), precision="int8"),
        job(model, [image], (18, 16), strength=2),
        {**job(model, [image], (18, 16)), "width": 10},
        job(__file__, [image], (18, 16)),
    ]
    *said, of_no_model = [line.partition(":")[2].strip() for line in run(jobs, tmp_path)]
    assert said == [
        "result of 5x5 is smaller than source of 9x8",
        "precision=int8 is none of auto, float32, int16",
        "strength=2.000000 is not 0 to 1.5",
        "data has 216 samples, not 10x8x3",
    ]
    assert of_no_model.startswith("has a header of")


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file()) <= 1_000_000
