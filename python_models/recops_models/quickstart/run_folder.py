"""The folder of one run: one configuration, and the stages that are finished."""

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
    """Opens ``path`` for a run, or for going on with it.

    ``config.json`` says whose files these are; ``journal.json``, written after a stage has saved
    what it made, names the finished stages and their seconds. A run that is stopped anywhere, by
    whatever, goes on from the last line of the journal.

    Args:
        path: a new or empty folder, or that of a run with the same configuration.
        config: everything the run's results depend on.
        outputs: the files that the run writes; a fresh start removes those that are there.
        resume: go on from the finished stages, and from what the next one has kept, rather than
            starting afresh.

    Raises:
        ValueError: the folder holds a run of another configuration, or something else.
        CorruptFileError: a file of the run is damaged.
    """

    def __init__(
        self, path: Path, config: JsonObject, *, outputs: Iterable[str], resume: bool
    ) -> None:
        self.path = path
        self.seconds: dict[str, float] = {}
        path.mkdir(parents=True, exist_ok=True)
        begun = (path / _CONFIG).exists()
        if begun:
            self._refuse_another(config)
        elif any(path.iterdir()):
            raise ValueError(f"{path} holds files, but no run: name a new folder with --out")
        if resume and begun:
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
        """What the stage made: now, or when it was finished in an earlier start of this run."""
        if name in self.seconds:
            return load()
        started = time.perf_counter()
        value = make()
        save(value)
        self.seconds[name] = round(time.perf_counter() - started, 3)
        write_json(self.path / _JOURNAL, {"seconds": self.seconds}, kind="journal")
        return value

    def _refuse_another(self, config: JsonObject) -> None:
        found = read_json(self.path / _CONFIG, kind="config")
        for key in (*config, *found):
            if config.get(key) != found.get(key):
                raise ValueError(
                    f"{self.path} holds a run with {key} {found.get(key)}, not {config.get(key)}: "
                    "name another folder with --out"
                )
