"""What the routes are sent, as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from recops_models.serving.event import LARGEST


class SentRequest(BaseModel):
    """A JSON object without fields that nobody reads: a misspelt one is an error, not a default."""

    model_config = ConfigDict(extra="forbid")


class EventsRequest(SentRequest):
    """Events, those of one user in their order."""

    events: list[object] = Field(
        description="Objects with user_id, item_id, timestamp, seq and what the model reads."
    )


class ScoreRequest(SentRequest):
    """Candidates for a user; ids are integers or text."""

    user_id: object = Field(description="An integer or text.")
    candidates: list[object] = Field(description="1 to 10,000 items' ids.")
    features: dict[str, object] = Field(
        default_factory=dict,
        description="The model's other features: one value, or a list of one a candidate.",
    )


class ForgetRequest(SentRequest):
    """A user to be forgotten."""

    user_id: object = Field(description="An integer or text.")
    through: StrictInt = Field(
        default=0,
        ge=0,
        le=LARGEST,
        description="Also events up to this seq that have not arrived yet.",
    )
