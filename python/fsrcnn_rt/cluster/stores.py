"""Folders by URL: what a plan asks of them, and files that are fetched from there and delivered there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from importlib import import_module
from io import BufferedReader
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from fsrcnn_rt.errors import UsageError, one_line
from fsrcnn_rt.files import sweep
from fsrcnn_rt.plan import Disk, Plan

# Stores of objects: what is put there appears when it is whole. Elsewhere a file is renamed when it is.
_OF_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2"}

_SEPARATOR = "://"


class _Store(NamedTuple):
    """A folder by URL. ``root``: what its file system calls it; ``folder``: what stands for it in plans."""

    url: str
    system: Any
    root: str
    folder: Path


class Stores(Disk):
    """Where files lie: on this machine's file system, or in a folder that has been added by its URL.

    In a plan a path such as ``s3:/bucket/folder/file`` stands for a file by URL; :meth:`name` gives that. A
    folder by URL is listed once, when it is first asked for.
    """

    def __init__(self) -> None:
        self._stores: list[_Store] = []
        self._listings: dict[Path, dict[Path, str]] = {}

    def add(self, name: str) -> Path:
        """Return the path that stands for a folder, or a file, by its name or URL.

        ``UsageError`` for a URL that no installed file system takes.
        """
        if _SEPARATOR not in name:
            return Path(name)
        system, root = file_system(name)
        if is_local(system):
            return Path(root)
        url = name.rstrip("/")
        folder = Path(f"{url.split(_SEPARATOR)[0]}:", root.strip("/"))
        self._stores.append(_Store(url, system, root.rstrip("/"), folder))
        return folder

    def name(self, path: Path) -> str:
        """Return what a path of a plan is called: a URL, or its own name."""
        store = self._store(path)
        if store is None:
            return str(path)
        inside = path.relative_to(store.folder).as_posix()
        return store.url if inside == "." else f"{store.url}/{inside}"

    def told(self, text: str) -> str:
        """Make a message of a plan call files as :meth:`name` does."""
        for store in self._stores:
            text = text.replace(str(store.folder), store.url)
        return text

    def location(self, path: Path) -> str:
        """Return what any node knows a file by: a URL, or a path from the root."""
        return str(path.absolute()) if self._store(path) is None else self.name(path)

    def is_folder(self, path: Path) -> bool:
        """Whether it is a folder; of a store, whether anything lies below."""
        store = self._store(path)
        if store is None:
            return super().is_folder(path)
        listing = self._listing(store)
        return path not in listing and (path == store.folder or any(path in key.parents for key in listing))

    def exists(self, path: Path) -> bool:
        """Whether there is anything."""
        store = self._store(path)
        if store is None:
            return super().exists(path)
        return path in self._listing(store) or self.is_folder(path)

    def files(self, folder: Path, output: str | None, *, recursive: bool) -> Iterator[Path]:
        """Files of a folder, in the order in which a disk gives them."""
        store = self._store(folder)
        if store is None:
            yield from super().files(folder, output, recursive=recursive)
            return
        excluded = Path(output) if output is not None else None
        for path in sorted(self._listing(store), key=lambda path: (path.parent.parts, path.name)):
            places = path.relative_to(folder).parent.parts
            if places and (not recursive or any(place.startswith(".") for place in places)):
                continue
            if excluded is None or excluded == folder or excluded not in path.parents:
                yield path

    def identity(self, path: Path) -> str:
        """Return what is the same of all names of a file."""
        store = self._store(path)
        if store is None:
            return super().identity(path)
        protocol = store.system.protocol
        kind = protocol if isinstance(protocol, str) else protocol[0]
        return f"{kind}{_SEPARATOR}{store.root}/{path.relative_to(store.folder).as_posix()}"

    def is_there(self, path: Path) -> bool:
        """Whether an output exists already."""
        store = self._store(path)
        return super().is_there(path) if store is None else path in self._listing(store)

    def make_folder(self, path: Path) -> None:
        """Make a folder; a store of objects has none."""
        store = self._store(path)
        if store is None:
            super().make_folder(path)
        elif not _is_of_objects(store.system):
            store.system.makedirs(f"{store.root}/{path.relative_to(store.folder).as_posix()}", exist_ok=True)

    def sweep(self, plan: Plan) -> None:
        """Delete what processes have left in folders whose node was killed while they wrote."""
        for folder in {path.parent for job in plan.jobs for path in job.outputs.values()}:
            if self._store(folder) is None:
                sweep(folder)

    def check(self, path: Path) -> None:
        """``UsageError`` for a source that is not there."""
        if not self.exists(path) and not any(character in path.name for character in "*?["):
            raise UsageError(f"{self.name(path)}: does not exist, or nothing is in it")

    def _store(self, path: Path) -> _Store | None:
        within = (path, *path.parents)
        return next((store for store in self._stores if store.folder in within), None)

    def _listing(self, store: _Store) -> dict[Path, str]:
        """List all files of a folder, by the paths that stand for them."""
        if store.folder not in self._listings:
            self._listings[store.folder] = dict(_listed(store))
        return self._listings[store.folder]


def _listed(store: _Store) -> Iterator[tuple[Path, str]]:
    try:
        keys = store.system.find(store.root)
    except FileNotFoundError as error:
        if _is_of_objects(store.system):  # a bucket, as folders there are but parts of names
            raise UsageError(f"{store.url}: does not exist") from error
        return
    except Exception as error:  # whatever the package of a store has for it
        raise UsageError(f"{store.url}: cannot be listed: {one_line(error)}") from error
    for key in keys:
        inside = key[len(store.root) :].lstrip("/") if key != store.root else "."
        if (inside != "." and str(PurePosixPath(inside)) != inside) or ".." in inside.split("/"):
            raise UsageError(
                f"{store.url}: {key} has an empty part or dots in its name, which no folder can mirror"
            )
        yield store.folder / inside, key


@lru_cache
def file_system(url: str) -> tuple[Any, str]:
    """Find the file system of a URL, and what that calls it; ``UsageError`` where none takes it."""
    try:
        core: Any = import_module("fsspec.core")
        system, path = core.url_to_fs(url)
    except ModuleNotFoundError as error:
        if error.name != "fsspec":
            raise UsageError(f"{url}: {one_line(error)}") from error
        raise UsageError(f"{url}: needs fsspec, which comes with fsrcnn-rt[cluster]") from error
    except (ImportError, ValueError, OSError) as error:
        raise UsageError(f"{url}: {one_line(error)}") from error
    return system, str(path)


def is_local(system: Any) -> bool:
    """Whether a file system is this machine's."""
    protocol = system.protocol
    return "file" in ([protocol] if isinstance(protocol, str) else protocol)


