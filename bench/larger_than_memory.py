"""Time and peak memory of commands on generated data larger than memory.

Each command generates its data, unless the folder has it, runs ``recops`` in a new process
and prints one JSON record, which ``--record`` appends to a file::

    python bench/larger_than_memory.py import --rows 100_000_000 --folder /scratch/events
    python bench/larger_than_memory.py train --rows 100_000_000 --folder /scratch/events
    python bench/larger_than_memory.py clicks --rows 100_000_000 --folder /scratch/clicks
    python bench/larger_than_memory.py tokenize --rows 20_000_000 --folder /scratch/vectors
    python bench/larger_than_memory.py trie --rows 20_000_000 --folder /scratch/trie

Peak memory is the kernel's record of resident memory (``VmHWM``) of the process. It includes pages
of mapped files, such as the libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP = 1_000_000
_DIM = 128
_SECONDS = 0.1


def events(rows: int, seed: int) -> pa.Table:
    """Return impressions in random order, with text ids of users and a label."""
    rng = np.random.default_rng(seed)
    users, items = 5_000_000, 1_000_000
    user = (users * rng.random(rows) ** 2).astype(np.int64)
    ids = np.char.add("user-", user.astype("U8"))
    return pa.table(
        {
            "user_id": pa.array(ids),
            "item_id": (items * rng.random(rows) ** 3).astype(np.int64),
            "timestamp": rng.integers(1_700_000_000, 1_702_592_000, rows),
            "label": pa.array(rng.random(rows) < 0.05).cast(pa.int8()),
        }
    )


def clicks(rows: int, seed: int) -> pa.Table:
    """Return click examples with a history of at most 20 items."""
    rng = np.random.default_rng(seed)
    items = 1_000_000
    lengths = rng.integers(1, 21, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    history = (items * rng.random(offsets[-1]) ** 3).astype(np.int64)
    return pa.table(
        {
            "label": (rng.random(rows) < 0.2).astype(np.float32),
            "user": rng.integers(0, 5_000_000, rows),
            "item": (items * rng.random(rows) ** 3).astype(np.int64),
            "category": rng.integers(0, 1000, rows),
            "price": rng.random(rows).astype(np.float32),
            "history": pa.ListArray.from_arrays(offsets, history),
        }
    )


def vectors(rows: int, seed: int) -> pa.Table:
    """Return vectors around one of 1,000 means, with ids."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(0).standard_normal((1000, _DIM), dtype=np.float32)
    values = means[rng.integers(1000, size=rows)]
    values += 0.5 * rng.standard_normal(values.shape, dtype=np.float32)
    ids = seed * _ROW_GROUP + np.arange(rows)
    return pa.table(
        {"item_id": ids, "vector": pa.FixedSizeListArray.from_arrays(values.ravel(), _DIM)}
    )


