"""An import as people write it: pandas reads, phonenumbers is asked row by row, SQLAlchemy inserts."""

from __future__ import annotations

import pandas as pd
import phonenumbers
from phonenumbers import timezone
from sqlalchemy import JSON, Column, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy.exc import IntegrityError

LOT = 1_000

PEOPLE = Table(
    "peer_people",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("number", String, unique=True),
    Column("zones", JSON),
    Column("variables", JSON),
)


def bring(url: str, path: str, most: int) -> int:
    """Import the first `most` rows; returns how many people there are now."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    PEOPLE.drop(engine, checkfirst=True)
    PEOPLE.create(engine)
    known: set[str] = set()
    for frame in pd.read_csv(path, dtype=str, chunksize=LOT, nrows=most, keep_default_na=False):
        rows = []
        for row in frame.to_dict("records"):
            try:
                number = phonenumbers.parse(row["phone"], row["country"])
            except phonenumbers.NumberParseException:
                continue
            if not phonenumbers.is_valid_number(number):
                continue
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            if e164 not in known:
                known.add(e164)
                zones = list(timezone.time_zones_for_number(number))
                rows.append({"number": e164, "zones": zones, "variables": row})
        with engine.begin() as connection:
            try:
                connection.execute(insert(PEOPLE), rows)
            except IntegrityError:
                continue
    return len(known)
