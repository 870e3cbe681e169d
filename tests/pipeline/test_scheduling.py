"""The life of a campaign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from campaigns import clock, db, ledger
from campaigns.errors import NotAllowed, UnknownName
from campaigns.models import Account, Call, Change, PhoneNumber, Prospect, Rehearsal
from campaigns.pipeline import defining, exporting, halting, reporting, scheduling, warning
from campaigns.pipeline.tracing import waiting
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.advancing import advance
from tests.pipeline.waiting import held_up


def command(session: Session, wanted: Command, now: datetime, why: str | None = None) -> CampaignState:
    return scheduling.command(session, "spring", wanted, who="ada", now=now, why=why)


def apply(session: Session, now: datetime, **changes: Any) -> defining.Applied:
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN | changes)
    return defining.apply_campaign(session, definition, who="ada", now=now)


def everybody(session: Session) -> list[Prospect]:
    return list(session.scalars(select(Prospect).order_by(Prospect.id)))


def test_applying_the_same_file_twice_changes_nothing(session: Session, now: datetime) -> None:
    factories.account(session, now)
    first, second = apply(session, now), apply(session, now)
    assert first.created
    assert not second.created
    assert second.changed == ()
    assert second.id == first.id


def test_a_change_is_kept_in_the_audit(session: Session, now: datetime) -> None:
    factories.account(session, now)
    apply(session, now)
    assert apply(session, now, weight=3).changed == ("weight",)
    last = session.scalars(select(Change).where(Change.subject == "campaign:spring").order_by(Change.id.desc())).first()
    assert last is not None
    assert (last.who, last.what) == ("ada", "apply")
    assert last.before is not None
    assert last.after is not None
    assert (last.before["weight"], last.after["weight"]) == (1, 3)


def test_the_definition_survives_the_database(session: Session, now: datetime) -> None:
    factories.account(session, now)
    definition = CampaignDefinition.model_validate(
        factories.CAMPAIGN
        | {
            "windows": "Mon-Fri 09:00-12:00, 13:30-20:00; Sat 10:00-16:00",
            "ends_at": now,
            "max_duration": "3m",
            "retry": {"no_answer": ["90s", "1d"], "counts": ["no_answer"]},
        }
    )
    applied = defining.apply_campaign(session, definition, who="ada", now=now)
    session.expire_all()
    stored = session.get_one(scheduling.Campaign, applied.id).definition
    assert CampaignDefinition.model_validate(stored) == definition


def test_caller_numbers_are_kept_once(session: Session, now: datetime) -> None:
    factories.account(session, now)
    apply(session, now, phone_number_ids=["a", "b"])
    apply(session, now, phone_number_ids=["b", "c"])
    assert sorted(session.scalars(select(PhoneNumber.provider_id))) == ["a", "b", "c"]


def test_a_campaign_needs_its_account(session: Session, now: datetime) -> None:
    with pytest.raises(UnknownName, match="account 'nobody' does not exist"):
        apply(session, now, account="nobody")


def test_a_finished_campaign_is_not_changed(session: Session, now: datetime) -> None:
    factories.campaign(session, now, state=CampaignState.COMPLETED)
    with pytest.raises(NotAllowed, match="is completed"):
        apply(session, now, weight=2)


def test_the_life_of_a_campaign(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    with pytest.raises(NotAllowed, match="nobody to call"):
        command(session, Command.START, now)
    factories.prospect(session, campaign, now, state=ProspectState.HELD)
    with pytest.raises(NotAllowed, match="nobody to call: everybody is held or done"):
        command(session, Command.START, now)
    session.execute(delete(Prospect))
    factories.prospect(session, campaign, now)
    assert command(session, Command.START, now) is CampaignState.RUNNING
    assert command(session, Command.PAUSE, now, why="lunch") is CampaignState.PAUSED
    with pytest.raises(NotAllowed, match="campaign spring is paused: `outbound campaign resume spring`"):
        command(session, Command.START, now)
    assert command(session, Command.PAUSE, now) is CampaignState.PAUSED  # whoever was slower is told that it is
    assert campaign.state_why == "lunch"
    assert command(session, Command.RESUME, now) is CampaignState.RUNNING
    assert command(session, Command.CANCEL, now) is CampaignState.CANCELLED
    assert [person.state for person in everybody(session)] == [ProspectState.CANCELLED]
    assert command(session, Command.CANCEL, now) is CampaignState.CANCELLED
    for wanted in (Command.START, Command.PAUSE, Command.RESUME):
        with pytest.raises(NotAllowed, match="campaign spring is cancelled: it is over"):
            command(session, wanted, now)
    done = session.scalars(select(Change.what).where(Change.subject == "campaign:spring").order_by(Change.id)).all()
    assert done[-4:] == ["start", "pause", "resume", "cancel"]


def test_a_campaign_with_a_start_time_waits_for_it(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT, starts_at=now + timedelta(hours=1))
    factories.prospect(session, campaign, now)
    assert command(session, Command.START, now) is CampaignState.SCHEDULED
    assert advance(session, now=now + timedelta(minutes=59)) == []
    assert advance(session, now=now + timedelta(hours=1)) == [("spring", CampaignState.RUNNING)]


def test_a_scheduled_campaign_whose_start_time_is_taken_away_starts_at_once(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT, starts_at=now + timedelta(hours=1))
    factories.prospect(session, campaign, now)
    assert command(session, Command.START, now) is CampaignState.SCHEDULED
    apply(session, now)
    assert advance(session, now=now) == [("spring", CampaignState.RUNNING)]


@pytest.mark.parametrize("way", ["cancelled", "ended", "completed"])
def test_a_large_campaign_is_closed_lot_by_lot(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(scheduling, "CLOSE_LOT", 2)
    campaign = factories.campaign(session, now, ends_at=now + timedelta(hours=1) if way == "ended" else None)
    state = ProspectState.HELD if way == "completed" else ProspectState.WAITING
    for _ in range(5):
        factories.prospect(session, campaign, now, state=state)
    later = now + timedelta(hours=1)

    def pass_() -> int:
        """How many people one transaction closes."""
        before = sum(person.state is state for person in everybody(session))
        advance(session, now=later)
        ledger.write_tallies(session)
        return before - sum(person.state is state for person in everybody(session))

    closed = []
    if way == "cancelled":
        command(session, Command.CANCEL, later)
        ledger.write_tallies(session)
        closed.append(sum(person.state is not state for person in everybody(session)))
    closed += [pass_() for _ in range(4 - len(closed))]
    assert closed == [2, 2, 1, 0]
    final = ProspectState.CANCELLED if way == "cancelled" else ProspectState.EXPIRED
    assert {person.state for person in everybody(session)} == {final}
    assert campaign.state is (CampaignState.CANCELLED if way == "cancelled" else CampaignState.COMPLETED)


def test_a_campaign_completes_when_nobody_is_left_and_the_held_expire(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    last = factories.prospect(session, campaign, now)
    held = factories.prospect(session, campaign, now, state=ProspectState.HELD, state_why="no_consent: none")
    in_review = factories.prospect(session, campaign, now, state=ProspectState.REVIEW)
    assert advance(session, now=now) == []
    ledger.set_state(last, ProspectState.COMPLETED, now=now)
    ledger.write_tallies(session)
    assert advance(session, now=now) == [("spring", CampaignState.COMPLETED)]
    assert held.state is ProspectState.EXPIRED
    assert held.state_why is not None
    assert held.state_why.endswith("no_consent: none")
    assert in_review.state is ProspectState.REVIEW
    ledger.write_tallies(session)
    progress = reporting.progress(session, campaign, now=now)
    assert dict(progress.prospects) == {"completed": 1, "expired": 1, "review": 1}


@pytest.mark.parametrize("state", [ProspectState.IN_CALL, ProspectState.SETTLING, ProspectState.WAITING])
def test_a_campaign_does_not_complete_while_somebody_is_open(
    session: Session, now: datetime, state: ProspectState
) -> None:
    factories.prospect(session, factories.campaign(session, now), now, state=state)
    assert advance(session, now=now) == []


def test_the_end_time_leaves_the_rest_expired(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, ends_at=now + timedelta(hours=1))
    waiting = factories.prospect(session, campaign, now)
    busy = factories.prospect(session, campaign, now, state=ProspectState.IN_CALL)
    held = factories.prospect(session, campaign, now, state=ProspectState.HELD, state_why="no_rule: none for XX")
    assert advance(session, now=now + timedelta(hours=1)) == []
    assert (waiting.state, waiting.state_why) == (ProspectState.EXPIRED, "the campaign ended first; was waiting")
    assert held.state_why == "the campaign ended first; was held: no_rule: none for XX"
    assert busy.state is ProspectState.IN_CALL


@pytest.mark.parametrize("state", [CampaignState.SCHEDULED, CampaignState.PAUSED, CampaignState.RUNNING])
def test_a_campaign_whose_end_comes_completes_whatever_it_was(
    session: Session, now: datetime, state: CampaignState
) -> None:
    campaign = factories.campaign(session, now, state=state, ends_at=now)
    factories.prospect(session, campaign, now)
    assert advance(session, now=now) == [("spring", CampaignState.COMPLETED)]
    ledger.write_tallies(session)
    assert dict(reporting.progress(session, campaign, now=now).prospects) == {"expired": 1}
    assert campaign.state_why == "its end time came"
    audit = session.scalars(select(Change).where(Change.what == "completed")).one()
    assert (audit.who, audit.before) == ("outbound", {"state": state})


@pytest.mark.parametrize("state", [CampaignState.DRAFT, CampaignState.PAUSED])
def test_a_campaign_that_is_over_is_not_started(session: Session, now: datetime, state: CampaignState) -> None:
    campaign = factories.campaign(session, now, state=state, ends_at=now - timedelta(minutes=1))
    factories.prospect(session, campaign, now)
    wanted = Command.START if state is CampaignState.DRAFT else Command.RESUME
    with pytest.raises(NotAllowed, match="campaign spring ended at 2027-03-02 14:59 UTC: give it a later ends_at"):
        command(session, wanted, now)
    apply(session, now, ends_at=now + timedelta(days=1))
    assert command(session, wanted, now) is CampaignState.RUNNING


def test_whoever_a_campaign_left_is_named_and_exported_with_why(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, ends_at=now)
    factories.prospect(session, campaign, now, state_why="again after busy")
    advance(session, now=now)
    session.flush()
    (listed,) = waiting.people(session, campaign.id, state=ProspectState.EXPIRED, incidents=False, limit=10, now=now)
    (row,) = exporting.page(session, campaign.id).rows
    why = "the campaign ended first; was waiting: again after busy"
    assert (listed.state, listed.reason) == ("expired", why)
    assert (row["state"], row["reason"]) == ("expired", why)


def test_whoever_becomes_waiting_after_a_cancel_is_still_cancelled(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.CANCELLED)
    late = factories.prospect(session, campaign, now)
    advance(session, now=now)
    assert late.state is ProspectState.CANCELLED


def test_a_wider_window_makes_people_due_earlier(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, windows="Mon-Sun 12:00-20:00")
    person = factories.prospect(session, campaign, now, due_at=datetime(2027, 3, 2, 17, tzinfo=UTC))
    held = factories.prospect(session, campaign, now, state=ProspectState.HELD)
    apply(session, now, windows="Mon-Sun 11:00-20:00")
    assert scheduling.reschedule(session, campaign.id, after_id=0, limit=10, now=now) is None
    assert person.due_at == datetime(2027, 3, 2, 16, tzinfo=UTC)
    assert held.state is ProspectState.WAITING


def test_rescheduling_goes_on_where_it_stopped(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    people = [factories.prospect(session, campaign, now) for _ in range(3)]
    assert scheduling.reschedule(session, campaign.id, after_id=0, limit=2, now=now) == people[1].id
    assert scheduling.reschedule(session, campaign.id, after_id=people[1].id, limit=2, now=now) is None


def test_what_is_in_flight_after_a_stop_is_named(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    calls: dict[CallState, Call] = {}
    for state in CallState:
        calls[state] = factories.call(session, factories.prospect(session, campaign, now), now, state=state)
    named = {state for _, state in scheduling.still_in_flight(session, campaign.id)}
    elsewhere = factories.campaign(session, now, name="elsewhere")
    assert scheduling.still_in_flight(session, elsewhere.id) == []
    assert len(scheduling.still_in_flight(session, None)) == len(named)
    assert named == {
        CallState.PLACING,
        CallState.UNKNOWN,
        CallState.QUEUED,
        CallState.RINGING,
        CallState.IN_PROGRESS,
        CallState.FORWARDING,
    }


def test_a_stopped_account_starts_again_when_its_file_is_applied(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    halting.stop_account(session, account.id, "the key is refused", now=now)
    assert [each.what for each in warning.troubles(session)] == ["account main is stopped: the key is refused"]
    definition = AccountDefinition.model_validate(factories.ACCOUNT)
    again = defining.apply_account(session, definition, who="ada", now=now, real=now)
    assert again.changed == ("it may dial again",)
    assert session.get_one(Account, account.id).stop_reason is None
    assert warning.troubles(session) == []


def test_a_rehearsal_is_refused_for_a_real_provider(session: Session, now: datetime) -> None:
    factories.account(session, now)
    started_at = clock.rehearse(session, origin_at=now, speed=60)
    session.flush()
    moment = clock.read(session)
    assert moment.now - now == (moment.real - started_at) * 60
    session.execute(delete(Rehearsal))
    factories.account(session, now, name="real", base_url="https://api.vapi.ai")
    with pytest.raises(NotAllowed, match=r"api\.vapi\.ai"):
        clock.rehearse(session, origin_at=now, speed=60)


def test_a_real_account_is_refused_while_a_rehearsal_moves_the_clock(session: Session, now: datetime) -> None:
    clock.rehearse(session, origin_at=now, speed=60)
    factories.account(session, now)
    with pytest.raises(NotAllowed, match=r"account main talks to https://api\.vapi\.ai, but the clock"):
        factories.account(session, now, base_url="https://api.vapi.ai")
    with pytest.raises(NotAllowed, match="rehearsal"):
        factories.account(session, now, name="real", base_url="https://api.vapi.ai")
    assert session.scalars(select(Account.name)).all() == ["main"]


def test_a_rehearsal_and_a_real_account_cannot_begin_side_by_side(database: str, now: datetime) -> None:
    def apply(session: Session) -> None:
        session.connection().exec_driver_sql("SET LOCAL lock_timeout = '300ms'")
        factories.account(session, now, base_url="https://api.vapi.ai")

    def rehearse(session: Session) -> None:
        session.connection().exec_driver_sql("SET LOCAL lock_timeout = '300ms'")
        clock.rehearse(session, origin_at=now, speed=60)

    with db.transaction(database) as rehearsing:
        rehearse(rehearsing)
        with pytest.raises(OperationalError, match="lock timeout"), db.transaction(database) as session:
            apply(session)
        with db.transaction(database) as session:
            assert clock.read(session).speed == 1.0  # whoever reads the clock waits for nobody
        rehearsing.rollback()

    def begin() -> None:
        with db.transaction(database) as session:
            clock.rehearse(session, origin_at=now, speed=60)

    with db.transaction(database) as applying:
        apply(applying)
        with held_up(database, begin) as rehearsal:
            applying.commit()
    with pytest.raises(NotAllowed):
        rehearsal.result()  # it looked at the accounts after the wait, not before


def test_without_a_rehearsal_the_clock_is_the_databases(session: Session) -> None:
    moment = clock.read(session)
    assert moment.now == moment.real
    assert abs(moment.real - datetime.now(UTC)) < timedelta(minutes=1)
