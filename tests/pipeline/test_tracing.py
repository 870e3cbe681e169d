"""One person's whole story: in order, with every decision and its reason, and by whom."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, event, func, insert, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.errors import InvalidInput, UnknownName
from campaigns.models import Campaign, Change, Consent, Event, Outcome, Person, Prospect, Ruling, Suppression
from campaigns.pipeline import defining, scheduling, suppressing, tracing
from campaigns.pipeline.tracing import Story
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from tests import factories

NUMBER = "+12125550101"


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def told(session: Session, now: datetime, number: str = NUMBER) -> list[Story]:
    ledger.write_rulings(session)
    person = tracing.find_person(session, number, number=number)
    return list(tracing.trace(session, person, now=now).stories)


def detail(stories: list[Story], what: str) -> list[str]:
    return [story.detail for story in stories if story.what == what]


def test_a_story_is_told_in_the_order_it_happened(session: Session, now: datetime) -> None:
    later = factories.campaign(session, now, name="later")
    earlier = factories.campaign(session, now, name="earlier")

    def minute(number: int) -> datetime:
        return now + timedelta(minutes=number)

    first = factories.prospect(session, earlier, minute(0), e164=NUMBER, due_at=minute(60))
    call = factories.call(session, first, minute(2), state=CallState.ENDED, settled_at=minute(5))
    session.add_all(
        [
            Event(
                account_id=call.account_id,
                call_id=call.id,
                learned="pushed",
                type="end-of-call-report",
                dedupe_key="1",
                body={},
                received_at=minute(4),
                effect="move to ended",
            ),
            Outcome(
                call_id=call.id,
                campaign_id=earlier.id,
                prospect_id=first.id,
                outcome=OutcomeClass.OPTED_OUT,
                ended_reason="customer-ended-call",
                answered=True,
                duration_seconds=31.4,
                learned="pushed",
                complete=True,
                created_at=minute(4),
                changed_at=minute(4),
            ),
            Suppression(person_id=first.person_id, reason="said so in the call", created_at=minute(6)),
        ]
    )
    factories.prospect(session, later, minute(7), e164=NUMBER, state=ProspectState.SUPPRESSED)
    stories = told(session, minute(8))
    assert [(story.campaign, story.what) for story in stories if story.who != "test"] == [
        ("earlier", "imported"),
        ("earlier", "call claimed"),
        ("earlier", "call intended"),
        ("earlier", "Vapi said"),
        ("earlier", "settled: opted_out"),
        ("every campaign", "do not call"),
        ("later", "imported"),
        ("earlier", "is in_call"),
        ("later", "is suppressed"),
    ]
    assert detail(stories, "imported")[0] == "line 2 of list.csv; America/New_York"
    assert detail(stories, "Vapi said") == ["end-of-call-report: the call is now ended"]
    assert detail(stories, "settled: opted_out") == ["customer-ended-call, a person answered, 31 s"]
    assert [story.at for story in stories] == sorted(story.at for story in stories)


def test_it_ends_with_when_the_next_call_is_due_and_why_then(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    wish = now + timedelta(hours=7, minutes=30)  # 17:30 in New York, 14:30 in Los Angeles
    factories.prospect(session, campaign, now, e164=NUMBER, not_before=wish, due_at=wish, calls=1, attempts=1,
                       state_why="again after busy")  # fmt: skip
    stories = told(session, now)
    assert stories[-1].what == "is waiting"
    assert stories[-1].due_at == wish
    assert stories[-1].detail == (
        "next call at 2027-03-02 17:30 America/New_York (22:30 UTC), "
        "because again after busy: not before 2027-03-02 17:30 America/New_York (22:30 UTC)"
    )


def test_a_wish_outside_the_hours_is_told_with_whose_hours_they_are(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, windows="Mon-Sun 00:00-24:00")
    wish = now + timedelta(hours=13)  # 23:00 in New York
    morning = now + timedelta(hours=22)
    factories.prospect(session, campaign, now, e164=NUMBER, not_before=wish, due_at=morning, calls=1, attempts=1,
                       state_why="again after voicemail")  # fmt: skip
    (last,) = [story for story in told(session, now) if story.what == "is waiting"]
    assert last.due_at == morning
    assert last.detail.startswith("next call at 2027-03-03 08:00 America/New_York (13:00 UTC), because ")
    assert "United States" in last.detail
    assert "08:00-21:00, and it is Tue 23:00 in America/New_York then" in last.detail
    assert "again after voicemail: not before 2027-03-02 23:00 America/New_York (03-03 04:00 UTC)" in last.detail


def test_who_is_due_in_a_paused_campaign_is_told_that_nobody_is_called(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    factories.prospect(session, campaign, now, e164=NUMBER)
    scheduling.command(session, "spring", Command.PAUSE, who="ada", now=now, why="wrong script")
    stories = told(session, now)
    assert detail(stories, "pause by ada") == ["state running → paused: wrong script"]
    assert stories[-1].detail.endswith("nobody is called now: the campaign is paused")


def test_every_decision_is_there_with_its_reason_and_none_twice(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    someone = factories.prospect(session, campaign, now, e164=NUMBER)
    why = "person_in_call: another call to this person is open"
    for minute in range(5):  # looked at each minute, and each time with the same result
        at = now + timedelta(minutes=minute)
        ledger.set_state(someone, ProspectState.WAITING, now=at, due_at=at + timedelta(minutes=1), why=why)
    night = now + timedelta(hours=22)
    ledger.set_state(someone, ProspectState.WAITING, now=at, due_at=night, why="outside_window: outside the hours")
    ledger.set_state(someone, ProspectState.IN_CALL, now=night)
    ledger.set_state(someone, ProspectState.SETTLING, now=night)
    ledger.set_state(someone, ProspectState.HELD, now=night, why="no_consent: consent is needed here")
    ledger.set_state(someone, ProspectState.HELD, now=night, why="no_consent: consent is needed here")
    ledger.set_state(someone, ProspectState.EXPIRED, now=night, why="the campaign ended first")
    decided = [story for story in told(session, night) if story.what.startswith("decided: ")]
    assert [(story.what, story.detail.partition(";")[0]) for story in decided] == [
        ("decided: waiting", "another call to this person is open"),
        ("decided: waiting", "outside the hours"),
        ("decided: held", "consent is needed here"),
        ("decided: expired", "the campaign ended first"),
    ]
    assert decided[1].detail.endswith("next call at 2027-03-03 08:00 America/New_York (13:00 UTC)")
    session.execute(delete(Prospect).where(Prospect.id == someone.id))
    assert session.scalar(select(func.count()).select_from(Ruling)) == 0  # gone with the prospect


def test_what_the_import_decided_is_kept_once_it_is_another(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    held = "no_consent: consent is needed here and none is recorded"
    someone = factories.prospect(session, campaign, now, e164=NUMBER, state=ProspectState.HELD, state_why=held)
    later = now + timedelta(hours=1)
    scheduling.reschedule(session, campaign.id, after_id=0, limit=10, now=later)
    assert someone.state is ProspectState.WAITING
    decided = [story for story in told(session, later) if story.what.startswith("decided: ")]
    assert [(story.at, story.what, story.detail.partition(";")[0]) for story in decided] == [
        (now, "decided: held", "consent is needed here and none is recorded"),
        (later, "decided: waiting", "held before: the campaign or the rules changed"),
    ]


def test_an_edit_that_moves_nobody_writes_nothing_and_a_retry_stays_one(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    again = factories.prospect(session, campaign, now, due_at=now, state_why="again after busy")
    opening = now + timedelta(hours=23)
    tomorrow = {"due_at": opening, "not_before": opening}
    for _ in range(3):
        factories.prospect(session, campaign, now, **tomorrow)
    scheduling.reschedule(session, campaign.id, after_id=0, limit=10, now=now + timedelta(minutes=5))
    assert session.info.get("rulings", []) == []
    assert again.state_why == "again after busy"


def test_who_did_what_to_the_campaign_the_rules_and_the_person_is_told(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    someone = factories.prospect(session, campaign, now, e164=NUMBER)
    call = factories.call(session, someone, now, state=CallState.REVIEW)
    at = now + timedelta(minutes=1)

    def change(what: str, subject: str, **values: object) -> None:
        session.add(Change(at=at, who="ada", what=what, subject=subject, **values))

    change("loosen", "rule:US-NY", after={"until": "22:00"}, why="counsel agreed")
    change("loosen", "rule:US-FL", why="of somewhere else")
    change("freeze", "account:main", why="lunch")
    change("decide", f"call:{call.id}", after={"result": "busy"}, why="heard it")
    defining.apply_campaign(session, _edited(windows="Mon-Fri 09:00-17:00"), who="ada", now=at)
    session.add(Consent(person_id=someone.person_id, source="web form", obtained_at=now, proof="form 7", created_at=at))
    suppressing.suppress(session, NUMBER, campaign_id=campaign.id, reason="by mail", who="bob", now=at)
    suppressing.lift(session, NUMBER, campaign_id=campaign.id, who="eve", why="in writing", now=at)
    stories = {story.what: story for story in told(session, at) if story.at == at}
    assert stories["loosen rule US-NY by ada"].detail == "until 22:00: counsel agreed"
    assert "loosen rule US-FL by ada" not in stories
    assert stories["freeze account main by ada"].detail == "lunch"
    assert stories["decide by ada"].detail == "busy: heard it"
    assert stories["apply by ada"].detail == "windows Mon-Sun 09:00-20:00 → Mon-Fri 09:00-17:00"
    assert stories["consent recorded"].detail == "source: web form, given 2027-03-02 15:00 UTC, proof: form 7"
    assert stories["do not call by bob"].detail == "by mail"
    assert stories["may be called again by eve"].detail == "in writing"


def _edited(**changes: object) -> CampaignDefinition:
    return CampaignDefinition.model_validate(factories.CAMPAIGN | changes)


def test_somebody_is_found_by_number_and_by_the_id_that_a_list_gave(session: Session, now: datetime) -> None:
    campaigns = [factories.campaign(session, now, name=name) for name in ("one", "two", "three")]
    ada = factories.prospect(session, campaigns[0], now, e164=NUMBER, external_id="C-1")
    factories.prospect(session, campaigns[1], now, e164=NUMBER, external_id="C-1")
    bob = factories.prospect(session, campaigns[1], now, external_id="C-2")
    eve = factories.prospect(session, campaigns[2], now, external_id="C-2")
    assert tracing.find_person(session, "whatever", number=NUMBER).id == ada.person_id
    assert tracing.find_person(session, "C-1", number=None).id == ada.person_id
    assert tracing.find_person(session, "C-2", number=None, campaign_id=campaigns[2].id).id == eve.person_id
    assert bob.person_id != eve.person_id
    with pytest.raises(InvalidInput, match="several people have the id C-2: say with --campaign whose"):
        tracing.find_person(session, "C-2", number=None)
    with pytest.raises(UnknownName, match="nobody with that number"):
        tracing.find_person(session, "C-3", number="+12125550199")


@pytest.mark.parametrize("is_known", [False, True], ids=["a number that nobody knows", "one that no campaign took"])
def test_a_number_that_has_no_story_was_never_imported(session: Session, now: datetime, *, is_known: bool) -> None:
    if is_known:
        session.add(Person(number=NUMBER, created_at=now))
    with pytest.raises(UnknownName, match="nobody with that number was ever imported"):
        told(session, now)


def test_a_long_story_takes_no_more_queries_than_a_short_one(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    def queries(number: str) -> int:
        session.expire_all()
        asked: list[str] = []
        connection = session.connection()

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(connection, "before_cursor_execute", note)
        told(session, now, number)
        event.remove(connection, "before_cursor_execute", note)
        return len(asked)

    factories.prospect(session, campaign, now, e164="+12125550102")
    for name in ("spring", "summer", "autumn"):
        place = campaign if name == "spring" else factories.campaign(session, now, name=name)
        someone = factories.prospect(session, place, now, e164=NUMBER)
        for turn in range(5):
            call = factories.call(session, someone, now, state=CallState.ENDED, incident="rung all the same")
            values = {"account_id": call.account_id, "call_id": call.id, "learned": "pushed", "type": "status-update"}
            body = {"dedupe_key": f"{call.id}{turn}", "body": {}, "received_at": now}
            session.execute(insert(Event), [values | body])
    assert queries(NUMBER) <= queries("+12125550102") < 20
