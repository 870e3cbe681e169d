"""The audit: who did what, from what to what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from campaigns.models import Change

US = "outbound"
"""Who did it where no person and no provider did."""


def record(
    session: Session,
    *,
    who: str,
    what: str,
    subject: str,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    why: str | None = None,
) -> None:
    """Keep in the audit what somebody did. `subject` is as in `Change`."""
    session.add(
        Change(
            at=now,
            who=who,
            what=what,
            subject=subject,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
            why=why,
        )
    )
