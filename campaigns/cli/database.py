"""Which database a command talks to, and whether its tables are the ones that this version knows."""

from __future__ import annotations

import getpass
import logging
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

import migrations
from campaigns import db
from campaigns.cli.output import say
from campaigns.embedded import Servers, has_servers, servers
from campaigns.errors import SetupError
from campaigns.settings import settings

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(migrations.__file__).parent


@contextmanager
def running_servers() -> Iterator[Servers]:
    """The configured PostgreSQL and Redis, or embedded ones for as long as the block lasts.

    Raises `SetupError` where only one of the two is configured: a command that silently started the other one
    would work on other data than the person thinks.
    """
    url, redis = database_url(), settings().redis_url or None
    if url is not None and redis is not None:
        yield Servers(database_url=url, redis_url=redis)
    elif url is not None or redis is not None:
        missing = "REDIS_URL" if redis is None else "DATABASE_URL"
        raise SetupError(f"{missing} is not set: set both DATABASE_URL and REDIS_URL, or neither for embedded servers")
    else:
        with servers(settings().data_dir) as embedded:
            upgrade(embedded.database_url)
            yield embedded


@contextmanager
def database(*, create: bool = False) -> Iterator[str]:
    """The address of the database, answering, durable and with this version's tables.

    Needs no Redis: with DATABASE_URL set nothing else is looked at. Raises `SetupError` where none was ever made here,
    unless told to `create` it: a command in the wrong directory must not answer out of an empty one.
    """
    with ExitStack() as stack:
        url = database_url()
        if url is None:
            if not settings().redis_url and not has_servers(settings().data_dir):
                _say_where(create=create)
            url = stack.enter_context(running_servers()).database_url
        db.check(url)
        require_newest(url)
        yield url


def _say_where(*, create: bool) -> None:
    place = settings().data_dir.absolute()
    if not create:
        raise SetupError(f"no database in {place}: go where `outbound up` runs, run it here, or set DATABASE_URL")
    say(f"no database here yet: one is made in {place}")


def database_url() -> str | None:
    """The configured DATABASE_URL; None where there is none. Raises `SetupError` where it is no address."""
    url = settings().database_url
    if not url:
        return None
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        # Not quoted: it holds a password.
        raise SetupError(
            "DATABASE_URL is not an address such as postgresql://user:password@host:5432/database"
        ) from None
    return url


def who() -> str:
    """The name of the person at the keyboard, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a number that has no name
        return f"uid {os.getuid()}"


@contextmanager
def transaction(*, create: bool = False) -> Iterator[Session]:
    """A session on `database()` that commits at the end of the block."""
    with database(create=create) as url, db.transaction(url) as session:
        yield session


def upgrade(url: str) -> None:
    """Migrate the database to this version's tables; does nothing where they are there."""
    revision = _revision(url)
    if revision != _newest():
        _require_known(revision)
        from alembic import command  # noqa: PLC0415 - as below

        logging.getLogger("alembic").setLevel(logging.WARNING)
        command.upgrade(config(url), "head")


def require_newest(url: str) -> None:
    """Raises `SetupError` where the tables are not the ones of this version."""
    found, newest = _revision(url), _newest()
    if found != newest:
        _require_known(found)
        stand = "has no tables yet" if found is None else f"is at migration {found}, this version needs {newest}"
        raise SetupError(f"the database {stand}: run `outbound db upgrade`")


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in _revisions():
        raise SetupError(
            f"the database is at migration {revision}, which this version does not know: use a newer outbound"
        )


def _revision(url: str) -> str | None:
    with db.engine(url).connect() as connection:
        if connection.scalar(select(func.to_regclass("alembic_version"))) is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _newest() -> str:
    revisions = _revisions()
    (newest,) = revisions.keys() - revisions.values()
    return newest


def _revisions() -> dict[str, str]:
    """Each migration and the one before it, as their files say.

    Every command asks, and Alembic takes longer to be imported than most commands to run.
    """
    said = [path.read_text(encoding="utf-8") for path in (_SCRIPTS / "versions").glob("2*.py")]
    found = [re.findall(r'^(?:down_)?revision(?:: .+)? = (?:"(\w+)"|None)$', each, re.MULTILINE) for each in said]
    return dict(found)


def config(url: str) -> Config:
    """What Alembic needs to know."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    found = Config()
    found.set_main_option("script_location", str(_SCRIPTS))
    found.attributes["url"] = url
    return found
