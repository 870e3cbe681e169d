"""The web process with the benchmark's two peers beside the receiver: same server, same framework, same database."""

from __future__ import annotations

import psycopg_pool
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import make_url

from campaigns.settings import settings
from campaigns.web.server import serve
from workers.app import database_url
from workers.asgi import app

pool = psycopg_pool.ConnectionPool(
    make_url(database_url()).set(drivername="postgresql").render_as_string(hide_password=False),
    min_size=10,
    max_size=10,
    open=True,
)
with pool.connection() as connection:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)"
    )


def insert(body: bytes) -> None:
    with pool.connection() as connection:
        connection.execute("INSERT INTO bare (body) VALUES (%s)", [body])


@app.post("/peers/read")
async def read_only(request: Request) -> Response:
    """Read the body, keep nothing."""
    await request.body()
    return Response(b"{}", media_type="application/json")


@app.post("/peers/insert")
async def bare_insert(request: Request) -> Response:
    """Read the body and insert it as it is, in a transaction of its own."""
    await run_in_threadpool(insert, await request.body())
    return Response(b"{}", media_type="application/json")


if __name__ == "__main__":
    serve(app, host=settings().host, port=settings().port)
