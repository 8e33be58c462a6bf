"""Write the pages on capacity and on data larger than memory, and the plot of tries.

``python tools/render_capacity.py`` computes every figure of ``docs/results/capacity.md`` from the
constants of this file. Each measured constant names the page that reports it, and the text of the
page. Constants of data larger than memory come from the records of
``bench/larger_than_memory.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = RESULTS / "capacity.md"
LARGE_PAGE = RESULTS / "larger-than-memory.md"
RECORDS = RESULTS / "larger-than-memory" / "records.jsonl"
PLOT = RECORDS.with_name("trie.svg")

SIZES = (10_000_000, 1_000_000_000)
"""Numbers of users, and of items."""


@dataclass(frozen=True)
class Measured:
    """Constant that a page of the documentation reports.

    Attributes:
        value: the constant.
        meaning: description with the unit.
        page: path of the page from the root of the repository.
        quote: text of the page that reports it.
    """

    value: float
    meaning: str
    page: str
    quote: str


@dataclass(frozen=True)
class Assumed:
    """Constant that depends on the service; replace it by your own."""

    value: float
    meaning: str


def records(name: str) -> list[dict[str, Any]]:
    """Return the measurements of one command, by ascending number of rows."""
    lines = RECORDS.read_text(encoding="utf-8").splitlines()
    chosen = [record for record in map(json.loads, lines) if record["name"] == name]
    return sorted(chosen, key=lambda record: int(record["rows"]))


def slope(first: float, last: float, megabytes: float) -> float:
    """Return bytes per item between two numbers of items, for a difference in MB (2^20 bytes)."""
    return megabytes * 2**20 / (last - first)


def import_bytes() -> float:
    """Return the memory of an import per further user and item, with the larger buffers."""
    # Later measurements include pages of the written file, which sealing maps.
    first, second, *_ = records("import")
    few, many = (record["users"] + record["items"] for record in (first, second))
    return slope(few, many, second["peak_mb"] - first["peak_mb"])


def trie_bytes() -> float:
    """Return the peak memory of building a trie per further item."""
    *_, before, last = records("trie")
    return slope(before["rows"], last["rows"], last["peak_mb"] - before["peak_mb"])


def last_items(gigabytes: float) -> float:
    """Return the number of items whose trie can be built in this memory."""
    last = records("trie")[-1]
    free = gigabytes * 2**30 - last["peak_mb"] * 2**20
    return float(last["rows"] + free / trie_bytes())


UIC, TRIES = "docs/guide/user-interest-center.md", "docs/results/tries.md"
LARGE = "docs/results/larger-than-memory.md"
_TRIE, _IMPORT = records("trie")[-1], records("import")[-1]

STATE = Measured(3_957, "bytes of a user's MIMN state", UIC, "stores 3,957 bytes per user")
DISK_STATE = Measured(
    4_200, "bytes of a user's state in LMDB, on disk", UIC, "4.2 GB for a million users"
)
INGEST = Measured(
    3_600, "events per second and core into the store", UIC, "flushed batches of 1,024 | 3,600 ev"
)
SCORE = Measured(
    0.011,
    "seconds of a core to score 100 candidates",
    UIC,
    "history of 10 and of 10,000 events | 11",
)
NODE = Measured(6.0, "bytes per trie node", TRIES, "6.00 bytes a node")
NODES = Measured(
    round(_TRIE["nodes"] / _TRIE["rows"], 2),
    "trie nodes per item of 4 levels",
    LARGE,
    f"| {_TRIE['rows']:,} | {_TRIE['nodes']:,} |",
)
BUILD = Measured(
    round(trie_bytes()),
    "bytes of memory per item while a trie is built",
    LARGE,
    f"{trie_bytes():.0f} bytes per item",
)
IMPORT = Measured(
    round(import_bytes()),
    "bytes of memory per user and item in an import",
    LARGE,
    f"{import_bytes():.0f} bytes per user and item",
)
IMPORT_RATE = Measured(
    round(_IMPORT["rows"] / _IMPORT["processor_seconds"], -3),
    "events imported per second and core",
    LARGE,
    f"| {_IMPORT['rows']:,} |",
)

EVENTS = Assumed(20, "events per user and day")
REQUESTS = Assumed(5, "requests per user and day, of 100 candidates")
PEAK = Assumed(3, "peak rate divided by the mean rate")
EVENT_BYTES = Assumed(100, "bytes of an event on the network")
WIDTH = Assumed(16, "width of the embeddings of users and items, float32")
COPIES = Assumed(3, "copies of each embedding in training: weights and two moments of Adam")
TRAINING_CORES = Assumed(8, "cores per machine in training")
TRAINING_NETWORK = Assumed(200, "MB per second and machine between machines in training")
CACHED = Assumed(0.1, "share of the states in memory")
EVENT_DISK = Assumed(80, "bytes of temporary files per event of an import")
CANDIDATE = Assumed(12, "bytes per candidate and score of a request")
CORE_PRICE = Assumed(25, "price of a core with 4 GB of memory, per month")
MEMORY_PRICE = Assumed(3, "price of a further GB of memory, per month")
DISK_PRICE = Assumed(0.1, "price of a GB of disk, per month")
MACHINE = Assumed(256, "GB of memory of the largest machine")

MEASURED = (STATE, DISK_STATE, INGEST, SCORE, NODES, NODE, BUILD, IMPORT, IMPORT_RATE)
ASSUMED = (
    *(EVENTS, REQUESTS, PEAK, EVENT_BYTES, EVENT_DISK, WIDTH, COPIES),
    *(TRAINING_CORES, TRAINING_NETWORK, CACHED, CANDIDATE),
    *(CORE_PRICE, MEMORY_PRICE, DISK_PRICE, MACHINE),
)

DAY = 86_400
CORE_MEMORY = 4
TRIE_LIMIT = 2**31 - 1
"""Largest number of nodes and items of one trie together; the build refuses more."""


@dataclass(frozen=True)
class Step:
    """Needs of one step for n users and n items.

    Attributes:
        name: the step.
        memory: GB of memory.
        disk: GB of disk.
        cores: cores at the peak.
        network: MB per second at the peak.
        bottleneck: the resource that ends first, and the remedy.
    """

    name: str
    memory: float
    disk: float
    cores: float
    network: float
    bottleneck: str

    @property
    def cost(self) -> float:
        """Price per month."""
        further = max(self.memory - CORE_MEMORY * self.cores, 0)
        return (
            self.cores * CORE_PRICE.value
            + further * MEMORY_PRICE.value
            + self.disk * DISK_PRICE.value
        )


def machines(gigabytes: float) -> int:
    """Return the number of the largest machines whose memory holds this many GB."""
    return max(1, -int(-gigabytes // MACHINE.value))


def steps(size: int) -> list[Step]:
    """Return the needs of each step for ``size`` users and ``size`` items."""
    events = size * EVENTS.value / DAY * PEAK.value
    requests = size * REQUESTS.value / DAY * PEAK.value
    giga, mega = 1e9, 1e6

    daily = size * EVENTS.value
    ids = 2 * size * IMPORT.value / giga
    tables = 2 * size * WIDTH.value * 4 * COPIES.value / giga
    trie = size * NODES.value * NODE.value / giga
    build = size * BUILD.value / giga
    tries = -int(-size * (NODES.value + 1) // TRIE_LIMIT)
    states = size * STATE.value / giga
    return [
        Step(
            "import of a day's events",
            ids,
            daily * EVENT_DISK.value / giga,
            daily / IMPORT_RATE.value / 3600,
            daily * EVENT_BYTES.value / 3600 / mega,
            "memory of the ids" if ids > MACHINE.value / 4 else "time of one core",
        ),
        Step(
            "training: embedding tables",
            tables,
            tables,
            TRAINING_CORES.value * machines(tables),
            0 if machines(tables) == 1 else TRAINING_NETWORK.value * machines(tables),
            "one machine holds the tables"
            if machines(tables) == 1
            else f"memory: tables must be sharded over {machines(tables)} machines",
        ),
        Step(
            "trie of all items",
            max(build, trie),
            trie,
            1,
            0,
            "memory while building"
            if tries == 1
            else f"32-bit node numbers: {tries} tries, each of a part of the items",
        ),
        Step(
            "states in the User Interest Center",
            states * CACHED.value,
            size * DISK_STATE.value / giga,
            events / INGEST.value,
            events * EVENT_BYTES.value / mega,
            f"events: {events:,.0f} per second need {events / INGEST.value:,.0f} stores, by user",
        ),
        Step(
            "scores",
            CORE_MEMORY * requests * SCORE.value,
            0,
            requests * SCORE.value,
            requests * (STATE.value + 100 * CANDIDATE.value) / mega,
            f"cores: {requests:,.0f} requests per second",
        ),
    ]


def figure(value: float) -> str:
    """Return a number with two significant digits, or without decimals from 10 on."""
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.2g}"


def table(size: int) -> str:
    """Return the table of all steps, with the sum of the costs."""
    lines = [
        "| step | memory (GB) | disk (GB) | cores at the peak | network at the peak (MB/s) | "
        "cost per month | bottleneck |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    needs = steps(size)
    for each in needs:
        numbers = (each.memory, each.disk, each.cores, each.network, each.cost)
        lines.append(f"| {each.name} | {' | '.join(map(figure, numbers))} | {each.bottleneck} |")
    lines.append(f"| sum | | | | | {figure(sum(each.cost for each in needs))} | |")
    return "\n".join(lines)


def constants(values: Sequence[Measured | Assumed]) -> str:
    """Return the table of constants."""
    lines = ["| constant | value | source |", "| --- | --- | --- |"]
    for each in values:
        source = "assumption"
        if isinstance(each, Measured):
            name = Path(each.page).stem.replace("-", " ")
            folder = "" if Path(each.page).parent.name == "results" else "../guide/"
            source = f"[{name}]({folder}{Path(each.page).name})"
        lines.append(f"| {each.meaning} | {each.value:,.6g} | {source} |")
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    return f"""# Capacity

