"""In a database that may have forgotten calls, no worker dials."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select

from campaigns import clock, db
from campaigns.models import Account, Call, Prospect
from campaigns.pipeline import halting
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.settings import settings
from tests import databases, factories
from tests.workers.conftest import Silent
from workers.calls import place_calls
from workers.dispatch import refill, tick


def test_in_a_copy_of_the_database_nothing_is_claimed_and_nothing_sent(
    working_database: str, silent_provider: Silent, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        account = factories.account(session, now, base_url=silent_provider.url)
        campaign = factories.campaign(session, now)
        waiting = factories.prospect(session, campaign, now)
        real = clock.read(session).real
        claimed = factories.call(session, factories.prospect(session, campaign, now), now, slot_at=real, check_at=real)
        halting.guard_home(session, now=now)
    db.engine(working_database).dispose()  # a database in use is not copied
    with databases.database(working_database, template=working_database) as copy:
        monkeypatch.setenv("DATABASE_URL", copy)
        settings.cache_clear()
        refill(str(account.id))
        place_calls(str(claimed.id))
        with db.transaction(copy) as session:
            assert session.get_one(Account, account.id).frozen_at is None  # it does not depend on the freeze
        tick()
        place_calls(str(claimed.id))
        with db.transaction(copy) as session:
            assert "in another database than before" in str(session.get_one(Account, account.id).frozen_why)
            assert [call.id for call in session.scalars(select(Call))] == [claimed.id]
            # It may have been sent after the copy was made: it is neither sent nor taken for never sent.
            assert session.get_one(Call, claimed.id).state is CallState.CLAIMED
            assert session.get_one(Prospect, waiting.id).state is ProspectState.WAITING
        assert silent_provider.asked == []
