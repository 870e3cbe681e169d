"""What queries cost in a test: the pages that PostgreSQL touches for them, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from campaigns import db

Plan = dict[str, Any]


def plans_of(url: str, work: Callable[[Session], object]) -> list[Plan]:
    """How PostgreSQL runs each query of `work`, with the pages it touches. What `work` does is undone."""
    asked: list[tuple[str, Any]] = []
    engine = db.engine(url)

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    with Session(engine) as session:
        event.listen(engine, "before_cursor_execute", note)
        try:
            work(session)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        session.rollback()
    with engine.connect() as connection:
        explained = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar_one()
            for statement, parameters in asked
        ]
        connection.rollback()
    return [dict(plan["Plan"]) for (plan,) in explained]


def pages(plans: Sequence[Plan]) -> int:
    """The pages that were touched in all."""
    return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


def nodes(plan: Plan) -> Iterator[Plan]:
    """The plan and everything below it."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)
