"""The routes of the User Interest Center."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from recops_models.serving.center import Center
from recops_models.serving.http.access import Access
from recops_models.serving.http.answers import STATUSES, error_answer, json_answer
from recops_models.serving.http.body import MOST_BODY_BYTES, sent
from recops_models.serving.http.metrics import CONTENT_TYPE, ServiceMetrics
from recops_models.serving.http.requests import (
    EventsRequest,
    ForgetRequest,
    ScoreRequest,
    SentRequest,
)
from recops_models.serving.http.service import Service
from recops_models.serving.http.timed_app import TimedApp

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    center: Center, *, token: str | None = None, most_body_bytes: int = MOST_BODY_BYTES
) -> ASGIApp:
    """An ASGI application over a center, which stays its caller's to close.

    Every error is ``{"error": one line}``, and with 422 ``"field"`` names what is wrong:
    401 without the token, 403 for pages of other origins, 408 and 413 for a body too slow or too
    large, 409 where the store's states are another model's, 500 for a damaged state (and what
    nobody foresaw), 503 with Retry-After while the store is away, writing pauses or too much waits,
    507 where the store has no room.

    Args:
        center: that is served.
        token: which requests must bear; None: all may ask, by a name of this machine.
        most_body_bytes: of a request.
    """
    metrics = ServiceMetrics()
    service = Service(center, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="User Interest Center",
        lifespan=lifespan,
        docs_url=None,  # The pages of both fetch scripts from elsewhere.
        redoc_url=None,
    )
    for kind, _ in STATUSES:
        app.add_exception_handler(kind, error_answer)
    app.add_exception_handler(HTTPException, error_answer)
    _add_routes(app, service, most_body_bytes)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return TimedApp(Access(app, token), metrics, paths)


def _add_routes(app: FastAPI, service: Service, most_body_bytes: int) -> None:
    events_sent = Depends(sent(EventsRequest, most_body_bytes))
    score_sent = Depends(sent(ScoreRequest, most_body_bytes))
    forget_sent = Depends(sent(ForgetRequest, most_body_bytes))

    @app.post("/v1/events", openapi_extra=_takes(EventsRequest))
    async def ingest(request: EventsRequest = events_sent) -> Response:
        """Apply events, each once however often it is sent; durable when answered."""
        report = await service.ingest(request.events)
        return json_answer(
            {
                "accepted": report.accepted,
                "duplicates": report.duplicates,
                "late": report.late,
                "refused": [vars(refusal) for refusal in report.refused],
            }
        )

    @app.post("/v1/score", openapi_extra=_takes(ScoreRequest))
    async def score(request: ScoreRequest = score_sent) -> Response:
        """Score candidates with the user's state; an unknown user has the empty state, 0 events.

        `unknown_candidates` lists the positions, from 0, of candidates whose ids the model did not
        learn in training. They have scores too, as any unknown item does: check for mistyped ids.
        """
        found = await service.score(request)
        return json_answer(
            {
                "scores": found.scores,
                "model_version": found.model_version,
                "events": found.events,
                "unknown_candidates": found.unknown_candidates,
            }
        )

    @app.post("/v1/forget", openapi_extra=_takes(ForgetRequest))
    async def forget(request: ForgetRequest = forget_sent) -> Response:
        """Remove a user's state for good; tells whether there was one."""
        return json_answer({"forgotten": await service.forget(request)})

    @app.get("/v1/state")
    async def state(user_id: str = "") -> Response:
        """A user's state as it is now."""
        return json_answer({"user_id": user_id, **vars(await service.state(user_id))})

    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether the store answers."""
        return json_answer({"status": "ok", "model_version": await service.model_version()})

    @app.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await service.metrics(), media_type=CONTENT_TYPE)

    page = files(__package__).joinpath("page.html").read_text("utf-8")

    @app.get("/")
    async def index() -> Response:
        """A page that shows rates, latencies and a user's state as they change."""
        return HTMLResponse(page, headers=_PAGE_HEADERS)


def _takes(kind: type[SentRequest]) -> dict[str, object]:
    """What OpenAPI says of a body that is read by :func:`~recops_models.serving.http.body.sent`."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
