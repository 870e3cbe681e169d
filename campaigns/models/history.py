"""What happened to a prospect that its row does not say any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.models.base import Base, word
from campaigns.rules.prospect_state import ProspectState


class Ruling(Base):
    """What was decided about a prospect, and why. It stood until the next one, or until the next call.

    A table and no array on the prospect: that row is written several times for each call, and would be written anew
    with its whole past each time. What the calls tell themselves (claimed, over) is not here, nor what a list brought,
    nor a look that found what the one before found: see `ledger.is_new`.
    """

    __tablename__ = "rulings"

    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime]
    state: Mapped[ProspectState] = mapped_column(word(ProspectState))
    why: Mapped[str | None]
    due_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    """The wish behind `due_at`."""


class Correction(Base):
    """What a later list changed of a prospect: of each value that became another, the old one and the new one."""

    __tablename__ = "corrections"

    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime]
    before: Mapped[dict[str, Any]]
    """With `import_id` and `line`: the list that had brought the prospect until then."""
    after: Mapped[dict[str, Any]]
