"""A list of people becomes prospects, and nobody on it is lost."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from campaigns.errors import InvalidList, NotAllowed
from campaigns.facts import about_campaigns
from campaigns.lists.opening import open_list
from campaigns.lists.reading import lots
from campaigns.models import Campaign, Consent, Import, Person, Prospect, Suppression
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import begin, bring, counts, people, store


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def test_windows_lines_a_byte_order_mark_and_blank_lines_change_nothing(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    content = b"\xef\xbb\xbf\r\nPhone , First Name\r\n\r\n(212) 555-0101, Ana \r\n,,\r\n+1 212 555 0102,Bo\r\n"
    report, _ = bring(session, campaign, content, now)
    assert counts(report) == (2, 0, 0)
    found = people(session, campaign)
    assert {number: (row.line, row.variables) for number, row in found.items()} == {
        "+12125550101": (4, {"first_name": "Ana"}),
        "+12125550102": (6, {"first_name": "Bo"}),
    }


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_understood(session: Session, campaign: Campaign, now: datetime, separator: str) -> None:
    content = f'phone{separator}"plan, yearly"\n+12125550101{separator}Gold, rather\n'.encode()
    assert counts(bring(session, campaign, content, now)[0]) == (1, 0, 0)
    assert people(session, campaign)["+12125550101"].variables == {"plan_yearly": "Gold, rather"}


def test_line_numbers_count_the_lines_inside_quotes(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b'phone,address\n+12125550101,"1 Main St\nFloor 2\r\nNew York"\n12,x\n+12125550102,y\n'
    report, rejected = bring(session, campaign, content, now)
    assert counts(report) == (2, 0, 1)
    assert [row["rejected_line"] for row in rejected] == ["5"]
    found = people(session, campaign)
    assert (found["+12125550101"].line, found["+12125550102"].line) == (2, 6)
    assert found["+12125550101"].variables["address"] == "1 Main St\nFloor 2\r\nNew York"


def test_a_stray_quotation_mark_costs_its_own_row_only(session: Session, campaign: Campaign, now: datetime) -> None:
    content = (
        b'phone,name\n+12125550101,"Ana\n+12125550102,Bo\n+12125550103,"Cy" Young\n+12125550104,Di\n+12125550105,"'
    )
    report, rejected = bring(session, campaign, content, now)
    assert sorted(people(session, campaign)) == ["+12125550102", "+12125550104"]
    assert [(row["rejected_line"], row["rejected_value"]) for row in rejected] == [
        ("2", '+12125550101,"Ana'),
        ("4", '+12125550103,"Cy" Young'),
        ("6", '+12125550105,"'),
    ]
    assert all("quotation marks" in reason for reason in report.reasons)


def test_an_endless_cell_or_line_costs_its_own_row_only(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,name\n+12125550101," + b"x" * 200_000 + b"\n+12125550102,Bo\n+12125550103,"
    content += b"y" * 3_000_000 + b"\n+12125550104,Di\n"
    report, rejected = bring(session, campaign, content, now)
    assert sorted(people(session, campaign)) == ["+12125550102", "+12125550104"]
    assert [row["rejected_line"] for row in rejected] == ["2", "4"]
    assert rejected[0]["rejected_value"].startswith("+12125550101,xxx")  # all of it: nothing else has what was there
    assert len(rejected[0]["rejected_value"]) == len("+12125550101,") + 200_000
    assert report.rows == 4


def test_rows_of_another_width_than_the_header(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,name,plan\n+12125550101\n+12125550102,Bo,Gold,,\n+12125550103,Cy,Gold,more\n"
    _, rejected = bring(session, campaign, content, now)
    assert sorted(people(session, campaign)) == ["+12125550101", "+12125550102"]
    assert [(row["phone"], row["rejected_value"], row["rejected_reason"]) for row in rejected] == [
        ("+12125550103", "more", "has 4 cells where the header has 3 columns")
    ]


def test_rows_that_are_no_text_are_kept_as_far_as_they_can_be_read(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    content = b"phone,first\n+12125550101,Jos\xe9\n+12125550102,N\x00l\n+12125550103,Zo\xc3\xab\n"
    _, rejected = bring(session, campaign, content, now)
    assert sorted(people(session, campaign)) == ["+12125550103"]
    assert [(row["first"], row["rejected_reason"]) for row in rejected] == [
        ("Jos?", "is not text in the encoding of the file: correct it, or say --encoding"),
        ("N\ufffdl", "contains a NUL character"),
    ]


def test_a_person_on_the_list_twice_is_there_once(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,plan\n+12125550101,first\n212-555-0101,second\n+12125550101 ext 7,desk\n"
    assert counts(bring(session, campaign, content, now)[0]) == (2, 1, 0)
    rows = session.execute(select(Prospect.extension, Prospect.variables).order_by(Prospect.extension)).all()
    assert [tuple(row) for row in rows] == [("", {"plan": "first"}), ("7", {"plan": "desk"})]
    assert counts(bring(session, campaign, content, now)[0]) == (0, 3, 0)


def test_corrected_rejected_rows_add_just_those(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b'phone,plan\n+12125550101,Gold\n12,"Silver, old"\n+12125550102,Gold\n'
    _, rejected = bring(session, campaign, content, now)
    assert [row["rejected_column"] for row in rejected] == ["phone"]
    corrected = io.StringIO()
    writer = csv.DictWriter(corrected, list(rejected[0]))
    writer.writeheader()
    writer.writerows(row | {"phone": "+12125550103"} for row in rejected)
    report, _ = bring(session, campaign, corrected.getvalue().encode(), now)
    assert counts(report) == (1, 0, 0)
    assert people(session, campaign)["+12125550103"].variables == {"plan": "Silver, old"}


def test_headings_are_guessed_and_the_rest_become_variables(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    content = (
        "Full Name,MOBILE,Contact-ID,Ext,Time Zone,Country,State,#,,Größe (cm)\n"
        'Ana Ruiz,212 555 0101,c-1,12,America/Chicago,us,tx,9,"kept, too",170\n'
    )
    bring(session, campaign, content.encode(), now)
    row = people(session, campaign)["+12125550101"]
    assert (row.name, row.external_id, row.extension) == ("Ana Ruiz", "c-1", "12")
    assert (row.country, row.zones) == ("US", ["America/Chicago"])
    assert row.states == ["US-NY", "US-TX"]  # the code's state and the row's: the rules of both apply
    assert row.variables == {"column_9": "kept, too", "größe_cm": "170"}


def test_the_definition_says_which_column_is_what(session: Session, now: datetime) -> None:
    mapping = {"phone": "Handy", "name": "Wer", "variables": {"first_name": "Vorname", "day_of_birth": "day"}}
    campaign = factories.campaign(session, now, mapping=mapping, default_region="DE")
    content = b"Handy,phone,Wer,Vorname,day\n030 901820,x,Frau A,Anna,4 May\n"
    bring(session, campaign, content, now)
    row = people(session, campaign)["+4930901820"]
    assert (row.name, row.country, row.zones) == ("Frau A", "DE", ["Europe/Berlin"])
    assert row.variables == {"phone": "x", "first_name": "Anna", "day_of_birth": "4 May"}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"phone": "Handy"}, r"mapping\.phone names the column 'Handy'; the file has: phone, name"),
        ({"zone": "Zone"}, r"mapping\.zone names the column 'Zone'; the file has: phone, name"),
        ({"variables": {"plan": "Plan"}}, r"mapping\.variables\.plan names the column 'Plan'; the file has: phone"),
    ],
)
def test_a_mapped_column_must_be_there(
    session: Session, now: datetime, mapping: dict[str, object], message: str
) -> None:
    campaign = factories.campaign(session, now, mapping=mapping)
    with pytest.raises(InvalidList, match=message):
        bring(session, campaign, b"phone,name\n+12125550101,Ana\n", now)


def test_a_row_may_bring_its_own_country(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,country\n030 901820,de\n212 555 0101,\n030 901820,XX\n030 901820,Germany\n020 7946 0000,UK\n"
    report, rejected = bring(session, campaign, content, now)
    assert sorted(people(session, campaign)) == ["+12125550101", "+442079460000", "+4930901820"]
    assert [(row["rejected_column"], row["rejected_value"]) for row in rejected] == [
        ("country", "XX"),
        ("country", "Germany"),
    ]
    assert report.reasons == {"country: is not a two-letter country code such as US or DE": 2}


def test_what_a_row_says_of_zone_and_extension_is_checked(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,tz,ext\n+12125550101,New York,\n+12125550102,,12a\n+12125550103,,12345678901\n"
    _, rejected = bring(session, campaign, content, now)
    assert [(row["rejected_column"], row["rejected_reason"]) for row in rejected] == [
        ("tz", "is not the time zone of a place, such as America/New_York"),
        ("ext", "is not an extension of up to 10 digits"),
        ("ext", "is not an extension of up to 10 digits"),
    ]


def test_who_cannot_be_called_is_kept_with_the_reason(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    stopped = Person(number="+12125550101", created_at=now)
    session.add(stopped)
    session.flush()
    session.add(Suppression(person_id=stopped.id, campaign_id=None, reason="asked", created_at=now))
    content = b"phone\n+12125550101\n+18005550199\n+376712345\n+12125550102\n"
    assert counts(bring(session, campaign, content, now)[0]) == (4, 0, 0)
    found = {number: (row.state, row.state_why) for number, row in people(session, campaign).items()}
    assert found["+12125550101"] == (ProspectState.SUPPRESSED, "suppressed: on a do-not-call list")
    assert found["+12125550102"] == (ProspectState.WAITING, None)
    state, why = found["+18005550199"]
    assert state is ProspectState.HELD
    assert why is not None
    state, why = found["+376712345"]
    assert state is ProspectState.HELD
    assert why is not None
    assert why.startswith("no_rule: ")


def test_an_unknown_zone_is_held_and_the_row_may_supply_it(session: Session, campaign: Campaign, now: datetime) -> None:
    content = b"phone,country,zone\n+18005550199,US,\n+18005550198,US,America/New_York\n"
    bring(session, campaign, content, now)
    found = {number: (row.state, row.state_why) for number, row in people(session, campaign).items()}
    assert found == {
        "+18005550199": (ProspectState.HELD, "unknown_zone: the time zone is not known"),
        "+18005550198": (ProspectState.WAITING, None),
    }


def test_without_consent_nobody_waits_except_who_gave_their_own(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    agreed = Person(number="+12125550102", created_at=now)
    session.add(agreed)
    session.flush()
    session.add(Consent(person_id=agreed.id, source="signed", level="written", created_at=now))
    bring(session, campaign, b"phone\n+12125550101\n+12125550102\n", now)
    found = {number: (row.state, row.state_why) for number, row in people(session, campaign).items()}
    assert found == {
        "+12125550101": (ProspectState.HELD, "no_consent: written consent is needed in US, none is recorded"),
        "+12125550102": (ProspectState.WAITING, None),
    }


def test_people_wait_for_their_own_morning(session: Session, campaign: Campaign, now: datetime) -> None:
    bring(session, campaign, b"phone\n+12125550101\n+13105550101\n", now)
    found = people(session, campaign)
    assert found["+12125550101"].due_at == now  # 10:00 in New York
    assert found["+13105550101"].due_at == datetime(2027, 3, 2, 17, tzinfo=UTC)  # 09:00 in Los Angeles


@pytest.mark.parametrize("state", [CampaignState.CANCELLED, CampaignState.COMPLETED])
def test_a_campaign_that_is_over_takes_nobody(session: Session, now: datetime, state: CampaignState) -> None:
    campaign = factories.campaign(session, now, state=state)
    with pytest.raises(NotAllowed, match="import into another one"):
        bring(session, campaign, b"phone\n+12125550101\n", now)
    assert session.scalar(select(func.count()).select_from(Import)) == 0


def test_a_campaign_that_is_cancelled_meanwhile_takes_nobody_else(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    definition = about_campaigns(session, [campaign.id])[campaign.id].definition
    opened = open_list(io.BytesIO(b"phone\n+12125550101\n"), definition)
    import_id, _ = begin(session, campaign, opened, now)
    (lot,) = lots(opened.reader, opened.rows)
    campaign.state = CampaignState.CANCELLED
    session.flush()
    with pytest.raises(NotAllowed):
        store(session, import_id, opened.reader, lot, after=0, now=now)
    assert people(session, campaign) == {}


cells = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["+12125550101", "2125550102", "+12125550103 x5", "+18005550199", "+376712345", "0", "", " "]),
)


def test_nobody_came_by_a_list_of_another_campaign(session: Session, campaign: Campaign, now: datetime) -> None:
    theirs = factories.prospect(session, factories.campaign(session, now, name="other"), now).import_id
    with pytest.raises(IntegrityError, match="fk_prospects_import_id_campaign_id"):
        factories.prospect(session, campaign, now, import_id=theirs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(cells, min_size=1, max_size=4), max_size=12), header=st.sampled_from(["phone", "name"]))
def test_every_row_of_any_list_is_accounted_for(
    session: Session, campaign: Campaign, now: datetime, rows: list[list[str]], header: str
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerows([["phone", "name", "zone"] if header == "phone" else ["name", "zone", "phone"], *rows])
    with session.begin_nested() as example:
        report, _ = bring(session, campaign, written.getvalue().encode(), now)
        example.rollback()
    assert report.rows == sum(any(cell.strip() for cell in row) for row in rows)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"phone,name\n", b"phone\n+12125550101\n"]), content=st.binary(max_size=200))
def test_any_bytes_become_rows_or_one_clear_refusal(
    session: Session, campaign: Campaign, now: datetime, start: bytes, content: bytes
) -> None:
    with session.begin_nested() as example:
        try:
            report, _ = bring(session, campaign, start + content, now)
        except InvalidList:
            assert not start, "with a good header there are only good and bad rows"
        else:
            assert report.new >= (b"0101" in start)
        example.rollback()
