"""Files that are written whole or not at all, and that notice a flipped bit.

Every file recops writes and reads back is *sealed*: it carries a token ``recops-sha256:<64 hex
digits>``, the SHA-256 of the whole file with those digits set to zero. It is the first such token
of a safetensors file, whose header comes first, and the last one of JSON and Parquet, which end
with their format: between them an id or a title may be anything, a seal as well. Nothing here ever
unpickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

SEAL = "recops-sha256:" + "0" * 64
"""Put this token into a file's metadata, behind its content; :func:`write_sealed` fills it in."""

READ_LIMIT = 1 << 30
"""Bytes of a foreign file, or of what an archive unpacks to, that are held in memory at once."""

_SEAL_PATTERN = re.compile(rb"recops-sha256:([0-9a-f]{64})")


class CorruptFileError(ValueError):
    """A file is damaged, truncated, of another kind, or written by a newer version."""


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``, all of it or nothing; see :func:`new_file`."""
    with new_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A temporary file beside ``path``, to be filled: then it is flushed to the disk and renamed.
    An error inside leaves nothing. A file that is replaced hands its permissions on; a link stays
    one, to the new file.

    Raises:
        OSError: the disk is full or the folder is not writable; a file already at ``path`` stays
            as it was. So does anything else: a device or a pipe is not replaced.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{path}: is there and is no file, so it is not replaced")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with temporary.open("x+b") as file:
            if target.exists():
                os.fchmod(file.fileno(), target.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        os.fsync(folder)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(folder)


def write_sealed(path: str | os.PathLike[str], data: bytes) -> None:
    """Fill in the last :data:`SEAL` of ``data``, and :func:`write_file` it.

    Raises:
        ValueError: there is none.
    """
    write_file(path, _sealed(data, data.rfind(SEAL.encode())))


def _sealed(data: bytes, place: int) -> bytes:
    if place < 0:
        raise ValueError("write_sealed: data must hold the blank seal, got none")
    end = place + len(SEAL)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[: end - len(digest)] + digest + data[end:]


def seal_file(file: BinaryIO) -> None:
    """:func:`write_sealed` of a file in place: for one that is too large to be held in memory; with
    :func:`new_file`.

    Raises:
        ValueError: it holds no blank seal.
    """
    file.flush()
    with mmap.mmap(file.fileno(), 0) as data:
        place = data.rfind(SEAL.encode())
        if place < 0:
            raise ValueError("seal_file: file must hold the blank seal, got none")
        with memoryview(data) as view:
            digest = hashlib.sha256(view).hexdigest()
        end = place + len(SEAL)
        data[end - len(digest) : end] = digest.encode()
        data.flush()


def verify_file(path: str | os.PathLike[str]) -> None:
    """Check the seal of a file without holding it in memory.

    Raises:
        CorruptFileError: as :func:`read_sealed`.
        FileNotFoundError: no such file.
    """
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise CorruptFileError(f"{path}: not a recops file, or truncated (it is empty)")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _verify(data, path)


def read_sealed(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a sealed file, verified.

    Raises:
        CorruptFileError: the file carries no seal (truncated or foreign), or its bytes do not
            match it.
    """
    return _verified(Path(path).read_bytes(), path)


def _verified(data: bytes, source: object) -> bytes:
    _verify(data, source)
    return data


def _verify(data: bytes | mmap.mmap, source: object) -> None:
    seals = [found.span(1) for found in _SEAL_PATTERN.finditer(data)]
    if not seals:
        raise CorruptFileError(f"{source}: not a recops file, or truncated (no checksum found)")
    if not any(_seals(data, *place) for place in {seals[0], seals[-1]}):
        raise CorruptFileError(f"{source}: damaged (checksum mismatch)")


