"""Runs that carry what a super-domain tells into a small domain: by knowledge, or otherwise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from recops_evidence.experiments.once import one_at_a_time
from recops_evidence.experiments.synthetic_domains import SyntheticDomains
from recops_evidence.experiments.training import (
    Training,
    finite_floors,
    some_users,
)
from recops_evidence.experiments.transfer_ways import WAYS, train_further, way_examples
from recops_evidence.harness.experiment import ArmSettings, Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.keep import KeepConfig
from recops_models.click.model import ClickConfig, ClickModel
from recops_models.data import Dataset, load
from recops_models.data.storage import write_table
from recops_models.evaluation.floors import floors
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.domains import DomainConfig, Domains
from recops_models.graphs.knowledge import Knowledge
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.files import load_model
from recops_models.recipes.job import Job
from recops_models.recipes.keep_problem import KeepProblem
from recops_models.recipes.knowledge_stage import KNOWLEDGE, KnowledgeStage
from recops_models.recipes.parts import part
from recops_models.recipes.run import PREDICTIONS, holds, run_job
from recops_models.recipes.stage import StageContext
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.curve import finite

SHUFFLED = "shuffled"
"""The setting ``knowledge`` of an arm whose users and items have somebody else's."""

_QUICK_USERS = 400
_BUCKETS = ("met", "unmet", "few", "many", "streamed", "never")


