"""Progress of saving a data set."""

from __future__ import annotations

from pathlib import Path

from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, load, save_dataset


class Notes(Callbacks):
    """Callbacks that collect shares and notes."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, str]] = []

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.calls.append((share, note))


def test_saving_reports_each_table(small: Dataset, tmp_path: Path) -> None:
    notes = Notes()
    save_dataset(small, tmp_path, notes)
    assert [note for _, note in notes.calls] == ["interactions", "items", "users"]
    shares = [share for share, _ in notes.calls]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert load(tmp_path).interactions.equals(small.interactions)
