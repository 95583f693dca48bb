"""Dependencies point one way: bindings -> upscaler -> network -> packing -> kernels -> foundation."""

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
    **dict.fromkeys(["common", "aligned_buffer", "arena", "thread_pool"], 0),
    **dict.fromkeys(["model", "pixel_io", "finish", "resize", "fma_peak"], 2),
    **{"packing": 3, "network": 4, "gradient": 4, "strip": 5, "upscaler": 6, "bindings": 7},
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


def test_no_module_imports_the_command_line():
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            names.append(getattr(node, "module", None) or "")
            if file.name != "__main__.py":
                assert not any(name.endswith("cli") for name in names), file


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
