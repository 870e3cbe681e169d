"""A list that comes again: corrected, resent, changed, or into another campaign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.lists.opening import Wishes
from campaigns.models import Campaign, Consent, Person, Prospect
from campaigns.pipeline.importing.sorting import Options
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import bring, counts, people

UPDATE = Wishes(options=Options(update=True))
REFUSE = Wishes(options=Options(refuse_elsewhere=True))


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def test_an_update_changes_those_who_were_not_called_yet(session: Session, campaign: Campaign, now: datetime) -> None:
    bring(
        session, campaign, b"phone,name,plan\n+12125550101,Ana,Gold\n+12125550102,Bo,Gold\n+12125550103,Cy,Gold\n", now
    )
    called = people(session, campaign)["+12125550102"]
    called.calls = called.attempts = 1
    session.flush()
    content = (
        b"phone,name,plan,zone\n+12125550101,Ann,Lead,America/Denver\n+12125550102,Bob,Lead,\n+12125550103,Cy,Gold,\n"
    )
    later = now + timedelta(minutes=1)
    report, _ = bring(session, campaign, content, later, UPDATE)
    assert (report.new, report.updated, report.already_there) == (0, 1, 2)
    found = people(session, campaign)
    assert (found["+12125550101"].name, found["+12125550101"].variables) == ("Ann", {"plan": "Lead"})
    assert found["+12125550101"].zones == ["America/Denver"]
    assert found["+12125550101"].changed_at == later
    assert (found["+12125550102"].name, found["+12125550102"].variables) == ("Bo", {"plan": "Gold"})
    assert bring(session, campaign, content, later, UPDATE)[0].updated == 0


@pytest.mark.parametrize("state", sorted(set(ProspectState) - {ProspectState.WAITING, ProspectState.HELD}))
def test_an_update_changes_nobody_who_is_being_called_or_is_done(
    session: Session, campaign: Campaign, now: datetime, state: ProspectState
) -> None:
    bring(session, campaign, b"phone,name,id\n+12125550101,Ana,x\n", now)
    claimed = people(session, campaign)["+12125550101"]  # the request has not left yet: no call is counted
    ledger.set_state(claimed, state, now=now)
    session.flush()
    for content in (b"phone,name\n+12125550101,Ann\n", b"phone,name,id\n+12125550109,Ann,x\n"):
        assert bring(session, campaign, content, now, UPDATE)[0].updated == 0
    assert [(number, who.name) for number, who in people(session, campaign).items()] == [("+12125550101", "Ana")]


def test_an_update_works_out_anew_when_somebody_is_due(session: Session, campaign: Campaign, now: datetime) -> None:
    bring(session, campaign, b"phone\n+8613812345678\n", now)
    assert people(session, campaign)["+8613812345678"].state is ProspectState.HELD
    bring(session, campaign, b"phone\n+12125550101\n", now)
    due = people(session, campaign)["+12125550101"].due_at
    assert due is not None
    wish = (due + timedelta(days=2)).isoformat().encode()
    bring(session, campaign, b"phone,not before\n+12125550101," + wish + b"\n", now, UPDATE)
    assert people(session, campaign)["+12125550101"].due_at == due + timedelta(days=2)


def test_without_update_a_list_that_comes_again_changes_nobody(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    bring(session, campaign, b"phone,name\n+12125550101,Ana\n", now)
    report, _ = bring(session, campaign, b"phone,name\n+12125550101,Ann\n", now)
    assert counts(report) == (0, 1, 0)
    assert people(session, campaign)["+12125550101"].name == "Ana"


def test_an_id_is_somebodys_and_only_an_update_gives_them_another_number(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    bring(session, campaign, b"id,phone\nc-1,+12125550101\n", now)
    resent = b"id,phone\nc-1,+12125550101\nc-2,+12125550102\n"
    assert counts(bring(session, campaign, resent, now)[0]) == (1, 1, 0)
    moved = b"id,phone\nc-1,+12125550103\n"
    report, (row,) = bring(session, campaign, moved, now)
    assert counts(report) == (0, 0, 1)
    assert (row["rejected_column"], row["rejected_value"]) == ("id", "c-1")
    assert row["rejected_reason"].startswith("is the id of another number in the campaign")
    report, _ = bring(session, campaign, moved, now, UPDATE)
    assert (report.new, report.updated, report.rejected) == (0, 1, 0)
    found = people(session, campaign)
    assert sorted(found) == ["+12125550102", "+12125550103"]
    assert found["+12125550103"].external_id == "c-1"


def test_what_an_update_has_no_column_for_stays(session: Session, campaign: Campaign, now: datetime) -> None:
    first = b"phone,name,id,zone,not before,plan,note\n+12125550101,Ana,x,America/Denver,2027-09-01,Gold,old\n"
    bring(session, campaign, first, now)
    before = people(session, campaign)["+12125550101"]
    kept = (before.external_id, before.zones, before.not_before, before.due_at)
    assert bring(session, campaign, b"phone,name,note\n+12125550101,Ann,\n", now, UPDATE)[0].updated == 1
    found = people(session, campaign)["+12125550101"]
    assert (found.name, found.variables) == ("Ann", {"plan": "Gold"})
    assert (found.external_id, found.zones, found.not_before, found.due_at) == kept


def test_an_update_that_brings_consent_frees_who_was_held_for_want_of_it(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    bring(session, campaign, b"phone\n+12125550101\n", now)
    assert people(session, campaign)["+12125550101"].state is ProspectState.HELD
    content = b"phone,consent source,consent level\n+12125550101,web form,written\n"
    assert [bring(session, campaign, content, now, UPDATE)[0].updated for _ in range(2)] == [1, 0]
    assert people(session, campaign)["+12125550101"].state is ProspectState.WAITING


def test_whoever_is_twice_on_a_list_is_not_said_to_be_there_where_the_first_row_is_rejected(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    bring(session, campaign, b"phone,id\n+12125550101,X\n", now)
    report, rejected = bring(session, campaign, b"phone,id\n+12125550102,X\n+12125550102,\n", now)
    assert (report.new, report.already_there, report.rejected) == (0, 0, 2)
    assert rejected[1]["rejected_reason"].startswith("is the number of a row further up, which is rejected")


def test_an_id_that_two_of_the_list_would_need_is_neithers(session: Session, campaign: Campaign, now: datetime) -> None:
    bring(session, campaign, b"phone,id\n+12125550101,x\n+12125550102,y\n", now)
    content = b"phone,id,plan\n+12125550101,y,Gold\n"  # it is the other's, who is not on this list
    report, rejected = bring(session, campaign, content, now, UPDATE)
    assert (report.updated, report.rejected) == (0, 1)
    assert rejected[0]["rejected_reason"].endswith("give each number an id of its own")
    content = b"phone,id,plan\n+12125550101,z,Gold\n+12125550103,x,Lead\n"  # the one gives it up, the other wants it
    report, rejected = bring(session, campaign, content, now, UPDATE)
    assert (report.new, report.updated, report.rejected) == (0, 1, 1)
    assert rejected[0]["rejected_line"] == "3"
    found = {number: (who.external_id, who.variables) for number, who in people(session, campaign).items()}
    assert found == {"+12125550101": ("z", {"plan": "Gold"}), "+12125550102": ("y", {})}
    report, _ = bring(session, campaign, content, now, UPDATE)  # by now it is free
    assert (report.new, report.already_there) == (1, 1)


def test_somebody_who_was_called_keeps_the_number_that_was_called(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    bring(session, campaign, b"id,phone\nc-1,+12125550101\n", now)
    people(session, campaign)["+12125550101"].calls = 1
    session.flush()
    report, _ = bring(session, campaign, b"id,phone\nc-1,+12125550103\n", now, UPDATE)
    assert counts(report) == (0, 0, 1)
    assert sorted(people(session, campaign)) == ["+12125550101"]


@pytest.mark.parametrize(("wishes", "new", "rejected"), [(None, 2, 0), (REFUSE, 1, 1)])
def test_people_whom_another_running_campaign_calls_are_counted_or_refused(
    session: Session, campaign: Campaign, now: datetime, wishes: Wishes | None, new: int, rejected: int
) -> None:
    other = factories.campaign(session, now, name="other", state=CampaignState.RUNNING)
    bring(session, other, b"phone\n+12125550101\n+12125550109\n", now)
    paused = factories.campaign(session, now, name="paused", state=CampaignState.PAUSED)
    bring(session, paused, b"phone\n+12125550102\n", now)
    bring(session, campaign, b"phone\n+12125550109\n", now)
    content = b"phone\n+12125550101\n+12125550102\n+12125550109\n"
    report, rows = bring(session, campaign, content, now, wishes or Wishes())
    assert counts(report) == (new, 1, rejected)
    assert report.elsewhere == (0 if wishes else 1)
    assert [row["rejected_reason"] for row in rows] == ["is called by the running campaign other"] * rejected


def test_what_a_row_brings_of_consent_is_kept_once(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    content = (
        b"phone,consent source,consent date,consent level,consent expires\n"
        b"+12125550101,web form,2026-01-05,written,2028-01-05\n+12125550102,,,,\n+12125550103,no,,,\n"
    )
    bring(session, campaign, content, now)
    bring(session, campaign, content, now, UPDATE)
    found = session.execute(select(Consent.source, Consent.level, Consent.expires_at).order_by(Consent.id)).all()
    assert found == [("web form", "written", datetime(2028, 1, 5, tzinfo=UTC)), ("the list", "none", None)]
    states = {number: row.state for number, row in people(session, campaign).items()}
    held = ProspectState.HELD
    assert states == {"+12125550101": ProspectState.WAITING, "+12125550102": held, "+12125550103": held}


def test_the_kind_of_line_is_kept(session: Session, campaign: Campaign, now: datetime) -> None:
    bring(session, campaign, b"phone\n+4915123456789\n+4930901820\n", now)
    kinds = dict(session.execute(select(Person.number, Person.kind)).all())
    assert kinds == {"+4915123456789": "mobile", "+4930901820": "fixed_line"}


def test_what_a_row_wishes_is_kept(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b'phone,language,priority,overrides\n+12125550101,es,7,"{""firstMessage"":""Hola""}"\n'
    bring(session, campaign, content, now, Wishes(overridable=frozenset({"firstMessage"})))
    row = session.scalars(select(Prospect)).one()
    assert (row.language, row.priority, row.overrides) == ("es", 7, {"firstMessage": "Hola"})