def _seals(data: bytes | mmap.mmap, start: int, end: int) -> bool:
    """Whether the digits at a place are the digest of all else."""
    digest = hashlib.sha256()
    with memoryview(data) as view:
        for part in (view[:start], b"0" * 64, view[end:]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest().encode() == data[start:end]


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits; a mebibyte of it is in memory at once.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def read_bounded(path: str | os.PathLike[str], *, limit: int = READ_LIMIT) -> bytes:
    """The bytes of somebody else's file that is read whole, such as JSON.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds more than ``limit`` bytes; no more than those were read.
    """
    with Path(path).open("rb") as file:
        data = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
    if data is None or len(data) > limit:
        raise ValueError(f"{path}: must hold at most {limit:,} bytes")
    return data


def _check_format(path: object, header: Any, kind: str, version: int) -> None:
    if not isinstance(header, dict):
        raise CorruptFileError(f"{path}: holds no format entry, so it is not a recops {kind} file")
    found_kind, found_version = header.get("kind"), header.get("version")
    if found_kind != kind:
        raise CorruptFileError(f"{path}: holds {found_kind!r}, not {kind!r}")
    if not isinstance(found_version, int) or found_version > version:
        raise CorruptFileError(
            f"{path}: {kind} format {found_version}, but this recops reads up to {version}"
        )


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    *,
    kind: str,
    version: int = 1,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Save named tensors and JSON-serialisable ``meta`` as one sealed safetensors file."""
    write_file(path, seal_tensors(tensors, kind=kind, version=version, meta=meta))


def seal_tensors(
    tensors: Mapping[str, Tensor],
    *,
    kind: str,
    version: int = 1,
    meta: Mapping[str, Any] | None = None,
) -> bytes:
    """The bytes of the file that :func:`save_tensors` writes."""
    # Sorted, the checksum comes before whatever else might look like one.
    header = {"checksum": SEAL, "kind": kind, "meta": dict(meta or {}), "version": version}
    # One metadata entry: safetensors keeps them in a hash map and would write several in any order.
    blob = safetensors.torch.save(
        _apart(tensors),
        metadata={"recops": json.dumps(header, sort_keys=True)},
    )
    return _sealed(blob, blob.find(SEAL.encode()))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of which none shares memory with another, as tied weights do."""
    apart: dict[str, Tensor] = {}
    met: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.is_sparse or tensor.is_sparse_csr:
            raise ValueError(f"{name} must be a dense tensor, got {tensor.layout}")
        tensor = tensor.detach().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in met else tensor
        met.add(memory)
    return apart


def load_tensors(
    path: str | os.PathLike[str], *, kind: str, version: int = 1
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The ``(tensors, meta)`` that :func:`save_tensors` wrote.

    Raises:
        CorruptFileError: damaged, truncated, of another kind, or of a newer version.
        FileNotFoundError: no such file.
    """
    return open_tensors(Path(path).read_bytes(), path, kind=kind, version=version)


def open_tensors(
    data: bytes, source: object, *, kind: str, version: int = 1
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`seal_tensors` put into ``data``, which is from ``source``.

    Raises:
        CorruptFileError: as :func:`load_tensors`.
    """
    blob = _verified(data, source)
    try:
        size = int.from_bytes(blob[:8], "little")
        header = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["recops"])
        tensors = safetensors.torch.load(blob)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CorruptFileError(f"{source}: not a recops tensor file ({error})") from error
    _check_format(source, header, kind, version)
    return tensors, header["meta"]


def write_json(
    path: str | os.PathLike[str], content: Mapping[str, Any], *, kind: str, version: int = 1
) -> None:
    """Save a JSON object as a sealed file; ``content`` stays readable at its top level."""
    sealed = {**content, "format": {"kind": kind, "version": version, "seal": SEAL}}
    write_sealed(
        path, (json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def read_json(path: str | os.PathLike[str], *, kind: str, version: int = 1) -> dict[str, Any]:
    """The object :func:`write_json` wrote, verified, without its ``format`` entry.

    Raises:
        CorruptFileError: damaged, truncated, of another kind, or of a newer version.
    """
    data = read_sealed(path)
    try:
        content: dict[str, Any] = json.loads(data)
        header = content.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path}: not a recops JSON file ({error})") from error
    _check_format(path, header, kind, version)
    return content
