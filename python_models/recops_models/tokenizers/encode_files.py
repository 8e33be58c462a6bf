"""Encoding of Parquet files of vectors by several workers, one output file per input file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from recops.files import CorruptFileError, file_digest, read_json, write_json
from recops_models.data.errors import DataError
from recops_models.data.storage import new_table, read_table
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.registry import load_tokenizer
from recops_models.tokenizers.sids import Sids

ENCODING = "encoding.json"
"""Name of the file that says by which tokenizer the files of a folder were encoded."""

_KIND = "encoding"


class EncodeFiles:
    """Stage that encodes files of vectors, each to a file of the same name in another folder.

    The stage can be pickled, so that it runs in the processes of any engine; each process loads the
    tokenizer once and gets a list of files. A file is written atomically. Finished files are
    skipped, so that a stage that was killed continues where it stopped, with the same result.
    Memory does not grow with the vectors; it holds the ids of one file.

    Args:
        tokenizer: file of a fitted tokenizer, such as ``tokenizer.safetensors``.
        out: folder for the output; created if missing.

    Raises:
        ValueError: the folder holds files that another tokenizer encoded.

    Example:
        >>> import tempfile
        >>> from recops_models.tokenizers import RQKMeans
        >>> folder = Path(tempfile.mkdtemp())
        >>> vectors = torch.eye(4)
        >>> tokenizer = RQKMeans(1, 4).fit(vectors, torch.arange(4))
        >>> tokenizer.save(folder / "tokenizer.safetensors")
        >>> table = pa.table({"item_id": range(4), "vector": vectors.tolist()})
        >>> pa.parquet.write_table(table, folder / "part0.parquet")
        >>> stage = EncodeFiles(folder / "tokenizer.safetensors", folder / "sids")
        >>> files = stage([folder / "part0.parquet"])
        >>> len(read_sid_files(files))
        4
    """

    def __init__(self, tokenizer: Path | str, out: Path | str) -> None:
        self._path, self._out = Path(tokenizer), Path(out)
        self._out.mkdir(parents=True, exist_ok=True)
        marker = self._out / ENCODING
        content = {"tokenizer_sha256": file_digest(self._path)}
        if marker.exists() and read_json(marker, kind=_KIND) != content:
            raise ValueError(f"EncodeFiles: {self._out} holds files of another tokenizer")
        write_json(marker, content, kind=_KIND)

    def __call__(self, files: Sequence[Path | str]) -> list[Path]:
        """Encode ``files`` and return the paths of the output, in the same order.

        Raises:
            DataError: a file cannot be read or has other columns, an id is missing or repeated, or
                a vector is not finite.
            ValueError: two files have the same name, or vectors another width than in the fit.
        """
        paths = [Path(file) for file in files]
        if len({path.name for path in paths}) < len(paths):
            raise ValueError("EncodeFiles: files must have different names")
        return [self._encode(path) for path in paths]

    def __getstate__(self) -> dict[str, object]:
        return {"_path": self._path, "_out": self._out}

    def _encode(self, path: Path) -> Path:
        target = self._out / path.name
        if target.resolve() == path.resolve():
            raise ValueError(f"EncodeFiles: out must be another folder than that of {path}")
        file = VectorFile(path)
        if target.exists() and pa.parquet.read_metadata(target).num_rows == file.num_rows:
            return target
        ids = file.item_keys() if file.text_ids else pa.chunked_array([file.item_ids()])
        levels = {f"c{level}": pa.int32() for level in range(len(self._tokenizer.vocab_sizes))}
        schema = pa.schema({"item_id": ids.type, **levels})
        with new_table(target, schema) as rows:
            for table in self._tables(file, ids, schema):
                rows.add(table)
        return target

    def _tables(
        self, file: VectorFile, ids: pa.ChunkedArray, schema: pa.Schema
    ) -> Iterator[pa.Table]:
        start = 0
        for vectors in file.vectors():
            codes = self._tokenizer.encode(torch.from_numpy(vectors)).numpy()
            columns = [ids.slice(start, len(codes)), *map(pa.array, codes.T)]
            yield pa.table(columns, schema=schema)
            start += len(codes)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self._path)


def read_sid_files(files: Iterable[Path | str]) -> Sids:
    """Read the semantic IDs of a catalogue from the files of :class:`EncodeFiles`.

    Text ids are numbered in alphabetical order. Memory holds 8 + 4 L bytes per item, twice while
    sorting; ``recops.SidTrie.from_sids(torch.from_numpy(sids.codes), …)`` builds a trie of them.

    Args:
        files: the files, in any order.

    Returns:
        the semantic IDs, by ascending id.

    Raises:
        CorruptFileError: a file is damaged.
        DataError: no files, other columns, or an item is in two files.
    """
    paths = sorted(map(Path, files))
    if not paths:
        raise DataError("read_sid_files: must have at least one file, got none")
    tables: list[pa.Table] = []
    for path in paths:
        table = read_table(path)
        if tables and table.schema != tables[0].schema:
            raise DataError(f"{path}: must have the columns of {paths[0]}")
        if table.column_names != ["item_id", *(f"c{n}" for n in range(table.num_columns - 1))]:
            raise CorruptFileError(f"{path}: must have the columns item_id, c0, c1, …")
        tables.append(table)
    table = pa.concat_tables(tables)
    ids = table["item_id"]
    order = pc.array_sort_indices(ids.combine_chunks())
    ids = ids.take(order)
    is_repeated = pc.equal(ids[1:], ids[:-1])
    if pc.any(is_repeated).as_py():
        example = ids[1:].filter(is_repeated)[0]
        raise DataError(f"read_sid_files: item {example} must be in one file, is in two")
    codes = np.empty((len(ids), table.num_columns - 1), dtype=np.int32)
    for level in range(codes.shape[1]):
        codes[:, level] = table[f"c{level}"].take(order).to_numpy()
    if pa.types.is_string(ids.type):
        return Sids(np.arange(len(ids)), codes, ids.to_pylist())
    return Sids(ids.to_numpy().copy(), codes)
