"""Databases of their own on a server that runs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from campaigns import db

PATIENCE = 60.0  # seconds in which an autovacuum worker leaves a database


@contextmanager
def database(server_url: str, *, template: str | None = None) -> Iterator[str]:
    """The address of a new database on that server, empty or a copy of `template`, for as long as the block lasts."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(str(make_url(template).database)))
    _maintain(server_url, create)
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        db.engine(url).dispose()
        db.forget()
        _drop(server_url, name)


def _maintain(server_url: str, statement: sql.Composed) -> None:
    plain = make_url(server_url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)


def _drop(server_url: str, name: str) -> None:
    began = time.monotonic()
    while True:
        try:
            return _maintain(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:  # an autovacuum worker is in it, whom only a superuser ends
            if time.monotonic() - began > PATIENCE:
                raise
            time.sleep(0.2)
