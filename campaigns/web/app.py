"""The web process: the webhook receiver and the health checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from campaigns import db
from campaigns.web import webhook
from campaigns.web.counting import Counts
from campaigns.web.doors import Doors
from campaigns.web.storing import Store, Wake


def create_app(database_url: str, wake: Wake) -> FastAPI:
    """The application; `wake` is called with the id of each newly stored event."""
    counts = Counts(database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with counts.written():
            yield

    app = FastAPI(title="outbound", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.router.routes.append(webhook.route(Doors(database_url), Store(database_url, wake), counts))

    @app.get("/healthz")
    def healthy() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def ready(response: Response) -> dict[str, str]:
        """The process can store: the database answers."""
        try:
            with db.transaction(database_url) as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError as problem:
            response.status_code = 503
            return {"status": "the database does not answer", "problem": type(problem).__name__}
        return {"status": "ready"}

    return app
