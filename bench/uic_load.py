"""Load on ``recops uic serve`` from another process, beside DIEN, which reads the whole history.

For each length of history, a server of its own upon an empty store: a few users get histories of
that length; then events of other users are posted at a steady rate, while requests for scores of
the first are sent at fixed times. A request's latency counts from the time that it was due, so that
a server that stalls is not asked the less. DIEN scores the same candidates with a history of the
same length in this process, alone.

    PYTHONPATH=tests/support python bench/uic_load.py --out load

leaves ``load.json`` and ``load.png``. Models are untrained: time does not depend on weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from centers import untrained
from recops_models.click.model import ClickModel
from recops_models.data import Dataset, load
from recops_models.examples.batch import Batch
from recops_models.examples.candidates import Candidates
from recops_models.examples.features import Sequence as History
from recops_models.recipes.files import load_model
from recops_models.recipes.run import MODEL
from uic_server import UicServer

POST = 100
"""Events in a POST."""

CANDIDATES = 200

USERS = 20
"""Whose states are scored."""

WRITERS, READERS = 4, 4
"""Connections."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--model", default="mimn", choices=["mimn", "hpmn"])
    parser.add_argument("--lengths", default="50,500,5000", help="of histories")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load for each length")
    parser.add_argument(
        "--events", type=float, default=5000.0, help="a second; 0: as many as the server takes"
    )
    parser.add_argument("--scores", type=float, default=20.0, help="requests a second")
    parser.add_argument("--store", default="", help="default: LMDB in a folder that is removed")
    return parser.parse_args()


class Due:
    """Hands out places and the times when they are due, to any number of threads."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._end = rate, time.perf_counter() + seconds
        self._begun, self._places = time.perf_counter(), itertools.count()

    def next(self) -> tuple[int, float] | None:
        """The next place, once it is due; None at the end. A rate of 0 is due at once."""
        place = next(self._places)
        due = self._begun + place / self._rate if self._rate else time.perf_counter()
        if due >= self._end or time.perf_counter() >= self._end:
            return None
        time.sleep(max(0.0, due - time.perf_counter()))
        return place, due


def in_threads(number: int, work: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def event(user: str, seq: int, items: int, rng: np.random.Generator) -> dict[str, Any]:
    rating, item = int(rng.integers(1, 6)), int(rng.integers(1, items))
    return {"user_id": user, "item_id": item, "timestamp": seq, "seq": seq, "rating": rating}


def bodies(count: int, items: int) -> list[bytes]:
    """POSTs of events of a thousand users, each user's in its order, as JSON."""
    rng, users = np.random.default_rng(0), 1000
    made = []
    for post in range(count):
        places = range(post * POST, (post + 1) * POST)
        events = [event(f"w{n % users}", 1 + n // users, items, rng) for n in places]
        made.append(json.dumps({"events": events}).encode())
    return made


def fill(server: UicServer, length: int, items: int) -> None:
    """Give the users who are scored their histories."""
    rng, client = np.random.default_rng(1), server.client()
    for user in range(USERS):
        for start in range(0, length, 2500):
            seqs = range(start + 1, min(start + 2500, length) + 1)
            events = [event(f"r{user}", seq, items, rng) for seq in seqs]
            answer = client.post("/v1/events", {"events": events})
            assert answer.content["accepted"] == len(events), answer.text[:200]
    client.close()


def load_server(server: UicServer, options: argparse.Namespace, items: int) -> dict[str, Any]:
    """Post and ask for so many seconds; counts, rates and latencies in ms."""
    rng = np.random.default_rng(2)
    asked = [
        json.dumps(
            {
                "user_id": f"r{user}",
                "candidates": rng.choice(np.arange(1, items), CANDIDATES, replace=False).tolist(),
            }
        ).encode()
        for user in range(USERS)
    ]
    # Made before the load, so that this process costs little while the server is measured.
    posts = bodies(int((options.events or 30_000) / POST * options.seconds) + 1, items)
    posted, scored, lags = [], [], []
    events_due = Due(options.events / POST, options.seconds)
    scores_due = Due(options.scores, options.seconds)
    turn = threading.Lock()

    def write() -> None:
        client = server.client()
        while (given := events_due.next()) is not None and given[0] < len(posts):
            answer = client.post("/v1/events", posts[given[0]])
            posted.append((time.perf_counter() - given[1], answer.content["accepted"]))
            assert answer.status == 200, answer.text
        client.close()

    def read() -> None:
        client = server.client()
        while True:
            with turn:  # One reader waits for the time, the others for their turn.
                given = scores_due.next()
            if given is None:
                break
            lags.append(time.perf_counter() - given[1])
            answer = client.post("/v1/score", asked[given[0] % USERS])
            scored.append(time.perf_counter() - given[1])
            assert answer.status == 200, answer.text
        client.close()

    begun, busy = time.perf_counter(), cpu_seconds(server)
    threads = in_threads(WRITERS, write) + in_threads(READERS, read)
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    return {
        "seconds": round(seconds, 2),
        "events": POST * len(posted),
        "events_per_second": round(POST * len(posted) / seconds),
        "scores": len(scored),
        "server_cores": round((cpu_seconds(server) - busy) / seconds, 3),
        "post_ms": percentiles([latency for latency, _ in posted]),
        "score_ms": percentiles(scored),
        "late_start_ms": percentiles(lags),
    }


def cpu_seconds(server: UicServer) -> float:
    """That the server has computed for: the same on a busy machine, where clocks tell little."""
    client = server.client()
    text = client.get("/metrics").text
    client.close()
    return float(text.partition("\nprocess_cpu_seconds_total ")[2].partition("\n")[0])


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    cuts = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(values, cut)), 2) for name, cut in cuts.items()}


