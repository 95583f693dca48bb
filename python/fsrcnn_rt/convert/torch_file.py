"""Reads what ``torch.save`` writes, without PyTorch: a pickle, and beside it the numbers of its tensors.

Since PyTorch 1.6 the file is a zip without compression, before that pickles and numbers follow each other.
Numbers are read only of the tensors that are asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from fsrcnn_rt.convert.bounded import Allowance
from fsrcnn_rt.convert.pickled import Named, unpickle
from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.files import open_regular
from fsrcnn_rt.model import Array

_MAGIC = 0x1950A86A20F9469CFC6C  # which a file of the old format begins with
_MAX_DIRECTORY = 1 << 20  # bytes of the list of a zip's members
_MAX_RANK = 8
_MAX_REASON = 200

# Bytes of the numbers of each kind, and what those that are floats are to numpy.
_ITEMS = {
    **{"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1},
    **{"Byte": 1, "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16},
}
_FLOATS = {"Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "u2"}


class _Storage(NamedTuple):
    key: str
    kind: str  # of _ITEMS
    first: int  # of another storage, of which this is a part
    count: int  # type: ignore[assignment]  # of a tuple this is a method, which nobody misses


class Tensor(NamedTuple):
    """Where the numbers of a tensor lie: strides and ``first`` count numbers, not bytes."""

    storage: _Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Name of its type, such as "Float"."""
        return self.storage.kind


