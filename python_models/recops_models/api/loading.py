"""Loading of data sets and of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recops._hub import local_folder
from recops_models.api.model import Model
from recops_models.training.device import AUTO

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset


def load_data(name_or_folder: str | Path) -> Dataset:
    """Load a data set by name, or from a folder or file of interactions.

    Args:
        name_or_folder: a name of ``recops data list``; a folder that ``recops data import`` wrote,
            or one with ``interactions.parquet`` or ``.csv``; or a file of interactions.

    Raises:
        UnknownDataError: no data set of this name and no such path.
        DataError: the data is missing, damaged or unsuitable.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from pyarrow import csv
        >>> import recops_models as rm
        >>> log = pa.table({"user_id": ["u1", "u1"], "item_id": ["a", "b"], "timestamp": [0, 1]})
        >>> with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        ...     csv.write_csv(log, file.name)
        ...     rm.load_data(file.name).interactions.num_rows
        2
    """
    from recops_models.data.sets import load as load_set

    return load_set(name_or_folder)


def load(folder_or_repo: str | Path, *, device: str = AUTO) -> Model:
    """Load a trained model.

    Args:
        folder_or_repo: folder of ``recops train``, of :func:`recops_models.train` or of
            :meth:`Model.save_pretrained`; or a Hugging Face repository, ``"owner/name"``, which is
            downloaded.
        device: where the model works, by the names of :func:`recops_models.train`.

    Raises:
        CorruptFileError: a file is damaged, or of an incompatible version.
        FileNotFoundError: no such folder, or it holds no finished model.
        ValueError: unknown or missing device.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": list("aaabbb"), "item_id": [1, 2, 3, 2, 3, 1]}
        >>> log["timestamp"] = [0, 1, 2, 0, 1, 2]
        >>> model = rm.train("popularity", rm.Dataset.from_frames(log))
        >>> rm.load(model.folder).config["model"]
        'popularity'
    """
    return Model(local_folder(folder_or_repo, "load"), device=device)
