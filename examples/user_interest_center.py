"""User Interest Center from end to end: train, write states, score, ingest new events, score.

    python examples/user_interest_center.py --out uic-example

A small MIMN is trained on the first nine tenths of MovieLens 100K. The center ingests those events
into users' states, then the last tenth, like new events of a web site. For the users with most new
events, the script prints the films whose ranks rose and fell most. It takes half a minute on one
core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops_models.data import Dataset, load, save_dataset
from recops_models.data.attributes import item_titles
from recops_models.recipes.job import Job
from recops_models.recipes.run import run_job
from recops_models.serving.center import Center
from recops_models.serving.sources import dataset_events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--data", default="ml-100k", help="a data set by name or folder")
    parser.add_argument("--users", type=int, default=3, help="number of users to print")
    options = parser.parse_args()

    data = load(options.data)
    known = data.interactions.num_rows * 9 // 10
    model = train(replace(data, interactions=data.interactions.slice(0, known)), options.out)
    events = [event for batch in dataset_events(data, batch=1024) for event in batch]
    past, new_events = events[:known], events[known:]

    with Center.open(model, f"lmdb:{options.out / 'states'}") as center:
        print("past events:", center.ingest(past).counts())
        users = busiest(past, new_events, options.users)
        before = {user: ranks(center, user, data) for user in users}
        print("new events:", center.ingest(new_events).counts())
        print("the new events again:", center.ingest(new_events).counts())
        for user, count in users.items():
            print(f"\nuser {user}, after {count} more events:")
            show(before[user], ranks(center, user, data), item_titles(data))


def train(past: Dataset, out: Path) -> Path:
    """Train a small MIMN and return the folder of the run."""
    save_dataset(past, out / "past")
    job = Job.of("mimn", str(out / "past"), {"width": 8}, seed=0, quick=True)
    (out / "model").mkdir()
    metrics = run_job(job, past, out / "model").metrics
    print(f"trained: AUC {metrics['test']['auc']:.3f} on test")
    return out / "model"


def busiest(past: list[Any], new_events: list[Any], number: int) -> dict[int, int]:
    """Return the known users with most new events, and the number of these events."""
    known = {event["user_id"] for event in past}
    counts = Counter(event["user_id"] for event in new_events if event["user_id"] in known)
    return dict(counts.most_common(number))


def ranks(center: Center, user: int, data: Dataset) -> NDArray[np.int64]:
    """Return the rank of each item of the catalogue for a user, from 1."""
    scores = center.score(user, data.items["item_id"].to_pylist()).scores
    rank = np.empty(len(scores), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return rank


def show(before: NDArray[np.int64], after: NDArray[np.int64], titles: list[str]) -> None:
    """Print the largest changes of rank among the first hundred items."""
    first = np.flatnonzero(np.minimum(before, after) <= 100)
    moved = first[np.argsort((after - before)[first], kind="stable")]
    for word, items in (("rose", moved[:3]), ("fell", moved[:-4:-1])):
        for item in items:
            print(f"  {word} from {before[item]:4} to {after[item]:4}: {titles[item]}")


if __name__ == "__main__":
    main()
