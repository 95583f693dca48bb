"""Wheels and source archives are complete, or refused; what is told of them twice is the same."""

import re
import shutil
import tarfile
import zipfile
from functools import partial

import pytest
import wheels

if not (wheels.ROOT / ".git").exists() or not shutil.which("git"):
    pytest.skip("wheels are compared with what git tracks: no checkout, or no git", allow_module_level=True)

TAGS = "cp312-cp312-win_amd64"
EXTENSION = "fsrcnn_rt/_core.cp312-win_amd64.pyd"


@pytest.fixture
def names():
    """What a wheel for Windows holds."""
    return wheels.contents("fsrcnn_rt-1.2.3.dist-info", EXTENSION)


@pytest.fixture
def wheel(tmp_path):
    """A wheel of these tags and names, all of them empty."""

    def make(names, tags=TAGS):
        path = tmp_path / f"fsrcnn_rt-1.2.3-{tags}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(names):
                archive.writestr(name, b"")
        return path

    return make


def test_a_complete_wheel_passes(names, wheel, capsys):
    assert len(names) > 100
    wheels.check(wheel(names))
    assert capsys.readouterr().out.startswith(f"fsrcnn_rt-1.2.3-{TAGS}.whl: {len(names)} files")


@pytest.mark.parametrize(
    "name", ["weights/fsrcnn.safetensors", "py.typed", "evaluation/page.html", "cli/__init__.py"]
)
def test_a_file_is_missing(names, wheel, name):
    with pytest.raises(SystemExit, match=rf"missing: \['fsrcnn_rt/{name}'\]"):
        wheels.check(wheel(names - {f"fsrcnn_rt/{name}"}))


def test_the_licence_is_missing(names, wheel):
    licence = "fsrcnn_rt-1.2.3.dist-info/licenses/LICENSE"
    with pytest.raises(SystemExit, match=rf"missing: \['{licence}'\]"):
        wheels.check(wheel(names - {licence}))


@pytest.mark.parametrize(
    "name", ["fsrcnn_rt.libs/libstdc++.so.6", "fsrcnn_rt/notes.txt", "fsrcnn_rt/libfsrcnn_core.a"]
)
def test_a_file_is_none_of_the_project(names, wheel, name):
    with pytest.raises(SystemExit, match=re.escape(f"not of the project: ['{name}']")):
        wheels.check(wheel(names | {name}))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("cp312-cp312-linux_x86_64", "made for linux_x86_64"),
        ("cp312-cp312-manylinux_2_28_x86_64", "made for manylinux_2_28_x86_64"),
        ("cp312-cp312-manylinux2014_x86_64.manylinux_2_28_x86_64", "made for manylinux2014_x86_64.many"),
        ("cp314-cp314t-win_amd64", "made for cp314-cp314t"),
        ("cp310-abi3-win_amd64", "made for cp310-abi3"),
        ("py3-none-any", "made for py3-none"),
        ("cp313-cp313-win_amd64", "missing: ['fsrcnn_rt/_core.cp313-win_amd64.pyd']"),
        ("cp312-cp312-manylinux_2_17_aarch64", "_core.cpython-312-aarch64-linux-gnu.so"),
        ("cp312-cp312-musllinux_1_2_aarch64", "_core.cpython-312-aarch64-linux-musl.so"),
        ("cp312-cp312-macosx_11_0_arm64", "_core.cpython-312-darwin.so"),
    ],
)
def test_the_name_promises_else(names, wheel, tags, message):
    with pytest.raises(SystemExit, match=re.escape(message)):
        wheels.check(wheel(names, tags))


LINKED = """
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-x86-64.so.2]
  0x0010: Name: GLIBC_2.2.5  Flags: none  Version: 3
  0x0020: Name: GLIBC_2.17  Flags: none  Version: 2
"""


@pytest.mark.parametrize(
    ("found", "other", "message"),
    [
        ("GLIBC_2.2.5", "GLIBC_2.34", "needs glibc 2.34"),
        ("ld-linux-x86-64.so.2", "libstdc++.so.6", "needs ['libc.so.6', 'libstdc++.so.6']"),
        ("NEEDED", "SONAME", "needs []"),
        (
            "(NEEDED)             Shared library: [ld-linux-x86-64.so.2]",
            "(RUNPATH) Library runpath: [$ORIGIN]",
            "has an RPATH",
        ),
    ],
)
def test_an_extension_asks_for_more_than_the_c_library(found, other, message):
    assert wheels.check_linked(LINKED) == "glibc 2.17"
    assert wheels.check_linked("0x1 (NEEDED) Shared library: [libc.so]") == "musl"
    with pytest.raises(wheels.BadFileError, match=re.escape(message)):
        wheels.check_linked(LINKED.replace(found, other))


def test_the_source_archive_holds_what_git_tracks(tmp_path, monkeypatch):
    backend = pytest.importorskip(
        "scikit_build_core.build", reason="the source archive is made by scikit-build-core"
    )
    monkeypatch.chdir(wheels.ROOT)
    archive = tmp_path / backend.build_sdist(str(tmp_path))
    # A file that is about to be added is no mistake here.
    monkeypatch.setattr(
        wheels, "tracked", partial(wheels.tracked, "--cached", "--others", "--exclude-standard")
    )
    wheels.check(archive)
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    (root,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (root / "LICENSE").rename(root / "build.log")
    with tarfile.open(archive, "w") as changed:
        changed.add(root, root.name)
    with pytest.raises(
        SystemExit, match=rf"missing: \['{root.name}/LICENSE'\].*: \['{root.name}/build.log'\]"
    ):
        wheels.check(archive)


def test_versions_are_told_alike():
    """Of Python in the classifiers and for cibuildwheel, and of glibc."""
    text = (wheels.ROOT / "pyproject.toml").read_text()
    minors = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', text)
    assert re.findall(r'"cp3(\d+)-\*"', text) == minors
    assert f'requires-python = ">=3.{minors[0]}"' in text
    assert text.count("-linux-gnu.{}.{}".format(*wheels.GLIBC)) == 1


def test_the_page_lists_every_platform():
    page = (wheels.ROOT / "docs" / "wheels.md").read_text().split("\n## ")[0]
    rows = [line for line in page.splitlines() if line[:1] == "|"]
    tags = re.findall("`([^`]+)`", "".join(row.split("|")[2] for row in rows))
    found = [next(pattern for pattern in wheels.EXTENSIONS if re.fullmatch(pattern, tag)) for tag in tags]
    assert set(found) == wheels.EXTENSIONS.keys()
