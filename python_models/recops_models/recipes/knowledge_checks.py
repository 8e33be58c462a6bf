"""Check that knowledge suits the examples of a small domain."""

from __future__ import annotations

from recops_models.data.dataset import entity_keys
from recops_models.data.splits import Split
from recops_models.examples.domains import DomainConfig
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.knowledge import ENTITIES, Knowledge, KnowledgeError


def check_knowledge(knowledge: Knowledge, small: Split, domains: DomainConfig) -> None:
    """Check that the knowledge predates the examples and covers a user and an item of them.

    Args:
        knowledge: knowledge of the super-domain.
        small: the split of the small domain.
        domains: how the data set was cut; only the cut ``"clock"`` has times to compare.

    Raises:
        KnowledgeError: the knowledge covers no user or no item of the data set.
        LeakageError: the knowledge was learnt from events as late as the examples.
    """
    dataset = small.dataset
    if domains.cut == "clock":
        first = min(
            int(table["timestamp"].to_numpy().min())
            for table in (small.train, small.validation, small.test)
        )
        knowledge.check_before(first, data=dataset.name, seconds=dataset.time == "seconds")
    for name in ENTITIES:
        if not (knowledge.lookups[name].rows(entity_keys(dataset, name)) > UNKNOWN).any():
            raise KnowledgeError(
                f"keep: knowledge must cover {name}s of {dataset.name}, but that of "
                f"{knowledge.source} has none of them"
            )
