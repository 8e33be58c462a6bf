"""KEEP-style: knowledge of a super-domain, frozen, plugged into any click model; plug design ours.

Zhang et al., KEEP: An Industrial Pre-Training Framework for Online Recommendation via Knowledge
Extraction and Plugging, CIKM 2022, arXiv 2208.10174. Its abstract, its introduction and others'
summaries were read; no equation and no table of it. Confirmed: two stages; a supervised extractor
of several tasks upon DIN; knowledge of users, items and their interaction; a plug-in network of its
own; that fine-tuning forgets under incremental updates. Everything below that is a formula is ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import KNOWN
from recops_models.examples.features import Categorical, FittedSchema
from recops_models.graphs.coded_rows import Coding
from recops_models.graphs.knowledge import Knowledge, KnowledgeError
from recops_models.layers.knowledge_reader import KnowledgePart, KnowledgeReader
from recops_models.layers.plug import PluggedHead, PlugKind
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class KeepConfig:
    """What is plugged into which model, and how.

    Attributes:
        base: a click model by name; its own settings are ``base.width`` and so on.
        plug: how knowledge enters the first hidden layer, see :class:`~recops_models.layers.plug
            .Plug`.
        plug_hidden: the width of the plug's own layer, of ``"add"``.
        parts: which knowledge it reads: of the user, of the item, of the pair.
        knowledge: a finished ``knowledge.safetensors``; None: it is extracted first.
        coding: how knowledge is held: ``"float32"``, ``"bfloat16"`` or ``"int8"``.
        base_sizes: the base's settings, in a file.
        version: of the knowledge that the plug was trained upon, in a file.

    Raises:
        ValueError: no part of knowledge, an unknown one, or one twice; a layer below 1.
    """

    base: str = "din"
    plug: PlugKind = "add"
    plug_hidden: int = 64
    parts: tuple[KnowledgePart, ...] = ("user", "item", "pair")
    knowledge: str | None = None
    coding: Coding = "float32"
    base_sizes: Mapping[str, Any] | None = None
    version: str = ""

    def __post_init__(self) -> None:
        check_at_least("keep", self, plug_hidden=1)
        parts = self.parts
        unknown = set(parts) - {"user", "item", "pair"}
        if not parts or unknown or len(set(parts)) < len(parts):
            raise ValueError(f"keep: parts must be of user, item and pair, each once, got {parts}")


class Keep(ClickModel):
    """``logit = MLP_{>1}(plug(σ(W_1 x + b_1), k))``: x of the base, k of what is known.

    The base's modules are taken as they are, so that an optimizer that holds their parameters holds
    them still; the plug begins at nothing, and right behind its insertion every logit is the base's
    own, bit for bit. What is known learns nothing: see
    :class:`~recops_models.layers.knowledge_reader.KnowledgeReader`.

    Args:
        base: a click model with a hidden layer; its head is taken over.
        reader: of the knowledge.
        schema: the base's, which tells rows of the knowledge too: see :func:`with_known`.
        config: how.

    Raises:
        ValueError: a head without a hidden layer, an unknown plug.
    """

    config: KeepConfig  # type: ignore[assignment]  # The base has the sizes of a click model.
    head: PluggedHead

    def __init__(
        self,
        base: ClickModel,
        reader: KnowledgeReader,
        schema: FittedSchema,
        config: KeepConfig,
    ) -> None:
        super(ClickModel, self).__init__()  # Tables are the base's.
        self.schema, self.config = schema, config
        self.base, self.reader = base, reader
        widths: dict[str, int] = {part: reader.part_width(part) for part in config.parts}
        self.head = PluggedHead(base.head, widths, config.plug, hidden=config.plug_hidden)
        del base.head
        vars(self)["embedding"] = base.embedding  # There to use, but a part of the base.

    def output_dim(self) -> int:
        """The width of what the head reads: the base's, and knowledge."""
        return self.base.output_dim() + self.head.knowledge_width

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """``[B, output_dim]`` and the base's own loss."""
        x, auxiliary = self.base.bottom(batch)
        columns = [part.expand(len(x), -1) for part in self._known(batch)]
        return torch.cat([x, *columns], -1), auxiliary

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``; for one request, the user's half of the plug is computed once."""
        return self.head.beside(self.base.bottom(batch)[0], self._known(batch)).squeeze(-1)

    def use(self, knowledge: Knowledge) -> None:
        """Read other tables of the same extractor from now on: of a longer window, in another
        coding.

        They may know more users and items than this model: who is new stays unknown to it.

        Raises:
            KnowledgeError: of another version of the extractor, or it lacks ids that this model
                knows.
        """
        if knowledge.version != self.config.version:
            raise KnowledgeError(
                f"keep: knowledge must be of version {self.config.version}, upon which the plug "
                f"was trained, got {knowledge.version}"
            )
        ours = {name: self.schema.lookup(feature) for name, feature in KNOWN.items()}
        reader = KnowledgeReader.of(knowledge.at(ours))
        self.reader = reader.to(next(self.parameters()).device).train(self.training)

    def _known(self, batch: Batch) -> list[Tensor]:
        user, item = (batch.features[KNOWN[name]] for name in ("user", "item"))
        knowledge = self.reader(user[:1] if batch.is_one_request else user, item)
        return [knowledge[part] for part in self.config.parts]


def plug_in(base: ClickModel, knowledge: Knowledge, config: KeepConfig) -> Keep:
    """A running model with knowledge plugged in, which predicts what it did.

    Args:
        base: trained or not; its parameters stay the same objects, its head moves.
        knowledge: to be read.
        config: how; ``base_sizes`` and ``version`` are filled in.

    Example:
        ``plugged = plug_in(model, Knowledge.load(path), KeepConfig())``, then
        ``optimizer.add_param_group({"params": plugged.head.plug.parameters()})``, and training goes
        on.
    """
    sizes = dataclasses.asdict(base.config)
    config = dataclasses.replace(config, base_sizes=sizes, version=knowledge.version)
    reader = KnowledgeReader.of(knowledge.coded(config.coding))
    return Keep(base, reader, with_known(base.schema, knowledge), config)


def with_known(schema: FittedSchema, knowledge: Knowledge) -> FittedSchema:
    """A schema that also tells which rows of ``knowledge`` an example's user and item have."""
    features = tuple(Categorical(KNOWN[name]) for name in KNOWN)
    declared = dataclasses.replace(
        schema.schema, features=(*without_known(schema).schema.features, *features)
    )
    lookups = {**schema.lookups, **{KNOWN[name]: knowledge.lookups[name] for name in KNOWN}}
    return FittedSchema(declared, lookups, schema.moments)


def without_known(schema: FittedSchema) -> FittedSchema:
    """The schema of the base alone."""
    names = set(KNOWN.values())
    features = tuple(feature for feature in schema.schema.features if feature.name not in names)
    lookups = {name: lookup for name, lookup in schema.lookups.items() if name not in names}
    declared = dataclasses.replace(schema.schema, features=features)
    return FittedSchema(declared, lookups, schema.moments)