def _is_of_objects(system: Any) -> bool:
    protocol = system.protocol
    return not _OF_OBJECTS.isdisjoint([protocol] if isinstance(protocol, str) else protocol)


class Remote:
    """A file by URL that is read where it lies, piece by piece; as text it is the URL."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name

    def open(self, mode: Literal["rb"]) -> BufferedReader:
        """Open it; ``OSError`` where that fails."""
        system, key = file_system(self._name)
        try:
            file: BufferedReader = system.open(key, mode)
        except Exception as error:  # whatever the package of a store has for it
            raise OSError(f"{self._name} cannot be read: {one_line(error)}") from error
        return file


def readable(name: str) -> Path | Remote:
    """Return a file by its name or URL, to be read where it lies."""
    return Remote(name) if _SEPARATOR in name else Path(name)


class AtHand:
    """A file as one of this machine: where it lies is ``path``.

    What is a URL has a place in a temporary folder: :meth:`fetch` brings it there, and :meth:`deliver` brings
    what has been made there to where it belongs, whole or not at all. The folder goes with the block, or with
    the object. What is no URL stays where it is, and who writes it has to do it so.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder: TemporaryDirectory[str] | None = None
        if _SEPARATOR not in name:
            self.path = Path(name)
            return
        # Not by its own name, which may be longer than this machine takes.
        self._folder = TemporaryDirectory(prefix="fsrcnn-rt-")
        self.path = Path(self._folder.name, f"file{PurePosixPath(name).suffix}")

    def __enter__(self) -> AtHand:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def fetch(self) -> AtHand:
        """Fetch the file; ``OSError`` where that fails."""
        if self._folder is not None:
            _transfer(self._name, "read", lambda system, key: system.get_file(key, str(self.path)))
        return self

    def deliver(self) -> None:
        """Deliver the file, where one has been made; ``OSError`` where that fails."""
        if self._folder is not None and self.path.exists():
            _transfer(self._name, "written", partial(_deliver, self.path))

    def told(self, error: str) -> str:
        """Make an error speak of the file, and not of a temporary one."""
        return error.replace(str(self.path), self._name)


def _transfer(name: str, what: str, transfer: Callable[[Any, str], object]) -> None:
    try:
        transfer(*file_system(name))
    except Exception as error:  # whatever the package of a store has for it
        raise OSError(f"{name} cannot be {what}: {one_line(error)}") from error


def _deliver(path: Path, system: Any, key: str) -> None:
    """Put a file to where it belongs, whole or not at all."""
    if _is_of_objects(system):
        system.put_file(str(path), key)
        return
    folder, _, name = key.rpartition("/")
    temporary = f"{folder}/.{name[:64]}.{os.urandom(4).hex()}.fsrcnn-rt.tmp"
    try:
        system.put_file(str(path), temporary)
        system.mv(temporary, key)
    except BaseException:
        with suppress(Exception):
            system.rm_file(temporary)
        raise
