"""Source of the events of a transfer experiment: data sets, synthetic domains and their cuts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_evidence.experiments.synthetic_domains import SyntheticDomains
from recops_evidence.experiments.training import some_users
from recops_evidence.harness.experiment import ArmSettings, Run
from recops_models.data import Dataset, load
from recops_models.examples.domains import DomainConfig, Domains
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.setting_text import parse_settings

_QUICK_USERS = 400
_QUICK_LAW = {"users": 100, "items": 120}


@dataclass(frozen=True)
class DomainSource:
    """Data sets with the cut of each into a super-domain and a small domain.

    Attributes:
        cuts: settings of :class:`~recops_models.examples.domains.DomainConfig` by data set.
        laws: generators of synthetic clicks by the name under which claims use them as data.
    """

    cuts: tuple[tuple[str, ArmSettings], ...]
    laws: tuple[tuple[str, SyntheticDomains], ...] = ()

    @property
    def label(self) -> str:
        """Small domain and kind of cut; empty if the source has several data sets."""
        cut = dict(self.cuts[0][1]) if len(self.cuts) == 1 else {}
        domain = f"{cut['domain_column']} {cut['domain']}" if "domain" in cut else ""
        order = "cut in each user's order" if cut.get("cut") == "order" else ""
        return ", ".join(text for text in (domain, order) if text)

    def law(self, data: str) -> SyntheticDomains | None:
        """Return the generator of synthetic clicks, or None for a data set."""
        return dict(self.laws).get(data)

    def cut_settings(self, data: str) -> dict[str, str]:
        """Return the settings of the cut of ``data``.

        Raises:
            ValueError: there is no cut of ``data``.
        """
        known = dict(self.cuts)
        if data not in known:
            raise ValueError(f"no cut of {data!r}; available: {', '.join(known)}")
        return dict(known[data])

    def cut(self, data: str) -> DomainConfig:
        """Return the cut of ``data``."""
        job = Job.of(
            "keep", data, parse_settings("keep", self.cut_settings(data)), seed=0, quick=False
        )
        return part(job.parts, "domains", DomainConfig)

    def config(self, run: Run) -> dict[str, object]:
        """Return everything that determines the domains of a run, except its seed and share."""
        law = self.law(run.data)
        return {
            "cut": dataclasses.asdict(self.cut(run.data)),
            "law": None if law is None else dataclasses.asdict(law),
            "users": _QUICK_USERS if run.quick else None,
        }

    def load(self, data: str) -> Dataset:
        """Load a data set, or draw one example of synthetic clicks.

        Without times, weights count as hours played; the label is then whether the item was played.
        """
        law = self.law(data)
        if law is not None:
            return law.draw(0)
        dataset = load(data)
        events = dataset.interactions
        if dataset.time != "none" or "weight" not in events.column_names:
            return dataset
        played = (events["weight"].to_numpy() > 0).astype(np.float32)
        events = events.append_column("label", pa.array(played))
        return dataclasses.replace(dataset, interactions=events)

    def domains(self, run: Run, data: Dataset) -> Domains:
        """Return the domains of a run; synthetic clicks are drawn by the run's seed.

        Args:
            run: its seed, share of users and size count.
            data: result of :meth:`load`.

        Raises:
            ValueError: the run asks for a share of synthetic users.
        """
        law = self.law(run.data)
        if law is not None:
            if run.share != 1:
                raise ValueError(
                    f"{run.data}: share must be 1 for synthetic users, got {run.share:g}"
                )
            size = _QUICK_LAW if run.quick else {}
            data = dataclasses.replace(law, **size).draw(run.seed)
        elif run.quick:
            data = some_users(data, min(1.0, _QUICK_USERS / data.users.num_rows))
        return Domains.of(some_users(data, run.share), self.cut(run.data))