@dataclass(frozen=True)
class Transfer(Training):
    """Trainings on a small domain, with what is made of the super-domain once a seed for all arms.

    Figures of users whom the window knows (``auc_met``) and does not (``auc_unmet``), of those with
    few and with many events in the small domain's training (``auc_few``, ``auc_many``: as many test
    examples each), and over a stream of items that came in it and did not (``auc_streamed``,
    ``auc_never``) stand beside those of all.

    Attributes:
        cuts: by data, the settings of :class:`~recops_models.examples.domains.DomainConfig`.
        extraction: the settings of ``keep`` under which knowledge is extracted.
        pretraining: those of the base model under which ``fine-tune`` begins.
        laws: of clicks that are made up, by the name that claims have them under as data.
    """

    cuts: tuple[tuple[str, ArmSettings], ...]
    extraction: ArmSettings
    pretraining: ArmSettings
    laws: tuple[tuple[str, SyntheticDomains], ...] = ()

    def config(self, run: Run) -> dict[str, object]:
        """The job, how it comes to its data, and what is made first."""
        job, law = self._job(run), dict(self.laws).get(run.data)
        first: dict[str, object] = {}
        if run.model == "keep":
            first = {"extraction": dict(self.extraction), "knowledge": run.setting("knowledge")}
        elif run.setting("way") == "fine-tune":
            first = {"pretraining": dict(self.pretraining)}
        return {
            **job.config(),
            "way": run.setting("way"),
            "cut": dataclasses.asdict(self._cut(run)),
            "law": None if law is None else dataclasses.asdict(law),
            "users": _QUICK_USERS if run.quick else None,
            **first,
        }

    def load(self, data: str) -> Dataset:
        """The data set; one whose weights are hours played asks whether it was played. Of clicks
        that are made up an example: runs draw their own.
        """
        if data in dict(self.laws):
            return dict(self.laws)[data].draw(0)
        found = load(data)
        events = found.interactions
        if found.time != "none" or "weight" not in events.column_names:
            return found
        played = (events["weight"].to_numpy() > 0).astype(np.float32)
        return dataclasses.replace(
            found, interactions=events.append_column("label", pa.array(played))
        )

    def takes(self, data: str) -> bool:
        """What it has a cut for."""
        return data in dict(self.cuts)

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """What comes first, unless it is there, and the run's own training."""
        job, domains = self._job(run), self._domains(run, data)
        if run.model == "keep":
            model, metrics = self._keep(run, job, domains, folder, callbacks)
        else:
            model, metrics = self._other(run, job, domains, folder, callbacks)
        problem = self._problem(run, job, domains, model)
        validation, test = metrics["validation"], metrics["test"]
        validation |= _figures(self._buckets(problem, domains, model, "validation"))
        if run.test:
            table = self._buckets(problem, domains, model, "test")
            test |= _figures(table)
            write_table(folder / PREDICTIONS, table)
        return validation, test

    @property
    def label(self) -> str:
        """The small domain of its data, and whether each user's own order cuts it; of several data
        sets nothing, as their names tell them apart.
        """
        told = dict(self.cuts[0][1]) if len(self.cuts) == 1 else {}
        domain = f"{told['domain_column']} {told['domain']}" if "domain" in told else ""
        order = "cut in each user's order" if told.get("cut") == "order" else ""
        return ", ".join(text for text in (domain, order) if text)

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """None of clicks that every seed draws anew: seeds differ by their users already."""
        return None if run.data in dict(self.laws) else super().user_draws(run, folder, test)

    def floors_config(self, run: Run) -> object | None:
        """The data, its cut, and which examples are made of it."""
        law = dict(self.laws).get(run.data)
        return {
            "cut": dataclasses.asdict(self._cut(run)),
            "law": None if law is None else {**dataclasses.asdict(law), "seed": run.seed},
            "examples": dataclasses.asdict(part(self._job(run).parts, "examples", ExampleConfig)),
            "data": run.data,
            "users": _QUICK_USERS if run.quick else None,
        }

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Of the small domain behind the cut."""
        made = way_examples(self._job(run), self._domains(run, data), "base")
        return finite_floors(floors(made))

    # How a run's settings are read.

    def _job(self, run: Run) -> Job:
        settings = dict(run.settings)
        for name in ("way", *(("knowledge",) if run.model == "keep" else ())):
            settings.pop(name, None)
        if run.model == "keep":
            settings = {**dict(self.extraction), **self._cut_settings(run), **settings}
        return Job.of(run.model, run.data, settings, seed=run.seed, quick=run.quick)

    def _cut_settings(self, run: Run) -> dict[str, str]:
        known = dict(self.cuts)
        if run.data not in known:
            raise ValueError(f"no cut of {run.data!r}; there are {', '.join(known)}")
        return dict(known[run.data])

    def _cut(self, run: Run) -> DomainConfig:
        job = Job.of("keep", run.data, self._cut_settings(run), seed=0, quick=False)
        return part(job.parts, "domains", DomainConfig)

    def _domains(self, run: Run, data: Dataset) -> Domains:
        law = dict(self.laws).get(run.data)
        if law is not None:
            if run.share != 1:
                raise ValueError(f"{run.data}: made-up users are all of them")
            small = {"users": 100, "items": 120} if run.quick else {}
            data = dataclasses.replace(law, **small).draw(run.seed)
        elif run.quick:
            data = some_users(data, min(1.0, _QUICK_USERS / data.users.num_rows))
        return Domains.of(some_users(data, run.share), self._cut(run))

    # What arms do.

    def _keep(
        self,
        run: Run,
        job: Job,
        domains: Domains,
        folder: Path,
        callbacks: Callbacks,
    ) -> tuple[nn.Module, dict[str, Any]]:
        settings = {**dict(self.extraction), **self._cut_settings(run)}
        extraction = Job.of("keep", run.data, settings, seed=run.seed, quick=run.quick)
        key = Run(self, "keep", run.data, (), run.seed, False, run.quick, run.share).key
        place = folder.parent / f"knowledge-{key}"
        with one_at_a_time(place):
            if not (place / KNOWLEDGE).exists():
                place.mkdir(exist_ok=True)
                share = Portion(callbacks, 0.0, 0.5)
                parts = extraction.parts
                context = StageContext(domains.dataset, None, parts, run.seed, place, True, share)
                KnowledgeStage().run(context)
            shuffled = place / f"{SHUFFLED}.safetensors"
            if not shuffled.exists():
                Knowledge.load(place / KNOWLEDGE).shuffled(run.seed).save(shuffled)
        path = shuffled if run.setting("knowledge") == SHUFFLED else place / KNOWLEDGE
        sizes = dataclasses.replace(part(job.parts, "sizes", KeepConfig), knowledge=str(path))
        job = dataclasses.replace(job, parts={**job.parts, "sizes": sizes})
        share = Portion(callbacks, 0.5, 0.5)
        done = run_job(
            job, domains.dataset, folder, resume=holds(folder, job), test=run.test, callbacks=share
        )
        return done.model, done.metrics

    def _other(
        self,
        run: Run,
        job: Job,
        domains: Domains,
        folder: Path,
        callbacks: Callbacks,
    ) -> tuple[nn.Module, dict[str, Any]]:
        way = run.setting("way")
        if way not in WAYS:
            raise ValueError(f"no way {way!r}; there are {', '.join(WAYS)}")
        slices = domains.config.slices
        if way != "fine-tune" and not slices:
            data = way_examples(job, domains, way)
            done = run_job(
                job, data, folder, resume=holds(folder, job), test=run.test, callbacks=callbacks
            )
            return done.model, done.metrics
        if way == "fine-tune":
            model = self._pretrained(run, domains, folder, callbacks)
            data = way_examples(job, domains, way, model.schema)
        else:
            data = way_examples(job, domains, way)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(run.seed)
                model = _recipe(job).net(data.fitted, job.parts["sizes"])
        return model, train_further(job, domains, way, model, data, folder, run.test, callbacks)

    def _pretrained(
        self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks
    ) -> ClickModel:
        """The model of ``zero-shot`` under the settings of pretraining, made once a seed."""
        settings = (*self.pretraining, ("way", "zero-shot"))
        first = Run(self, run.model, run.data, settings, run.seed, False, run.quick, run.share)
        place, job = folder.parent / f"pretrained-{first.key}", self._job(first)
        with one_at_a_time(place):
            place.mkdir(exist_ok=True)
            share = Portion(callbacks, 0.0, 0.5)
            data = way_examples(job, domains, "zero-shot")
            if not (place / "metrics.json").exists():
                run_job(job, data, place, resume=holds(place, job), test=False, callbacks=share)
        model = load_model(place / "model.safetensors")
        assert isinstance(model, ClickModel)
        return model

    # What is told of them.

    def _problem(self, run: Run, job: Job, domains: Domains, model: nn.Module) -> ClickProblem:
        """The small domain's examples as the model reads them."""
        assert isinstance(model, ClickModel)
        examples = part(job.parts, "examples", ExampleConfig)
        if job.model == "keep":
            return KeepProblem(domains.dataset, domains.config, examples, fitted=model.schema)
        way = run.setting("way") or ""
        return ClickProblem(way_examples(job, domains, way, model.schema), examples)

    def _buckets(
        self, problem: ClickProblem, domains: Domains, model: nn.Module, name: str
    ) -> pa.Table:
        """The predictions for a part, with a column a bucket: whether a row is in it."""
        table = ClickProblem.measure(problem, model, name).predictions
        user = table["user"].to_numpy()
        events, parts = domains.dataset.interactions, domains.parts()
        ids = events["user_id"].to_numpy()
        met = np.isin(user, ids[domains.before])
        known, counts = np.unique(ids[parts == 0], return_counts=True)
        place = np.searchsorted(known, user).clip(max=len(known) - 1)
        often = np.where(known[place] == user, counts[place], 0)
        few = often <= np.median(often)
        masks = {"met": met, "unmet": ~met, "few": few, "many": ~few}
        if domains.config.slices:
            item = events["item_id"].to_numpy()
            asked = item[parts == {"validation": 1, "test": 2}[name]]
            came = np.isin(asked, item[parts == 0])
            masks |= {"streamed": came, "never": ~came}
        for bucket, mask in masks.items():
            table = table.append_column(bucket, pa.array(mask))
        return table


def _recipe(job: Job) -> ClickRecipe[ClickConfig]:
    assert isinstance(job.recipe, ClickRecipe)
    return job.recipe


def _figures(table: pa.Table) -> Metrics:
    """The AUC of each bucket; None where one of both labels is missing."""
    scores, label = table["probability"].to_numpy(), table["label"].to_numpy() > 0
    figures = {}
    for bucket in _BUCKETS:
        if bucket in table.column_names:
            mask = table[bucket].to_numpy()
            figures[f"auc_{bucket}"] = auc(scores[mask], label[mask])
    return {**finite(figures)}