class TorchFile:
    """A file of ``torch.save``, open: its ``content``, in which :class:`Tensor` and ``Named`` stand."""

    def __init__(self, path: Path) -> None:
        """Read the pickle; ``OSError`` if the file cannot be read, :class:`ModelError` if it is no such."""
        self._allowance = Allowance()
        self._places: dict[str, int] = {}  # of the storages' numbers in the file
        self._sizes: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._order = "<"
        self._file = open_regular(path)
        try:
            self.content = self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()

    def floats(self, name: str, tensor: object) -> Array:
        """Read the numbers of a tensor of floats; :class:`ModelError` for anything else."""
        if not isinstance(tensor, Tensor) or tensor.kind not in _FLOATS:
            raise ModelError(f"{name}: expected a tensor of floats, got {kind_of(tensor)}")
        storage, shape = tensor.storage, tensor.shape
        item = _ITEMS[tensor.kind]
        self._allowance.take(shape, 4)
        span = 1 + sum((side - 1) * step for side, step in zip(shape, tensor.strides, strict=True))
        if 0 in shape:
            return np.zeros(shape, np.float32)
        if tensor.first + span > storage.count or storage.key not in self._places:
            raise ModelError(f"{name}: expected a tensor within its storage, got one beyond it")
        first = storage.first + tensor.first
        if (first + span) * item > self._sizes[storage.key]:
            raise ModelError(f"{name}: expected a whole storage, got one that ends within the tensor")
        self._allowance.take([span], item)
        self._file.seek(self._places[storage.key] + first * item)
        data = np.frombuffer(self._file.read(span * item), self._order + _FLOATS[tensor.kind])
        strides = [step * item for step in tensor.strides]
        values = np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)
        if tensor.kind == "BFloat16":  # the upper half of a float
            return (values.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        with np.errstate(over="ignore"):  # infinity is refused later on, by its name
            return np.array(values, np.float32, order="C")

    def _read(self) -> Any:
        try:
            content = self._read_zip() if self._file.peek(4)[:4] == b"PK\3\4" else self._read_old()
            length = self._file.seek(0, 2)
            if any(place + self._sizes[key] > length for key, place in self._places.items()):
                raise ModelError("it ends within a tensor")
            return content
        except Exception as error:  # an ill-made pickle or zip makes anything of Python
            reason = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            raise ModelError(
                f"is not a state dict of torch.save(), or a damaged one ({reason[:_MAX_REASON]})"
            ) from error

    def _read_zip(self) -> Any:
        directory = ZipFile(_Reader(self._file)).infolist()
        members = {info.filename: info for info in directory}
        pickled = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(pickled) != 1:
            raise ModelError("expected a zip with one data.pkl, got another")
        folder = pickled[0][: -len("data.pkl")]
        for name, info in members.items():
            if not name.startswith(folder):
                continue
            if info.compress_type != ZIP_STORED or info.file_size != info.compress_size:
                raise ModelError(f"expected members without compression, got {name[:99]!r}")
            key = name[len(folder) :]
            self._file.seek(info.header_offset + 26)
            lengths = self._file.read(4)  # of the name and of more, which stand before the data
            start = info.header_offset + 30 + sum(np.frombuffer(lengths, "<u2").tolist())
            if key == "byteorder":
                self._file.seek(start)
                self._order = ">" if self._file.read(info.file_size)[:3] == b"big" else "<"
            elif key.startswith("data/"):
                self._places[key[5:]], self._sizes[key[5:]] = start, info.file_size
            elif key == "data.pkl":
                self._file.seek(start)
                whole = self._file.tell()
        self._file.seek(whole)
        return unpickle(self._file, _make, self._refer)

    def _read_old(self) -> Any:
        def simple() -> Any:
            return unpickle(self._file, _make)

        if simple() != _MAGIC or type(simple()) is not int:
            raise ModelError("expected the magic number of torch.save()")
        system = simple()
        if isinstance(system, dict) and system.get("little_endian") is False:
            self._order = ">"
        content = unpickle(self._file, _make, self._refer)
        keys = simple()
        place = self._file.tell()
        for key in keys:
            self._file.seek(place)
            count = int(np.frombuffer(self._file.read(8), f"{self._order}i8")[0])
            size = count * _ITEMS[self._kinds[key]]
            if count < 0 or key in self._places:
                raise ModelError("expected storages of some length, each once")
            self._places[key], self._sizes[key] = place + 8, size
            place += 8 + size
        return content

    def _refer(self, told: Any) -> _Storage:
        """Note a storage: ("storage", type, key, device, count), and in old files which part of it."""
        what, named, key, _device, count, *part = told
        module, _, kind = named.name.rpartition(".")
        kind = kind.removesuffix("Storage")
        if what != "storage" or module not in ("torch", "torch.cuda", "torch.storage"):
            raise ModelError("expected a storage outside of the pickle, got something else")
        if type(key) is not str or not _is_natural(count):
            raise ModelError("expected a storage with a name and a length")
        if self._kinds.setdefault(key, kind) != kind:
            raise ModelError("expected a storage of one type, got one of two")
        if part and part[0] is not None:
            _, first, size = part[0]
            if not (_is_natural(first) and _is_natural(size) and first + size <= count):
                raise ModelError("expected a part within its storage")
            return _Storage(key, kind, first, size)
        return _Storage(key, kind, 0, count)


def kind_of(value: object) -> str:
    """Say what stands in a file."""
    if isinstance(value, Tensor):
        return f"one of {value.kind}"
    return value.name if isinstance(value, Named) else type(value).__name__


class _Reader(io.RawIOBase):
    """A file for ``ZipFile``, which reads the list of members whole, whatever length it claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._source = file

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def read(self, size: int | None = -1) -> bytes:
        data = self._source.read(min(size, _MAX_DIRECTORY + 1) if size and size >= 0 else _MAX_DIRECTORY + 1)
        if len(data) > _MAX_DIRECTORY:
            raise ModelError(f"is a zip whose list of members is longer than {_MAX_DIRECTORY >> 20} MB")
        return data


def _is_natural(value: object) -> bool:
    return type(value) is int and value >= 0


def _make(name: str, arguments: Any) -> object:
    """Make what stands for an object of PyTorch; names that are not known stay names."""
    if name == "collections.OrderedDict":
        return dict(*arguments) if not arguments else {str(key): value for key, value in arguments[0]}
    if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
        return _tensor(name, *arguments)
    if name in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
        return arguments[0]
    if name == "torch._tensor._rebuild_from_type_v2" and isinstance(arguments[0], Named):
        return _make(arguments[0].name, arguments[2])  # a tensor with attributes
    return Named(name)


def _tensor(
    name: str,
    storage: object,
    first: Any,
    shape: Any,
    strides: Any,
    _grad: object = False,
    _hooks: object = None,
    metadata: Mapping[str, Any] | None = None,
) -> object:
    """Make a tensor; one that is conjugated or negated when it is read stays a name."""
    if not isinstance(storage, _Storage) or metadata:
        return Named(name)
    counts = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    if not counts or len(shape) > _MAX_RANK or not all(map(_is_natural, (first, *shape, *strides))):
        raise ModelError("expected tensors with offset, sizes and strides, got another")
    return Tensor(storage, first, shape, strides)
