"""Buckets of the small domain's examples by what training shows of their users and items."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recops_evidence.harness.experiment import Metrics
from recops_models.data.splits import PARTS
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.domains import Domains
from recops_models.training.curve import finite

BUCKETS = ("met", "unmet", "few", "many", "streamed", "never")
"""Names of the buckets.

- ``met``, ``unmet``: users with and without events in the super-domain's window.
- ``few``, ``many``: users with few and with many events in the small domain's training part. The
  median over examples separates them.
- ``streamed``, ``never``: items with and without events in the stream; only over a stream.
"""


def with_buckets(predictions: pa.Table, domains: Domains, part: str) -> pa.Table:
    """Add one boolean column per bucket to the predictions of a part.

    Args:
        predictions: one row per example of the part, with a column ``user``.
        domains: the events.
        part: ``"validation"`` or ``"test"``.
    """
    events, parts = domains.dataset.interactions, domains.parts()
    in_training = parts == PARTS.index("train")
    user, users = predictions["user"].to_numpy(), events["user_id"].to_numpy()

    in_window = np.isin(user, users[domains.before])
    known, counts = np.unique(users[in_training], return_counts=True)
    index = np.searchsorted(known, user).clip(max=len(known) - 1)
    events_of_user = np.where(known[index] == user, counts[index], 0)
    few = events_of_user <= np.median(events_of_user)
    masks = {"met": in_window, "unmet": ~in_window, "few": few, "many": ~few}
    if domains.config.slices:
        items = events["item_id"].to_numpy()
        streamed = np.isin(items[parts == PARTS.index(part)], items[in_training])
        masks |= {"streamed": streamed, "never": ~streamed}
    for bucket, mask in masks.items():
        predictions = predictions.append_column(bucket, pa.array(mask))
    return predictions


def bucket_aucs(predictions: pa.Table) -> Metrics:
    """Return ``auc_NAME`` of each bucket; None if a bucket lacks clicks or non-clicks.

    Args:
        predictions: result of :func:`with_buckets`.
    """
    scores = predictions["probability"].to_numpy()
    label = predictions["label"].to_numpy() > 0
    metrics = {}
    for bucket in BUCKETS:
        if bucket in predictions.column_names:
            mask = predictions[bucket].to_numpy()
            metrics[f"auc_{bucket}"] = auc(scores[mask], label[mask])
    return {**finite(metrics)}
