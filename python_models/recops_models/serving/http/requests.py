"""JSON bodies of the routes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from recops_models.serving.event import MAX_INT64


class StrictRequest(BaseModel):
    """JSON object without unknown fields, so that a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class EventsRequest(StrictRequest):
    """Events to apply; those of one user in order."""

    events: list[object] = Field(
        description="Objects with user_id, item_id, timestamp, seq and fields that the model reads."
    )


class ScoreRequest(StrictRequest):
    """Candidates to score for a user. Ids are integers or text."""

    user_id: object = Field(description="An integer or text.")
    candidates: list[object] = Field(description="1 to 10,000 item ids.")
    features: dict[str, object] = Field(
        default_factory=dict,
        description="The model's other features: one value, or a list with one per candidate.",
    )
    explore: StrictInt | None = Field(
        default=None,
        ge=0,
        le=MAX_INT64,
        description="AGE: seed of the exploration, a new one for every visit. The scores are then "
        "those to rank by.",
    )


class ForgetRequest(StrictRequest):
    """User to forget."""

    user_id: object = Field(description="An integer or text.")
    through: StrictInt = Field(
        default=0,
        ge=0,
        le=MAX_INT64,
        description="Also forget events up to this seq that have not arrived yet.",
    )
