"""Dependencies point one way, in the core and in the package; importing the package is cheap."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "fsrcnn_cpp"
PACKAGE = ROOT / "python" / "fsrcnn_rt"
FLOORS = {
    **dict.fromkeys(
        ["aligned_buffer", "arena", "common", "json", "ring", "spin", "team", "thread_pool", "tiles"], 0
    ),
    **dict.fromkeys(
        ["alpha", "model", "bicubic", "pixel_io", "finish", "resize", "arguments", "fma_peak"], 2
    ),
    **{
        "planes": 3,
        "fixed": 3,
        "packing": 3,
        "packing_fixed": 3,
        "plan": 3,
        "model_file": 3,
        "changes": 4,
        "gradient": 4,
        "network": 4,
        "phases": 5,
        "stream": 5,
        "enlarged": 6,
        "finisher": 6,
    },
    **{"strip": 7, "upscaler": 8, "bindings": 9, "take_gil": 9, "fsrcnn": 9},
}

# Heights of the package's rooms: a room may import only what is below it.
ROOMS = {
    room: height
    for height, rooms in enumerate(
        (
            *("_core errors", "files", "model", "engine", "pictures video convert", "evaluation plan"),
            *("training cluster", "cli", "__main__ __init__"),
        )
    )
    for room in rooms.split()
}


def floor(file):
    """Height in the house: a file may include only what is on its own floor or below."""
    return 1 if file.parent.name == "kernels" else FLOORS[file.stem]


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.[hc]*")), ids=lambda file: file.name)
def test_includes_point_down(file):
    for name in re.findall(r'^\s*#\s*include\s+"(.+?)"', file.read_text(), re.MULTILINE):
        included = next(
            path for path in (file.parent / name, CORE / name, CORE / "kernels" / name) if path.exists()
        )
        assert floor(included) <= floor(file), f"{file.name} includes {name}"


def room(module):
    """The folder or the single module of the package that a dotted name lies in."""
    return [*module.split("."), "__init__"][1]


def imported(file):
    """Dotted names of what a module of the package imports of the package."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            # From the package itself come rooms, or the names that it hands on.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: a relative import"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_down(file):
    own = file.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(file):
        if name.split(".")[0] != "fsrcnn_rt" or name in ("fsrcnn_rt", "fsrcnn_rt.__version__"):
            continue  # of the package as a whole only the version is asked for: see below
        assert room(name) in ROOMS, f"{file.name} imports {name}, which is in no room"
        if room(name) != own:
            assert ROOMS[room(name)] < ROOMS[own], f"{own}/{file.name} imports {name}"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_of_the_whole_package_only_the_version_is_asked_for(file):
    used = set(re.findall(r"(?<![\w.`~\"])fsrcnn_rt\.(\w+)", file.read_text()))
    imports = {name.split(".")[1] for name in imported(file) if name.startswith("fsrcnn_rt.")}
    assert used - imports - ROOMS.keys() <= {"__version__", "__path__"} or file.name == "__init__.py"


@pytest.mark.parametrize("folder", sorted(path.parent for path in PACKAGE.rglob("__init__.py")))
def test_a_folder_hands_names_on_and_is_imported_cheaply(folder):
    name = ".".join(folder.relative_to(PACKAGE.parent).parts)
    heavy = (
        "{'PIL', 'av', 'torch', 'onnx', 'scipy', 'safetensors', 'tqdm', 'rawpy', 'tifffile', 'ray', 'fsspec'}"
    )
    code = f"import sys, {name}; print(*{heavy} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_few_packages_are_needed_and_of_any_recent_version():
    (block,) = re.findall(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    needed = dict(re.findall(r'"([a-z]+)([^"]*)"', block))
    assert set(needed) == {"numpy", "pillow", "safetensors", "tqdm"}
    assert all(re.fullmatch(r">=[0-9.]+", versions) for versions in needed.values())
    code = "import sys, fsrcnn_rt; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {name for name in result.stdout.split() if not name.startswith(("_", "sitecustomize"))}
    assert others - sys.stdlib_module_names <= {"fsrcnn_rt", "numpy", "cython_runtime"}


def test_import_is_cheap():
    code = "import sys, fsrcnn_rt; print(*{'PIL', 'av', 'torch', 'safetensors', 'tqdm'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
