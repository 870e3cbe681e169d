"""The migrations lead to the models, and back to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from campaigns import db
from campaigns.cli.database import _newest, _revisions, config, require_newest, upgrade
from campaigns.embedded import Servers
from campaigns.errors import SetupError
from campaigns.models import Base
from tests.databases import database

SHAPE = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text || ' '
       || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'alembic_version'
UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes
 WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'
   AND contype <> 'n'
"""


@pytest.fixture
def empty(embedded: Servers) -> Iterator[str]:
    """The address of a database without tables."""
    with database(embedded.database_url) as url:
        yield url


def execute(url: str, statement: str) -> None:
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.execute(text(statement))


def shape(engine: Engine) -> set[tuple[str, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text(SHAPE))}


def test_migrated_tables_equal_the_models_to_the_last_predicate(empty: str, template: str) -> None:
    modelled = db.connect(empty, pool_size=1)
    migrated = db.connect(template, pool_size=1)
    Base.metadata.create_all(modelled)
    try:
        ours, theirs = shape(modelled), shape(migrated)
        assert ours - theirs == set()
        assert theirs - ours == set()
        assert len(ours) > 150  # the query sees columns, indexes and constraints
    finally:
        modelled.dispose()
        migrated.dispose()


def test_empty_to_head_to_empty_to_head(empty: str) -> None:
    url = empty
    engine = db.engine(url)
    with pytest.raises(SetupError, match="no tables yet: run `outbound db upgrade`"):
        require_newest(url)
    upgrade(url)
    require_newest(url)
    before = shape(engine)
    command.downgrade(config(url), "base")
    assert shape(engine) == set()
    upgrade(url)
    assert shape(engine) == before
    engine.dispose()
    db.forget()


def test_the_newest_migration_is_the_one_that_alembic_would_say() -> None:
    script = ScriptDirectory.from_config(config(""))
    assert _newest() == script.get_current_head()
    assert _revisions().keys() == {each.revision for each in script.walk_revisions()}


def test_every_migration_has_a_date_a_sentence_and_a_way_back() -> None:
    versions = sorted(Path(__file__).parents[1].glob("migrations/versions/2*.py"))
    assert versions
    for version in versions:
        source = version.read_text(encoding="utf-8")
        assert version.name[:8].isdigit()
        assert "def downgrade() -> None:\n    pass" not in source
        assert source.startswith('"""')


def test_the_database_must_keep_its_promises(empty: str) -> None:
    url = empty
    execute(url, f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = off")
    with pytest.raises(SetupError, match="synchronous_commit"):
        db.check(url)
    db.engine(url).dispose()
    db.forget()