def write_rows(path: Path, rows: int, make: Callable[[int, int], pa.Table]) -> None:
    """Write ``rows`` generated rows in row groups of a million; keep an existing file."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    writer: pq.ParquetWriter | None = None
    for seed, start in enumerate(range(0, rows, _ROW_GROUP)):
        table = make(min(_ROW_GROUP, rows - start), seed)
        writer = writer or pq.ParquetWriter(unfinished, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    unfinished.rename(path)


def measured(command: list[str], until: str | None = None) -> dict[str, object]:
    """Run a command; return its seconds, seconds of processor time and peak memory in MB.

    Args:
        command: the command line.
        until: stop the command, as Ctrl-C does, once its output has this text; None: wait.

    Raises:
        RuntimeError: the command failed.
    """
    started, used = time.perf_counter(), _processor_seconds()
    peak, seconds = 0, 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        output = ""
        while process.poll() is None:
            peak = max(peak, _peak_kilobytes(process.pid))
            output += (process.stdout.read() or b"").decode("utf-8", "replace")
            if until is not None and until in output:
                seconds = time.perf_counter() - started
                process.terminate()
                process.wait()
                break
            time.sleep(_SECONDS)
        output += (process.stdout.read() or b"").decode("utf-8", "replace")
    seconds = seconds or time.perf_counter() - started
    if process.returncode and until is None:
        raise RuntimeError(f"{' '.join(command)}: {output}")
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(_processor_seconds() - used, 1),
        "peak_mb": round(peak / 1024),
        "output": output[-300:],
    }


def _processor_seconds() -> float:
    """Return the processor time of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak_kilobytes(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(match[1]) if match else 0


def recops(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from recops_models.cli import main; main()", *arguments]


def run_import(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    """Import generated events."""
    path = folder / "interactions.parquet"
    write_rows(path, rows, events)
    size = path.stat().st_size
    result = measured(recops("data", "import", "csv", str(path), "--out", str(folder / "data")))
    summary = re.search(r"([\d,]+) users, ([\d,]+) items", str(result["output"]))
    assert summary is not None
    users, items = (int(number.replace(",", "")) for number in summary.groups())
    yield {"name": "import", "rows": rows, "bytes": size, **result, "users": users, "items": items}


def run_train(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    """Train DIN for some steps on generated events, which are imported unless the folder has them.

    The import is that of :func:`run_import` and is not measured here.
    """
    data = folder / "data"
    if not data.exists():
        list(run_import(folder, rows))
    size = (data / "interactions.parquet").stat().st_size
    yield {"name": "train", "rows": rows, "bytes": size, **train_din(data, folder / "run")}


def train_din(data: Path, out: Path) -> dict[str, object]:
    """Train DIN until the first epoch has made some steps; see :func:`measured`."""
    settings = ("--set", "epochs=1", "--set", "batch=4096", "--force")
    command = recops("train", "din", "--data", str(data), "--out", str(out), *settings)
    return measured(command, until="estimated training time")


def run_clicks(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    """Open generated click examples, and train DIN for some steps."""
    names = {"train": rows, "validation": 20_000, "test": 20_000}
    for part, count in names.items():
        write_rows(folder / f"{part}.parquet", count, clicks)
    features = {
        "features": [
            {"name": "user", "type": "categorical", "min_count": 2},
            {"name": "item", "type": "categorical"},
            {"name": "category", "type": "categorical"},
            {"name": "price", "type": "numeric"},
            {"name": "history", "type": "sequence", "max_len": 20, "share_embedding": "item"},
        ],
        "label": "label",
        "group": None,
    }
    (folder / "features.json").write_text(json.dumps(features))
    size = (folder / "train.parquet").stat().st_size
    yield {"name": "clicks", "rows": rows, "bytes": size, **train_din(folder, folder / "run")}


def run_tokenize(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    """Fit residual k-means to generated vectors in one pass of mini-batches, and encode them."""
    path = folder / "vectors.parquet"
    write_rows(path, rows, vectors)
    size = path.stat().st_size
    settings = ("--stream", "--set", "iterations=1", "--set", "batch=16384", "--force")
    out = str(folder / "sids")
    result = measured(recops("tokenize", "--vectors", str(path), "--out", out, *settings))
    yield {"name": "tokenize", "rows": rows, "bytes": size, **result}


TRIE = """
import json, re, sys, time
from pathlib import Path
import torch, recops
torch.manual_seed(0)
items, levels, codes = int(sys.argv[1]), 4, 2048
# Tokens by a power law: the most frequent code has two percent of the items.
sids = torch.rand(items, levels).pow_(2).mul_(codes).int()
started = time.perf_counter()
trie = recops.SidTrie.from_sids(sids, vocab_sizes=codes)
seconds = time.perf_counter() - started
peak = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps({"seconds": round(seconds, 2), "peak_mb": int(peak) // 1024,
                  "trie_mb": trie.nbytes // 2**20, "nodes": trie.num_nodes}))
"""


def run_trie(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    """Build tries of several sizes, up to ``rows`` items of four levels."""
    for share in (20, 10, 4, 2, 1):
        items = rows // share
        command = [sys.executable, "-c", TRIE, str(items)]
        output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        yield {"name": "trie", "rows": items, **json.loads(output)}


def main() -> None:
    """Run the measurement that the command line names."""
    runs = {
        "import": run_import,
        "train": run_train,
        "clicks": run_clicks,
        "tokenize": run_tokenize,
        "trie": run_trie,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(runs))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    for record in runs[arguments.name](arguments.folder, arguments.rows):
        print(json.dumps(record))
        if arguments.record is not None:
            with arguments.record.open("a") as file:
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
