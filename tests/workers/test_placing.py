"""The task that places a call: what it finds out late, it still finds out in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Account, Call, Campaign, Pace, Prospect
from campaigns.pipeline import dispatching, doubting, warning
from campaigns.rules.call_state import CallState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.waiting import held_up
from tests.workers.conftest import Silent
from workers.app import client
from workers.calls import place_calls


def claimed(session: Session, now: datetime) -> UUID:
    clock.rehearse(session, origin_at=now, speed=1)
    prospect = factories.prospect(session, factories.campaign(session, now), now)
    real = clock.read(session).real
    return factories.call(session, prospect, now, slot_at=real, check_at=real + timedelta(seconds=30)).id


def test_the_calling_window_is_judged_after_the_wait_for_locks(working_database: str, now: datetime) -> None:
    with db.transaction(working_database) as session:
        call_id = claimed(session, now)
    with db.transaction(working_database) as holding:
        holding.execute(select(Campaign.id).with_for_update())
        with held_up(working_database, lambda: place_calls(str(call_id))) as placed:
            with db.transaction(working_database) as session:
                clock.rehearse(session, origin_at=now + timedelta(hours=12), speed=1)  # night falls meanwhile
            holding.commit()
    placed.result()
    with db.transaction(working_database) as session:
        call = session.get_one(Call, call_id)
        assert (call.state, call.intent_at) == (CallState.NOT_PLACED, None)
        assert str(call.state_why).startswith("outside_window")


@pytest.mark.parametrize("key", ["two\nlines", "one-line-and-its-end\n", "schlüssel", "nul\0"])
def test_a_key_that_cannot_be_sent_stops_the_account_and_reaches_nobody(
    working_database: str, silent_provider: Silent, now: datetime, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    if "\0" in key:
        monkeypatch.setattr("workers.app.secret", lambda _name: key)  # no environment can hold it
    else:
        monkeypatch.setenv("VAPI_API_KEY", key)
    with db.transaction(working_database) as session:
        factories.account(session, now, base_url=silent_provider.url)
        call_id = claimed(session, now)
    place_calls(str(call_id))
    with db.transaction(working_database) as session:
        assert session.get_one(Call, call_id).state is CallState.NOT_PLACED
        assert session.scalars(select(Prospect.state)).one() is ProspectState.WAITING
        assert "the key holds" in str(session.scalars(select(Account.stop_reason)).one())
        assert key.strip() not in str(session.scalars(select(Account.stop_reason)).one())
    assert len(silent_provider.asked) == 0


def test_a_call_whose_turn_would_come_too_late_is_not_sent_and_nobody_waits_for_it(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        factories.account(session, now, base_url=silent_provider.url)
        call_id = claimed(session, now)
        session.execute(update(Pace).values(left_at=clock.read(session).real + timedelta(days=1)))
    place_calls(str(call_id))
    with db.transaction(working_database) as session:
        assert session.get_one(Call, call_id).state is CallState.NOT_PLACED
        assert session.scalars(select(Prospect.state)).one() is ProspectState.WAITING
    assert silent_provider.asked == []


def test_a_provider_that_hangs_up_leaves_the_call_unknown(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        factories.account(session, now, base_url=silent_provider.url)
        call_id = claimed(session, now)
    place_calls(str(call_id))
    place_calls(str(call_id))
    assert len(silent_provider.asked) == 1
    with db.transaction(working_database) as session:
        assert session.get_one(Call, call_id).state is CallState.UNKNOWN


def test_a_provider_that_is_away_is_left_alone_until_it_answers(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        account = factories.account(session, now, base_url=silent_provider.url)
    for asked in (1, 2, 3):
        with db.transaction(working_database) as session:
            call_id = claimed(session, now)
        assert pauses(working_database) is None
        place_calls(str(call_id))
        assert len(silent_provider.asked) == asked
    pause = pauses(working_database)
    assert pause is not None
    assert timedelta(seconds=4) < pause <= timedelta(seconds=5)
    with db.transaction(working_database) as session:
        assert "of none of the last 3 requests" in " ".join(each.what for each in warning.troubles(session))
        moment = clock.read(session)
        assert dispatching.claim_due(session, account.id, now=now, real=moment.real, timing=Timing()) == []
        doubting.trust(session, account.id, real=moment.real)
        assert warning.troubles(session) == []


def pauses(database: str) -> timedelta | None:
    """For how long nothing is sent."""
    with db.transaction(database) as session:
        until = session.scalars(select(Pace.backoff_until)).one()
        return None if until is None else until - clock.read(session).real


def test_a_key_that_is_changed_is_the_one_that_is_used_from_then_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAPI_API_KEY", raising=False)
    account = AccountDefinition.model_validate(factories.ACCOUNT)
    Path(".env").write_text("VAPI_API_KEY=wrong\n")
    first = client(account)
    assert client(account) is first
    Path(".env").write_text("VAPI_API_KEY=mended\n")
    assert client(account) is not first
