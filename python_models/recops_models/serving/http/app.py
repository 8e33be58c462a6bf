"""Routes of the User Interest Center."""

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
from recops_models.serving.http.body import MAX_BODY_BYTES, json_body
from recops_models.serving.http.metrics import CONTENT_TYPE, ServiceMetrics
from recops_models.serving.http.requests import (
    EventsRequest,
    ForgetRequest,
    ScoreRequest,
    StrictRequest,
)
from recops_models.serving.http.responses import STATUSES, error_response, json_response
from recops_models.serving.http.service import Service
from recops_models.serving.http.timed_app import TimedApp

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    center: Center, *, token: str | None = None, max_body_bytes: int = MAX_BODY_BYTES
) -> ASGIApp:
    """Return an ASGI application that serves a center. The caller closes the center.

    Error responses are ``{"error": one line}``, with these status codes:

    - 401: the token is missing or wrong;
    - 403: the request comes from a page of another origin;
    - 408, 413: the body arrives too slowly, or is too large;
    - 409: the store's states are of another model;
    - 422: a field is invalid, and ``"field"`` names it;
    - 500: a user's state is damaged, or an unexpected error;
    - 503 with Retry-After: the store does not answer, writing pauses, or too many requests wait;
    - 507: the store has no free space.

    Args:
        center: the center.
        token: bearer token that requests must have. None accepts all requests to a loopback name.
        max_body_bytes: largest request body.
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
        docs_url=None,  # Both documentation pages load scripts from other hosts.
        redoc_url=None,
    )
    for kind, _ in STATUSES:
        app.add_exception_handler(kind, error_response)
    app.add_exception_handler(HTTPException, error_response)
    _add_routes(app, service, max_body_bytes)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return TimedApp(Access(app, token), metrics, paths)


def _add_routes(app: FastAPI, service: Service, max_body_bytes: int) -> None:
    events_body = Depends(json_body(EventsRequest, max_body_bytes))
    score_body = Depends(json_body(ScoreRequest, max_body_bytes))
    forget_body = Depends(json_body(ForgetRequest, max_body_bytes))

    @app.post("/v1/events", openapi_extra=_openapi_body(EventsRequest))
    async def ingest(request: EventsRequest = events_body) -> Response:
        """Apply events exactly once, even if they are repeated; durable on response."""
        report = await service.ingest(request.events)
        return json_response(
            {
                "accepted": report.accepted,
                "duplicates": report.duplicates,
                "late": report.late,
                "refused": [vars(refusal) for refusal in report.refused],
            }
        )

    @app.post("/v1/score", openapi_extra=_openapi_body(ScoreRequest))
    async def score(request: ScoreRequest = score_body) -> Response:
        """Score candidates with the user's state. An unknown user has the empty state, 0 events.

        `unknown_candidates` lists the positions, from 0, of candidates whose ids were not in
        training. They are scored as unknown items: check for mistyped ids.
        """
        result = await service.score(request)
        return json_response(
            {
                "scores": result.scores,
                "model_version": result.model_version,
                "events": result.events,
                "unknown_candidates": result.unknown_candidates,
            }
        )

    @app.post("/v1/forget", openapi_extra=_openapi_body(ForgetRequest))
    async def forget(request: ForgetRequest = forget_body) -> Response:
        """Delete a user's state permanently, and return whether there was one."""
        return json_response({"forgotten": await service.forget(request)})

    @app.get("/v1/state")
    async def state(user_id: str = "") -> Response:
        """Return a user's current state."""
        return json_response({"user_id": user_id, **vars(await service.state(user_id))})

    @app.get("/healthz")
    async def healthz() -> Response:
        """Check that the store answers."""
        return json_response({"status": "ok", "model_version": await service.model_version()})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(await service.metrics(), media_type=CONTENT_TYPE)

    page = files(__package__).joinpath("page.html").read_text("utf-8")

    @app.get("/")
    async def index() -> Response:
        """Return a page with live rates, latencies and one user's state."""
        return HTMLResponse(page, headers=_PAGE_HEADERS)


def _openapi_body(kind: type[StrictRequest]) -> dict[str, object]:
    """Return the OpenAPI description of a body that ``json_body`` reads."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
