"""Atomic writing of files, and checksums that detect any damage.

Every file that recops writes and reads back is *sealed*. It contains a token
``recops-sha256:<64 hex digits>``: the SHA-256 of the whole file with those digits set to zero. In
a safetensors file the seal is the first such token, because the header comes first. In JSON and
Parquet files it is the last one, because the metadata comes last. An id or a title in between may
contain a similar token. No function of this module unpickles data.
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
"""Blank seal. Put it into the metadata after the content; :func:`write_sealed` fills it in."""

READ_LIMIT = 1 << 30
"""Largest number of bytes of a foreign file or an unpacked archive that memory may hold."""

_SEAL_PATTERN = re.compile(rb"recops-sha256:([0-9a-f]{64})")

_NUMBERS = re.compile(r"\[\n([-+.\de,\s]+)\]")
"""An indented list of numbers. No string matches, because its line breaks are escaped."""


class CorruptFileError(ValueError):
    """Error for a file that is damaged, truncated, of another kind, or from a newer version."""


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` atomically; see :func:`new_file`."""
    with new_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; on success, flush it to disk and rename it to ``path``.

    The temporary file is in the same folder and is deleted after an error. The new file takes over
    the permissions of the file that it replaces. A symbolic link at ``path`` stays a link.

    Raises:
        OSError: the disk is full or the folder is not writable; an existing file is unchanged.
            Also raised if ``path`` is a device, a pipe or a folder.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{path}: exists and is not a regular file, so it is not replaced")
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
    """Replace the last :data:`SEAL` of ``data`` by its checksum and write ``data`` to ``path``.

    Raises:
        ValueError: ``data`` contains no :data:`SEAL`.
    """
    write_file(path, _sealed(data, data.rfind(SEAL.encode())))


def _sealed(data: bytes, start: int) -> bytes:
    if start < 0:
        raise ValueError("write_sealed: data must hold the blank seal, got none")
    end = start + len(SEAL)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[: end - len(digest)] + digest + data[end:]


def seal_file(file: BinaryIO) -> None:
    """Fill in the last :data:`SEAL` of an open file, in place.

    Use it inside :func:`new_file` for a file that is too large for memory.

    Raises:
        ValueError: the file contains no :data:`SEAL`.
    """
    file.flush()
    with mmap.mmap(file.fileno(), 0) as data:
        start = data.rfind(SEAL.encode())
        if start < 0:
            raise ValueError("seal_file: file must hold the blank seal, got none")
        with memoryview(data) as view:
            digest = hashlib.sha256(view).hexdigest()
        end = start + len(SEAL)
        data[end - len(digest) : end] = digest.encode()
        data.flush()


def verify_file(path: str | os.PathLike[str]) -> None:
    """Check the seal of a file without reading all of it into memory.

    Raises:
        CorruptFileError: as in :func:`read_sealed`.
        FileNotFoundError: the file does not exist.
    """
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise CorruptFileError(f"{path}: not a recops file, or truncated (it is empty)")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _verify(data, path)


def read_sealed(path: str | os.PathLike[str]) -> bytes:
    """Read a sealed file, check its seal and return its bytes.

    Raises:
        CorruptFileError: the file has no seal (it is truncated or foreign), or its bytes do not
            match the seal.
    """
    return _verified(Path(path).read_bytes(), path)


def _verified(data: bytes, source: object) -> bytes:
    _verify(data, source)
    return data


def _verify(data: bytes | mmap.mmap, source: object) -> None:
    seals = [match.span(1) for match in _SEAL_PATTERN.finditer(data)]
    if not seals:
        raise CorruptFileError(f"{source}: not a recops file, or truncated (no checksum found)")
    if not any(_seals(data, *span) for span in {seals[0], seals[-1]}):
        raise CorruptFileError(f"{source}: damaged (checksum mismatch)")


def _seals(data: bytes | mmap.mmap, start: int, end: int) -> bool:
    """Check whether ``data[start:end]`` is the digest of ``data`` with those digits zeroed."""
    digest = hashlib.sha256()
    with memoryview(data) as view:
        for part in (view[:start], b"0" * 64, view[end:]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest().encode() == data[start:end]


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, reading 1 MiB at a time.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def read_bounded(path: str | os.PathLike[str], *, limit: int = READ_LIMIT) -> bytes:
    """Read a foreign file, such as JSON, of at most ``limit`` bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has more than ``limit`` bytes; at most ``limit + 1`` are read.
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
            f"{path}: {kind} format {found_version}, but this version reads up to {version}"
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
    """Return the bytes of the file that :func:`save_tensors` writes."""
    # The keys are sorted so that the checksum precedes any other text that looks like a seal.
    header = {"checksum": SEAL, "kind": kind, "meta": dict(meta or {}), "version": version}
    # One metadata entry: safetensors writes several entries in the random order of its hash map.
    blob = safetensors.torch.save(
        _unshared(tensors),
        metadata={"recops": json.dumps(header, sort_keys=True)},
    )
    return _sealed(blob, blob.find(SEAL.encode()))


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU. Shared memory, as of tied weights, is copied."""
    unshared: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.is_sparse or tensor.is_sparse_csr:
            raise ValueError(f"{name} must be a dense tensor, got {tensor.layout}")
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        unshared[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return unshared


def load_tensors(
    path: str | os.PathLike[str], *, kind: str, version: int = 1
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load the ``(tensors, meta)`` that :func:`save_tensors` wrote.

    Raises:
        CorruptFileError: the file is damaged, truncated, of another kind, or from a newer version.
        FileNotFoundError: the file does not exist.
    """
    return open_tensors(Path(path).read_bytes(), path, kind=kind, version=version)


def open_tensors(
    data: bytes, source: object, *, kind: str, version: int = 1
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the ``(tensors, meta)`` that :func:`seal_tensors` put into ``data``.

    Errors name ``source``, the origin of ``data``.

    Raises:
        CorruptFileError: as in :func:`load_tensors`.
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
    """Save a JSON object as a sealed file, with the entries of ``content`` at its top level.

    Every entry has a line, and so has every list of numbers.
    """
    sealed = {**content, "format": {"kind": kind, "version": version, "seal": SEAL}}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_sealed(path, _NUMBERS.sub(_on_one_line, text).encode())


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"


def read_json(path: str | os.PathLike[str], *, kind: str, version: int = 1) -> dict[str, Any]:
    """Read and verify the object that :func:`write_json` wrote, without its ``format`` entry.

    Raises:
        CorruptFileError: the file is damaged, truncated, of another kind, or from a newer version.
    """
    data = read_sealed(path)
    try:
        content: dict[str, Any] = json.loads(data)
        header = content.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path}: not a recops JSON file ({error})") from error
    _check_format(path, header, kind, version)
    return content