The needs of each step for 10 million and for 1 billion users, with an equal number of items.
All figures are computed from the constants below by `python tools/render_capacity.py`. The
constants were measured on busy shared cores, so that dedicated cores need less. Replace the
assumptions by your own.

## 10 million users and items

{table(SIZES[0])}

One machine holds every part. Scores need the most cores, and the disk of the states is the
largest store.

## 1 billion users and items

{table(SIZES[1])}

Only imports and parts of the trie fit into one machine. Tables are sharded by id, states by
user, and tries by item: a search runs
on every trie and merges the best beams. Sharded tables are not part of recops yet.

## Constants

{constants(MEASURED)}

{constants(ASSUMED)}

- **Import:** a day's events are imported in one hour. Memory holds the numbers of users and
  items.
- **Training:** data-parallel training on one machine has no traffic. Measure cores and network
  for your model.
- **States:** the states that are not in memory are read from disk.
- **Scores:** a request reads the user's state and scores 100 candidates. Memory is that of the
  cores.
"""


def rows_of(name: str, *columns: str) -> str:
    """Return table rows of measurements: rows, file size, ``columns``, times and peak memory."""
    lines = []
    for each in records(name):
        figures = [each["rows"], round(each["bytes"] / 1e6), *(each[column] for column in columns)]
        figures += [round(each[key]) for key in ("seconds", "processor_seconds", "peak_mb")]
        lines.append("| " + " | ".join(f"{figure:,}" for figure in figures) + " |")
    return "\n".join(lines)


def large_page() -> str:
    """Return the page on data larger than memory."""
    tries = "\n".join(
        f"| {r['rows']:,} | {r['nodes']:,} | {r['trie_mb']:,} | {r['seconds']:.1f} | "
        f"{r['peak_mb']:,} |"
        for r in records("trie")
    )
    return f"""# Data larger than memory

