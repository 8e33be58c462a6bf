"""Folder of one run: its configuration and its finished stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from recops.files import read_json, write_json
from recops_models.settings import JsonObject

_Value = TypeVar("_Value")

_CONFIG, _JOURNAL = "config.json", "journal.json"


class RunFolder:
    """Folder of a new run, or of a run to resume.

    ``config.json`` holds the configuration. ``journal.json`` holds the time of each finished stage,
    and is written after the stage has saved its result. An interrupted run can always resume after
    the last stage of the journal.

    Args:
        path: a new or empty folder, or the folder of a run with the same configuration.
        config: everything that the results depend on.
        outputs: names of the files that the run writes; a new run removes existing ones.
        resume: continue after the finished stages; False: start a new run.

    Raises:
        ValueError: the folder holds a run of another configuration, or other files.
        CorruptFileError: a file of the run is damaged.
    """

    def __init__(
        self, path: Path, config: JsonObject, *, outputs: Iterable[str], resume: bool
    ) -> None:
        self.path = path
        self.seconds: dict[str, float] = {}
        path.mkdir(parents=True, exist_ok=True)
        has_run = (path / _CONFIG).exists()
        if has_run:
            self._refuse_another(config)
        elif any(path.iterdir()):
            raise ValueError(f"{path} holds files, but no run: name a new folder with --out")
        if resume and has_run:
            if (path / _JOURNAL).exists():
                self.seconds = read_json(path / _JOURNAL, kind="journal")["seconds"]
        else:
            for name in (_JOURNAL, *outputs):
                (path / name).unlink(missing_ok=True)
            write_json(path / _CONFIG, config, kind="config")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def stage(
        self,
        name: str,
        *,
        make: Callable[[], _Value],
        save: Callable[[_Value], None],
        load: Callable[[], _Value],
    ) -> _Value:
        """Return the result of a stage, which runs unless it is finished.

        Args:
            name: name of the stage.
            make: runs the stage.
            save: saves the result, before the stage counts as finished.
            load: loads the result of a finished stage.
        """
        if name in self.seconds:
            return load()
        started = time.perf_counter()
        value = make()
        save(value)
        self.seconds[name] = round(time.perf_counter() - started, 3)
        write_json(self.path / _JOURNAL, {"seconds": self.seconds}, kind="journal")
        return value

    def _refuse_another(self, config: JsonObject) -> None:
        recorded = read_json(self.path / _CONFIG, kind="config")
        for key in (*config, *recorded):
            if config.get(key) != recorded.get(key):
                raise ValueError(
                    f"{self.path} holds a run with {key} {recorded.get(key)}, not "
                    f"{config.get(key)}: name another folder with --out"
                )
