"""Load test of ``recops uic serve``, with the time of DIEN, which reads the full history.

For each history length, a new server with an empty store gets that many events of a few users. Then
events of other users are posted at a constant rate, and scores for the first users are requested at
fixed times. Latency counts from the planned time of a request, so a stalled server does not reduce
the load. DIEN then scores equally many candidates with a history of the same length in this
process, without load.

    PYTHONPATH=tests/support python bench/uic_load.py --out load

writes ``load.json`` and ``load.png``. Models are untrained, since weights do not influence time.
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
from recops_models.recipes.files import MODEL, load_model
from uic_server import UicServer

POST = 100
"""Events per POST."""

CANDIDATES = 200

USERS = 20
"""Number of users whose candidates are scored."""

WRITERS, READERS = 4, 4
"""Number of connections."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--model", default="mimn", choices=["mimn", "hpmn"])
    parser.add_argument(
        "--lengths", default="50,500,5000", help="history lengths, separated by commas"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="duration of the load per length"
    )
    parser.add_argument(
        "--events", type=float, default=5000.0, help="events per second; 0: without a pause"
    )
    parser.add_argument("--scores", type=float, default=20.0, help="score requests per second")
    parser.add_argument(
        "--store", default="", help="URL of the store; default: LMDB in a temporary folder"
    )
    return parser.parse_args()


class Schedule:
    """Numbers of requests and their planned times, for any number of threads."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._end = rate, time.perf_counter() + seconds
        self._start, self._numbers = time.perf_counter(), itertools.count()

    def next(self) -> tuple[int, float] | None:
        """Wait for the next planned time; return the number of the request and that time.

        Return None at the end. With a rate of 0 there is no wait.
        """
        number = next(self._numbers)
        planned = self._start + number / self._rate if self._rate else time.perf_counter()
        if planned >= self._end or time.perf_counter() >= self._end:
            return None
        time.sleep(max(0.0, planned - time.perf_counter()))
        return number, planned


def in_threads(number: int, work: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def event(user: str, seq: int, items: int, rng: np.random.Generator) -> dict[str, Any]:
    rating, item = int(rng.integers(1, 6)), int(rng.integers(1, items))
    return {"user_id": user, "item_id": item, "timestamp": seq, "seq": seq, "rating": rating}


def bodies(count: int, items: int) -> list[bytes]:
    """Return JSON bodies with events of a thousand users, in order for each user."""
    rng, users = np.random.default_rng(0), 1000
    posts = []
    for post in range(count):
        numbers = range(post * POST, (post + 1) * POST)
        events = [event(f"w{n % users}", 1 + n // users, items, rng) for n in numbers]
        posts.append(json.dumps({"events": events}).encode())
    return posts


def fill(server: UicServer, length: int, items: int) -> None:
    """Send the histories of the users whose candidates are scored."""
    rng, client = np.random.default_rng(1), server.client()
    for user in range(USERS):
        for start in range(0, length, 2500):
            seqs = range(start + 1, min(start + 2500, length) + 1)
            events = [event(f"r{user}", seq, items, rng) for seq in seqs]
            answer = client.post("/v1/events", {"events": events})
            assert answer.content["accepted"] == len(events), answer.text[:200]
    client.close()


def load_server(server: UicServer, options: argparse.Namespace, items: int) -> dict[str, Any]:
    """Apply the load; return counts, rates and latencies in ms."""
    rng = np.random.default_rng(2)
    requests = [
        json.dumps(
            {
                "user_id": f"r{user}",
                "candidates": rng.choice(np.arange(1, items), CANDIDATES, replace=False).tolist(),
            }
        ).encode()
        for user in range(USERS)
    ]
    # Built before the load, so that this process uses little CPU during the measurement.
    posts = bodies(int((options.events or 30_000) / POST * options.seconds) + 1, items)
    posted, scored, lags = [], [], []
    events = Schedule(options.events / POST, options.seconds)
    scores = Schedule(options.scores, options.seconds)
    turn = threading.Lock()

    def write() -> None:
        client = server.client()
        while (planned := events.next()) is not None and planned[0] < len(posts):
            answer = client.post("/v1/events", posts[planned[0]])
            posted.append((time.perf_counter() - planned[1], answer.content["accepted"]))
            assert answer.status == 200, answer.text
        client.close()

    def read() -> None:
        client = server.client()
        while True:
            with turn:  # One reader waits for the planned time, the others for their turn.
                planned = scores.next()
            if planned is None:
                break
            lags.append(time.perf_counter() - planned[1])
            answer = client.post("/v1/score", requests[planned[0] % USERS])
            scored.append(time.perf_counter() - planned[1])
            assert answer.status == 200, answer.text
        client.close()

    start, busy = time.perf_counter(), cpu_seconds(server)
    threads = in_threads(WRITERS, write) + in_threads(READERS, read)
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
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
    """Return the CPU time of the server, which depends less on other processes than wall time."""
    client = server.client()
    text = client.get("/metrics").text
    client.close()
    return float(text.partition("\nprocess_cpu_seconds_total ")[2].partition("\n")[0])


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    cuts = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(values, cut)), 2) for name, cut in cuts.items()}


def dien_ms(data: Dataset, home: Path, length: int) -> dict[str, float]:
    """Return the time of DIEN's forward pass over the candidates with one history, in ms."""
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
    group = torch.zeros(CANDIDATES, dtype=torch.int64)
    batch = Batch(features, lengths, zeros, group, is_one_request=True)
    times = []
    with torch.no_grad():
        model(batch)
        for _ in range(5 if length > 1000 else 20):
            start = time.perf_counter()
            model(batch)
            times.append(time.perf_counter() - start)
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