`python bench/larger_than_memory.py NAME --rows N --folder FOLDER` generates data, runs a
command, and reports its time, its processor time and its peak resident memory. Two shared cores
were busy with other work, so that times are several times longer than on idle cores. Other work
changes processor time little.

## Import

`recops data import csv` on events in random order, with text ids of users:

| events | file (MB) | users | items | time (s) | processor time (s) | peak memory (MB) |
| --- | --- | --- | --- | --- | --- | --- |
{rows_of("import", "users", "items")}

Memory grows by {import_bytes():.0f} bytes per user and item between the first two rows. The
difference includes buffers that the smaller import does not fill. At the end, peak memory includes
pages of the written file, which is mapped to compute its checksum; the kernel can drop these pages.

## Training on imported data

`recops train din` on the imported events, whose labels are the clicks, until the first epoch has
made some steps. The time includes all preparation.

| events | file (MB) | time (s) | processor time (s) | peak memory (MB) |
| --- | --- | --- | --- | --- |
{rows_of("train")}

Events are read in blocks from their file, and examples are made batch by batch. Embedding tables,
with their gradients and the moments of Adam, are part of the peak.

## Training on files of examples

`recops train din` on a folder of click examples with histories of at most 20 items, until the first
epoch has made some steps:

| examples | file (MB) | time (s) | processor time (s) | peak memory (MB) |
| --- | --- | --- | --- | --- |
{rows_of("clicks")}

