"""Context of ``recops recommend``: event columns at the moment of the requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from recops_models.data.frames import Frame
    from recops_models.recipes.answers import Answers
    from recops_models.recipes.request_events import RequestEvents


@dataclass(frozen=True)
class RequestContext:
    """Options of one command.

    Attributes:
        values: text of each event column, for all requests.
        file: file of the values of each user.
        offers: file of the values of items.
    """

    values: dict[str, str]
    file: Path | None = None
    offers: Path | None = None

    @classmethod
    def of(cls, context: Sequence[str] | None, offers: Path | None) -> RequestContext:
        """Return the parsed options.

        Raises:
            BadParameter: a text is neither COLUMN=VALUE nor a file, or one of several is a file.
        """
        texts = context or ()
        if len(texts) == 1 and Path(texts[0]).is_file():
            return cls({}, Path(texts[0]), offers)
        values: dict[str, str] = {}
        for text in texts:
            name, separator, value = text.partition("=")
            if not separator or not name or name in values:
                raise typer.BadParameter(
                    "--context must be like device=app, once per column, or one existing file, "
                    f"got {text!r}"
                )
            values[name] = value
        return cls(values, None, offers)

    def applied(self, events: RequestEvents, answers: Answers, *, model: str) -> RequestEvents:
        """Return requests with this context.

        Raises:
            DataError: a file cannot be read, the model does not read a column, or a value has
                another type.
        """
        if not (self.values or self.file or self.offers):
            return events
        from recops_models.api.context import in_context
        from recops_models.api.items import Reader
        from recops_models.data.id_file import read_id_rows

        names = events.dataset.columns
        context: Frame | None = self.values or None
        if self.file is not None:
            context = read_id_rows(self.file, names)
        offers = None if self.offers is None else read_id_rows(self.offers, names)
        reader = Reader("recommend", events.dataset)
        return in_context(reader, answers, events, context, offers, model=model)
