"""States in a store are bitwise equal to those of one scan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from centers import events_of
from recops_models.click.memory import MemoryModel
from recops_models.data import Dataset
from recops_models.examples.click_schema import SIGN
from recops_models.examples.entity_columns import item_columns
from recops_models.examples.feedback import classes_of_values
from recops_models.recipes.files import MODEL, load_model
from recops_models.serving.center import Center
from recops_models.serving.keys import user_key
from recops_models.serving.layout import StateLayout
from recops_models.serving.record import UserRecord
from recops_models.serving.stores.store import Store

USERS = 8


def clear(store: Store) -> None:
    """Delete everything in a store except its clock."""
    view = store.view([])
    store.commit({key: None for key, _ in store.scan([b""]) if key != b"clock"}, clock=view.clock)


def record_of(center: Center, user: str, generation: int = 1) -> UserRecord:
    (data,) = center.store.view([user_key(generation, user)]).values
    assert data is not None
    return UserRecord.unpack(user, data)


def scanned(model: MemoryModel[Any], dataset: Dataset, user: int, count: int) -> Any:
    """Return the state of a user after the first ``count`` events, computed in one scan."""
    rows = [event for event in events_of(dataset) if event["user_id"] == user][:count]
    items = dataset.item_vocabulary.index([row["item_id"] for row in rows])
    fitted, history = model.schema, model.embedding.separate_histories[0]
    item_rows = fitted.encode(item_columns(dataset))
    ids = {}
    for name, target in zip(history.sequences, history.targets, strict=True):
        if name == SIGN:
            ratings = torch.tensor([row["rating"] for row in rows]).numpy()
            ids[name] = torch.from_numpy(
                fitted.lookup(SIGN).rows(classes_of_values("rating", ratings, 4.0))
            )
        else:
            ids[name] = torch.from_numpy(item_rows[target][items])
    with torch.no_grad():
        written = model.write(model.embedding.events(ids)[None], torch.tensor([len(rows)]))
    return written[1] if isinstance(written, tuple) and len(written) == 2 else written


@pytest.mark.slow
@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data(), name=st.sampled_from(["mimn", "hpmn"]))
def test_any_order_and_batch_size_gives_the_state_of_a_scan(
    data: st.DataObject,
    name: str,
    trained: Callable[..., Path],
    small: Dataset,
    store_url: str,
) -> None:
    folder = trained(name)
    events_by_user = {
        user: [e for e in events_of(small) if e["user_id"] == user] for user in range(1, USERS)
    }
    counts = {user: data.draw(st.integers(0, len(events_by_user[user]))) for user in events_by_user}
    queues = {user: events_by_user[user][: counts[user]] for user in events_by_user if counts[user]}
    order = data.draw(st.permutations([user for user in queues for _ in queues[user]]))
    positions = dict.fromkeys(queues, 0)
    events = []
    for user in order:
        events.append(queues[user][positions[user]])
        positions[user] += 1
        if data.draw(st.integers(0, 9)) == 0:  # A repeated event.
            events.append(data.draw(st.sampled_from(events)))
    with Center.open(folder, store_url) as center:
        try:
            start = 0
            while start < len(events):
                size = data.draw(st.integers(1, 40))
                center.ingest(json.loads(json.dumps(events[start : start + size])))
                start += size
            model = load_model(folder / MODEL)
            assert isinstance(model, MemoryModel)
            layout = StateLayout(model)
            for user in queues:
                expected = scanned(model, small, user, counts[user])
                record = record_of(center, str(user))
                assert (record.state, record.count) == layout.pack(expected)[0]
                assert record.ledger.last == record.seen == counts[user]
                state = center.state(user)
                assert state is not None
                stored = state.state_dict()
                for key, value in expected.state_dict().items():
                    assert torch.equal(stored[key], value), key
        finally:
            clear(center.store)