## Tokenizing

`recops tokenize --stream` fits `rq-kmeans` (three levels of 256 codes, one pass of
mini-batches) to Parquet vectors of 128 dimensions and
encodes them. The last row was measured on quiet cores.

| vectors | file (MB) | time (s) | processor time (s) | peak memory (MB) |
| --- | --- | --- | --- | --- |
{rows_of("tokenize")}

## Tries

`SidTrie.from_sids` on random semantic IDs of four levels and 2,048 codes, in a new process that
also generates them:

| items | nodes | trie (MB) | time (s) | peak memory (MB) |
| --- | --- | --- | --- | --- |
{tries}

![Time and peak memory against the number of items](larger-than-memory/trie.svg)

Peak memory grows by {trie_bytes():.0f} bytes per item. A machine with 24 GB builds a trie of
about
{last_items(24) / 1e6:,.0f} million items; this figure is extrapolated.
"""


def draw(path: Path) -> None:
    """Draw time and peak memory of building tries, and the line of 24 GB."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "recops"
    points = records("trie")
    items = [record["rows"] / 1e6 for record in points]
    figure, (memory, time) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    end = last_items(24) / 1e6
    memory.plot(items, [record["peak_mb"] / 1024 for record in points], "o-", label="measured")
    last = points[-1]["peak_mb"] / 1024
    memory.plot([items[-1], end], [last, 24], "--", color="grey", label="extrapolated")
    memory.axhline(24, color="tab:red", linewidth=0.8)
    memory.annotate(f"24 GB: {end:,.0f} million items", (end, 24), (end * 0.1, 21))
    memory.set(xlabel="items (million)", ylabel="peak memory (GB)")
    memory.legend(loc="upper left", bbox_to_anchor=(0, 0.7))
    time.plot(items, [record["seconds"] for record in points], "o-")
    time.set(xlabel="items (million)", ylabel="time (s)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Write the pages and the plot."""
    PAGE.write_text(page(), encoding="utf-8")
    LARGE_PAGE.write_text(large_page(), encoding="utf-8")
    draw(PLOT)
    print(PAGE, LARGE_PAGE, PLOT)


if __name__ == "__main__":
    main()