def dien_ms(data: Dataset, home: Path, length: int) -> dict[str, float]:
    """Of DIEN's forward over the candidates with one history of that length, alone."""
    folder = home / f"dien-{length}"
    untrained("dien", data, home / "data", folder, small=False, max_len=str(length))
    model = load_model(folder / MODEL)
    assert isinstance(model, ClickModel)
    shown = Candidates(data, model.schema).shown_to(0)
    chosen = slice(0, CANDIDATES)
    features = {name: values[chosen] for name, values in shown.features.items()}
    lengths = {}
    generator = torch.Generator().manual_seed(0)
    for sequence in model.schema.schema.of_type(History):
        most = int(features[sequence.name].max()) + 1
        history = torch.randint(1, max(2, most), (length,), generator=generator)
        features[sequence.name] = history.expand(CANDIDATES, -1)
        lengths[sequence.name] = torch.full((CANDIDATES,), length)
    zeros = torch.zeros(CANDIDATES)
    batch = Batch(features, lengths, zeros, torch.zeros(CANDIDATES, dtype=torch.int64))
    times = []
    with torch.no_grad():
        model(batch)
        for _ in range(5 if length > 1000 else 20):
            begun = time.perf_counter()
            model(batch)
            times.append(time.perf_counter() - begun)
    return percentiles(times)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    lengths = [row["history"] for row in rows]
    name = rows[0]["model"].upper()
    lines = (
        (f"{name} over HTTP under load, p99", [row["score_ms"]["p99"] for row in rows], "o-"),
        (f"{name} over HTTP under load, median", [row["score_ms"]["p50"] for row in rows], "o--"),
        ("DIEN's forward alone, median", [row["dien_ms"]["p50"] for row in rows], "s-"),
    )
    for label, values, style in lines:
        axes.loglog(lengths, values, style, label=label)
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("events in the user's history")
    axes.set_ylabel(f"ms to score {CANDIDATES} candidates")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        data = load("ml-100k")
        items = data.items.num_rows
        model = untrained(options.model, data, home / "data", home / options.model, small=False)
        for length in map(int, options.lengths.split(",")):
            store = options.store or f"lmdb:{home / f'store-{length}'}"
            with UicServer(model, store) as server:
                fill(server, length, items)
                row = {"model": options.model, "history": length}
                row |= load_server(server, options, items)
            row["load_average"] = round(os.getloadavg()[0], 1)
            row["dien_ms"] = dien_ms(data, home, length)
            rows.append(row)
            print(json.dumps(row), flush=True)
    (options.out / "load.json").write_text(json.dumps(rows, indent=2) + "\n")
    draw(rows, options.out / "load.png")


if __name__ == "__main__":
    main()
