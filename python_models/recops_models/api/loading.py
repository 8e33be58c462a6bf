"""Loading of data sets and of trained models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from recops_models.api.model import Model
from recops_models.training.device import AUTO

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def load_data(name_or_folder: str | Path) -> Dataset:
    """Load a data set by name, or from a folder or file of interactions.

    Args:
        name_or_folder: a name of ``recops data list``; a folder that ``recops data import`` wrote,
            or one with ``interactions.parquet`` or ``.csv``; or a file of interactions.

    Raises:
        UnknownDataError: no data set of this name and no such path.
        DataError: the data is missing, damaged or unsuitable.
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
    """
    return Model(local_folder(folder_or_repo), device=device)


def local_folder(folder_or_repo: str | Path) -> Path:
    """Return a folder, or that of a repository after its download.

    Raises:
        FileNotFoundError: no such folder.
    """
    folder = Path(folder_or_repo)
    if folder.is_dir():
        return folder
    if not (isinstance(folder_or_repo, str) and _REPOSITORY.fullmatch(folder_or_repo)):
        raise FileNotFoundError(f"load: no folder {folder}")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(folder_or_repo))
