"""Semantic IDs of a catalogue in many files, encoded by the workers of Ray Data.

pip install ".[models,ray]"
python examples/encode_with_ray.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import recops
from recops_models.tokenizers import RQKMeans
from recops_models.tokenizers.encode_files import EncodeFiles, read_sid_files

FILES, ROWS, WIDTH = 8, 1000, 16


def write_vectors(folder: Path) -> list[Path]:
    """Write a catalogue as Parquet files with ``item_id`` and ``vector``."""
    rng = np.random.default_rng(0)
    files = []
    for index in range(FILES):
        vectors = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
        ids = np.arange(index * ROWS, (index + 1) * ROWS)
        files.append(folder / f"part{index}.parquet")
        pq.write_table(pa.table({"item_id": ids, "vector": vectors.tolist()}), files[-1])
    return files


def encode(files: list[Path], tokenizer: Path, out: Path) -> list[Path]:
    """Encode the files on all workers of Ray.

    Ray distributes the names of files; a worker reads and writes the files itself, so that no
    vectors pass through Ray's memory. A second run after a crash encodes the missing files only.
    """
    import ray.data

    stage = EncodeFiles(tokenizer, out)

    def encode_row(row: dict[str, str]) -> dict[str, str]:
        return {"output": str(stage([row["input"]])[0])}

    inputs = ray.data.from_items([{"input": str(file)} for file in files])
    return [Path(row["output"]) for row in inputs.map(encode_row).take_all()]


def main() -> None:
    """Fit a tokenizer to one file, encode all files, and build the trie of the catalogue."""
    folder = Path(tempfile.mkdtemp())
    files = write_vectors(folder)
    table = pq.read_table(files[0])
    sample = torch.from_numpy(np.stack(table["vector"].to_numpy()).astype(np.float32))
    tokenizer = RQKMeans(3, 64).fit(sample, torch.from_numpy(table["item_id"].to_numpy().copy()))
    tokenizer.save(folder / "tokenizer.safetensors")

    outputs = encode(files, folder / "tokenizer.safetensors", folder / "sids")
    sids = read_sid_files(outputs)
    codes, ids = torch.from_numpy(sids.codes), torch.from_numpy(sids.item_ids)
    trie = recops.SidTrie.from_sids(codes, ids, vocab_sizes=64)
    print(f"{len(sids):,} items in {len(outputs)} files; nodes of the trie: {trie.num_nodes:,}")


if __name__ == "__main__":
    main()
