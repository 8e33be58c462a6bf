"""Diagnosis of semantic IDs from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recops.files import write_file
from recops_models.api.model import Model
from recops_models.api.tokenizing import SemanticIds
from recops_models.data.dataset import Dataset
from recops_models.settings import JsonObject
from recops_models.tokenizers.diagnosis import diagnose as measure
from recops_models.tokenizers.diagnosis.inputs import (
    DiagnosisInputs,
    add_data,
    decoded_attributes,
    open_folder,
    plane_of,
)
from recops_models.tokenizers.diagnosis.page import render
from recops_models.versions import versions


class Diagnosis(JsonObject):
    """Metrics of semantic IDs by name, the content of ``diagnosis.json``; see :meth:`page`.

    Args:
        inputs: the semantic IDs and what is known of them.
        seed: of the noise and the samples.

    Example:
        >>> import numpy as np
        >>> import recops_models as rm
        >>> points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        >>> diagnosis = rm.diagnose(rm.tokenize(points, levels=2, codes=8))
        >>> diagnosis["items"], len(diagnosis["levels"])
        (50, 2)
    """

    def __init__(self, inputs: DiagnosisInputs, *, seed: int = 0) -> None:
        self._inputs = inputs
        self._figures = measure(
            inputs.codes,
            inputs.tokenizer,
            vectors=inputs.vectors,
            exposure=inputs.exposure,
            pairs=inputs.pairs,
            attributes=inputs.attributes,
            seed=seed,
        )
        self._figures["missing"] |= inputs.missing

    def __getitem__(self, name: str) -> object:
        return dict(self._figures)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def page(self, path: str | Path) -> None:
        """Write the diagnosis as one self-contained HTML page.

        Raises:
            OSError: the file cannot be written.
        """
        inputs = self._inputs
        page = render(
            self._figures,
            inputs.codes.numpy(),
            title=f"recops diagnose · {inputs.name}",
            exposure=None if inputs.exposure is None else inputs.exposure.numpy(),
            plane=plane_of(inputs),
            details={"Configuration": inputs.config, "Versions": versions()},
        )
        write_file(Path(path), page.encode())


def diagnose(
    semantic_ids: SemanticIds | Model | str | Path, data: Dataset | None = None, *, seed: int = 0
) -> Diagnosis:
    """Measure semantic IDs: usage, collisions, noise, exposure, behaviour and decoding cost.

    Args:
        semantic_ids: a result of :func:`recops_models.tokenize`; a ``tiger`` or ``unirec`` model;
            or a folder that ``recops diagnose`` reads.
        data: data set whose events and attributes are used. None: the one that the folder's
            configuration names; without it, metrics of behaviour are missing.
        seed: of the noise and the samples.

    Raises:
        DataError: there are no semantic IDs, or ``data`` does not fit them.
        CorruptFileError: a file is damaged.

    Example:
        >>> import numpy as np
        >>> import recops_models as rm
        >>> points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        >>> diagnosis = rm.diagnose(rm.tokenize(points, levels=2, codes=8))
        >>> diagnosis["levels"][0]["dead_codes"]
        0
    """
    if isinstance(semantic_ids, (SemanticIds, Model)):
        folder = semantic_ids.folder
    else:
        folder = Path(semantic_ids)
    inputs = open_folder(folder)
    if data is not None:
        inputs.missing.pop("data", None)
        add_data(inputs, data, decoded_attributes(inputs))
    return Diagnosis(inputs, seed=seed)
