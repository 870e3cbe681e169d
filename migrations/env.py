"""How migrations run: one at a time, with bounded waits, against the URL that the caller or the environment names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, make_url, pool, text

from campaigns.errors import SetupError
from campaigns.models import Base
from campaigns.settings import settings

ADVISORY_LOCK = 7_203_316_114_405  # any number, as long as every version of this project uses the same one


def url() -> str:
    """The database to migrate."""
    given = context.config.attributes.get("url") or settings().database_url
    if given is None:
        raise SetupError("DATABASE_URL is not set: name the database to migrate")
    return make_url(str(given)).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def run() -> None:
    """Migrate within one transaction, while nobody else does."""
    engine = create_engine(url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        # A migration must not queue behind a long transaction with everybody else queueing behind it.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            context.run_migrations()
    engine.dispose()


run()
