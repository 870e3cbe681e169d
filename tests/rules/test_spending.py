"""Whether a budget has room for one more call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.definition.money import Prices
from campaigns.rules.spending import Funds, dollars
from tests.factories import CAMPAIGN

NOON = datetime(2027, 3, 2, 17, tzinfo=UTC)  # in New York
FUNDS = Funds(
    total=Decimal(10),
    per_day=Decimal(4),
    worst=Decimal("1.5"),
    zone=ZoneInfo("America/New_York"),
    spent=Decimal(0),
    reserved=Decimal(0),
    day=date(2027, 3, 2),
    day_spent=Decimal(0),
    day_reserved=Decimal(0),
)


@pytest.mark.parametrize(
    ("duration", "cost"),
    [(timedelta(minutes=5), "0.5"), (timedelta(seconds=301), "0.6"), (timedelta(seconds=10), "0.1")],
)
def test_a_call_is_reckoned_in_minutes_that_began(duration: timedelta, cost: str) -> None:
    assert Prices(platform=0.05, voice=0.03, transport=0.02).of(duration) == Decimal(cost)


@pytest.mark.parametrize(
    ("gone", "room"),
    [
        ({}, 2),  # the day's 4 at 1.50 each
        ({"day_spent": Decimal("1.01")}, 1),
        ({"day_spent": Decimal(1), "day_reserved": Decimal("1.5")}, 1),
        ({"day": date(2027, 3, 1), "day_spent": Decimal(4)}, 2),  # that was yesterday
        ({"spent": Decimal(8), "reserved": Decimal(0)}, 1),
        ({"spent": Decimal(7), "reserved": Decimal("1.5")}, 1),
        ({"spent": Decimal(12)}, 0),  # calls that cost more than was reserved for them
        ({"per_day": None}, 6),
        ({"total": None}, 2),
    ],
)
def test_room_is_for_whole_calls_in_the_smaller_rest(gone: dict[str, Decimal], room: int) -> None:
    funds = replace(FUNDS, **gone)  # type: ignore[arg-type]
    assert funds.room(NOON) == room
    assert (funds.shortage(NOON) is None) == (room > 0)


def test_a_budget_that_is_spent_is_used_up_and_one_that_is_reserved_may_come_back() -> None:
    spent = replace(FUNDS, spent=Decimal("8.51")).shortage(NOON)
    assert spent is not None
    assert spent.used_up
    assert spent.why == "its budget is used up: $8.51 of $10.00 spent, and one more call may cost $1.50"
    reserved = replace(FUNDS, spent=Decimal("5.51"), reserved=Decimal(3)).shortage(NOON)
    assert reserved is not None
    assert (reserved.used_up, reserved.until) == (False, None)
    assert "reserved" in reserved.why


def test_the_days_budget_comes_again_at_midnight_of_the_campaigns_zone() -> None:
    funds = replace(FUNDS, day_spent=Decimal(3))
    shortage = funds.shortage(NOON)
    assert shortage is not None
    assert (shortage.used_up, shortage.until) == (False, datetime(2027, 3, 3, 5, tzinfo=UTC))
    assert funds.held_up(NOON) == (
        "the day's budget is used up: $3.00 of $4.00 spent, and one more call may cost $1.50; "
        "it goes on at 2027-03-03 00:00 EST"
    )
    assert funds.shortage(shortage.until - timedelta(seconds=1)) is not None
    assert funds.shortage(shortage.until) is None


def test_on_the_day_of_a_clock_change_midnight_is_where_it_is() -> None:
    before = datetime(2027, 3, 13, 20, tzinfo=UTC)
    funds = replace(FUNDS, day=date(2027, 3, 14), day_spent=Decimal(3))
    shortage = funds.shortage(before + timedelta(days=1))
    assert shortage is not None
    assert shortage.until == datetime(2027, 3, 15, 4, tzinfo=UTC)  # summer time began meanwhile


def test_a_day_that_is_ahead_of_the_clock_counts_until_it_is_over() -> None:
    """Whoever read the clock before midnight, and the zone of a campaign that was moved to the west."""
    funds = replace(FUNDS, day=date(2027, 3, 3), day_spent=Decimal(3))
    shortage = funds.shortage(NOON)
    assert shortage is not None
    assert shortage.until == datetime(2027, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("budget", "wrong"),
    [
        ({"total": 0.4}, r"budget.total is less than one call of max_duration may cost, which is 0.5"),
        ({"total": 100.0, "per_day": 0.4}, r"budget.per_day is less than one call"),
    ],
)
def test_a_budget_that_does_not_pay_for_one_call_is_refused(budget: dict[str, float], wrong: str) -> None:
    values = CAMPAIGN | {"prices": {"platform": 0.1}, "budget": budget, "max_duration": "5m"}
    with pytest.raises(ValueError, match=wrong):
        CampaignDefinition.model_validate(values)


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.0125", "$0.0125"), ("-3", "-$3.00")]
)
def test_amounts_are_written_as_people_write_them(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text
