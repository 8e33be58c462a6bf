"""KEEP: frozen knowledge of a super-domain, plugged into any click model.

Zhang et al., KEEP: An Industrial Pre-Training Framework for Online Recommendation via Knowledge
Extraction and Plugging, CIKM 2022, arXiv 2208.10174. The abstract, the introduction and summaries
by others were read, no equation and no table. Confirmed: two stages; a supervised multi-task
extractor based on DIN; knowledge of users, items and their interaction; a separate plug-in network;
fine-tuning forgets under incremental updates. All formulas are the project's own.
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
from recops_models.examples.features import FittedSchema
from recops_models.examples.knowledge_features import KNOWN, with_knowledge
from recops_models.graphs.coded_rows import Coding
from recops_models.graphs.knowledge import Knowledge, KnowledgeError, Window
from recops_models.layers.knowledge_reader import KnowledgePart, KnowledgeReader
from recops_models.layers.plug import PluggedHead, PlugKind
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class KeepConfig:
    """Settings of the plug.

    Attributes:
        base: the name of a click model; ``base.width`` and so on are its settings.
        plug: how knowledge enters the first hidden layer, see
            :class:`~recops_models.layers.plug.Plug`.
        plug_hidden: hidden width of the plug "add".
        parts: knowledge that the plug reads: of the user, of the item, of the pair.
        knowledge: a finished ``knowledge.safetensors``; None: it is extracted first.
        coding: how knowledge is stored: ``"float32"``, ``"bfloat16"`` or ``"int8"``.
        base_sizes: the settings of the base, stored with a trained model.
        version: version of the knowledge that the plug was trained with, stored with a trained
            model.

    Raises:
        ValueError: no part of knowledge, an unknown or repeated part; a layer below 1.

    Example:
        >>> from recops_models.click.keep import KeepConfig
        >>> KeepConfig(parts=())
        Traceback (most recent call last):
            ...
        ValueError: keep: parts must be one or more of user, item and pair, each once, got ()
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
            raise ValueError(
                f"keep: parts must be one or more of user, item and pair, each once, got {parts}"
            )


class Keep(ClickModel):
    """``logit = MLP_{>1}(plug(σ(W_1 x + b_1), k))``, with x of the base model and knowledge k.

    The base's modules are shared, so an optimizer that holds their parameters stays valid. The plug
    starts at zero: right after its insertion, every logit equals the base's, bit for bit. Knowledge
    is frozen, see :class:`~recops_models.layers.knowledge_reader.KnowledgeReader`.

    Args:
        base: a click model with a hidden layer; its head is moved into this model.
        reader: reader of the knowledge.
        schema: the base's schema with rows of the knowledge, see :func:`with_knowledge`.
        config: settings.

    Raises:
        ValueError: a head without a hidden layer, an unknown plug.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.keep import KeepConfig, plug_in
        >>> from recops_models.examples.knowledge_features import KNOWN
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> schema, batch = tiny_click_data()
        >>> model = plug_in(Din(schema, DinConfig(width=4)), tiny_knowledge(), KeepConfig())
        >>> batch.features[KNOWN["user"]] = batch.features["user"]
        >>> batch.features[KNOWN["item"]] = batch.features["item"]
        >>> model(batch).shape
        torch.Size([3])
    """

    config: KeepConfig  # type: ignore[assignment]  # No ClickConfig: the base has one.
    head: PluggedHead

    def __init__(
        self,
        base: ClickModel,
        reader: KnowledgeReader,
        schema: FittedSchema,
        config: KeepConfig,
    ) -> None:
        super(ClickModel, self).__init__(schema)  # ClickModel's would create tables.
        self.config = config
        self.base, self.reader = base, reader
        widths: dict[str, int] = {part: reader.part_width(part) for part in config.parts}
        self.head = PluggedHead(base.head, widths, config.plug, hidden=config.plug_hidden)
        del base.head
        vars(self)["embedding"] = base.embedding  # A plain attribute: the base registers it.

    def output_dim(self) -> int:
        """Return the width of the head's input: the base's, and knowledge."""
        return self.base.output_dim() + self.head.knowledge_width

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the input of the head, ``[B, output_dim]``, and the base's auxiliary loss."""
        x, auxiliary = self.base.bottom(batch)
        columns = [part.expand(len(x), -1) for part in self._known(batch)]
        return torch.cat([x, *columns], -1), auxiliary

    def forward(self, batch: Batch) -> Tensor:
        """Return logits ``[B]``; for one request, the user's half of the plug is computed once."""
        return self.logits_with_knowledge(self.base.bottom(batch)[0], batch)

    def logits_with_knowledge(self, x: Tensor, batch: Batch) -> Tensor:
        """Return logits ``[B]`` from the base's bottom ``x``; ``batch`` has rows of knowledge."""
        return self.head.from_parts(x, self._known(batch)).squeeze(-1)

    def use(self, knowledge: Knowledge) -> None:
        """Replace the knowledge by other tables of the same extractor.

        They may be of a longer window, or in another coding. They may cover more users and items;
        this model still treats the additional ones as unknown.

        Raises:
            KnowledgeError: another version of the extractor, or missing ids that this model knows.
        """
        if knowledge.version != self.config.version:
            raise KnowledgeError(
                f"keep: knowledge must have version {self.config.version}, with which the plug "
                f"was trained, got {knowledge.version}"
            )
        lookups = {name: self.schema.lookup(feature) for name, feature in KNOWN.items()}
        reader = KnowledgeReader.of(knowledge.at(lookups))
        self.reader = reader.to(next(self.parameters()).device).train(self.training)

    def knowledge(self, source: str) -> Knowledge:
        """Return the knowledge that the plug reads, in its coding.

        Its tasks and its period are empty, since a model does not store them.

        Args:
            source: name of the knowledge, for messages.
        """
        return Knowledge(
            {name: self.schema.lookup(feature) for name, feature in KNOWN.items()},
            self.reader.tables,
            self.reader.pair.state_dict(),
            self.config.version,
            source,
            (),
            Window(0, 0, seconds=False),
        )

    def _known(self, batch: Batch) -> list[Tensor]:
        user, item = (batch.features[KNOWN[name]] for name in ("user", "item"))
        knowledge = self.reader(user[:1] if batch.is_one_request else user, item)
        return [knowledge[part] for part in self.config.parts]


def plug_in(base: ClickModel, knowledge: Knowledge, config: KeepConfig) -> Keep:
    """Plug knowledge into a model without changing its predictions.

    To continue training, add ``model.head.plug.parameters()`` to the optimizer of ``base``.

    Args:
        base: trained or not; its parameters stay the same objects, its head moves.
        knowledge: knowledge of a super-domain.
        config: settings; ``base_sizes`` and ``version`` are filled in.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.keep import KeepConfig, plug_in
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> base = Din(tiny_click_data()[0], DinConfig(width=4))
        >>> knowledge = tiny_knowledge()  # or Knowledge.load(path)
        >>> model = plug_in(base, knowledge, KeepConfig())
        >>> model.head.widths
        {'user': 5, 'item': 5, 'pair': 4}
    """
    sizes = dataclasses.asdict(base.config)
    config = dataclasses.replace(config, base_sizes=sizes, version=knowledge.version)
    reader = KnowledgeReader.of(knowledge.coded(config.coding))
    return Keep(base, reader, with_knowledge(base.schema, knowledge.lookups), config)
