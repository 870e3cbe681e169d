"""A budget that is reached stops the campaign and fails nobody; a larger one, or the next day, lets it go on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.errors import NotAllowed
from campaigns.models import Call, Campaign, Change, Prospect
from campaigns.pipeline import budgeting, defining, dispatching, reporting, scheduling, settling, warning
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import Evidence
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.advancing import advance
from tests.pipeline.paying import PRICES, campaign_with, sums
from tests.pipeline.placing import REAL, TIMING, accepted, prepare, record

TERMS = {"prices": PRICES, "max_duration": "5m", "zone": "America/New_York"}


class Days:
    """A campaign of ten people that is dialled as far as it may be, on a clock that moves."""

    def __init__(self, session: Session, now: datetime, **budget: float) -> None:
        self.session, self.now = session, now
        self.campaign = campaign_with(session, now, **budget)  # type: ignore[arg-type]
        self.people = [factories.prospect(session, self.campaign, now) for _ in range(10)]

    def dial(self, cost: float | None = 0.4) -> int:
        """One tick of the dispatcher; every call that it makes ends at once and costs so much."""
        moment = {"now": self.now, "real": REAL}
        offered = dispatching.claim_due(self.session, self.campaign.account_id, **moment, timing=TIMING)
        made = [call_id for call_id in offered if prepare(self.session, call_id, self.now) is not None]
        for call_id in made:
            call = self.session.get_one(Call, call_id)
            record(self.session, call, accepted(call, self.now, provider_id=str(call_id)), self.now)
            if cost is not None:
                self.end(call_id, cost)
        sums(self.session, self.campaign.id)
        return len(made)

    def end(self, call_id: UUID, cost: float) -> None:
        call = self.session.get_one(Call, call_id)
        locked = ledger.lock_all(self.session, [call.id], timing=TIMING)[call.id]
        ledger.move(locked, Evidence.ENDED, now=self.now, real=REAL)
        done = Ending("done", OutcomeClass.COMPLETED, rang=True, complete=True, cost=Decimal(str(cost)))
        settling.settle(self.session, Ended(call.id, done, learned="asked"), now=self.now, timing=TIMING)

    def watch(self) -> bool:
        return sum(budgeting.pause_if_used_up(self.session, each, now=self.now) for each in self.watched()) == 1

    def watched(self) -> list[UUID]:
        ledger.write_tallies(self.session)
        return budgeting.watched(self.session)

    def states(self) -> dict[str, int]:
        ledger.write_tallies(self.session)
        return dict(reporting.progress(self.session, self.campaign, now=self.now).prospects)

    def apply(self, **changes: object) -> None:
        definition = CampaignDefinition.model_validate(factories.CAMPAIGN | TERMS | changes)
        defining.apply_campaign(self.session, definition, who="ada", now=self.now)

    def resume(self) -> CampaignState:
        return scheduling.command(self.session, "spring", Command.RESUME, who="ada", now=self.now)


def test_a_budget_that_is_used_up_pauses_the_campaign_and_fails_nobody(session: Session, now: datetime) -> None:
    days = Days(session, now, total=1.6)
    assert [days.dial() for _ in range(4)] == [3, 0, 0, 0]  # 1.50 reserved, 1.20 spent: not enough for one more
    assert days.watch()
    assert not days.watch()
    assert days.campaign.state is CampaignState.PAUSED
    why = "paused itself: its budget is used up: $1.20 of $1.60 spent, and one more call may cost $0.50"
    assert days.campaign.state_why == f"{why}; give it more in its file and apply that"
    assert days.states() == {"completed": 3, "waiting": 7}
    waiting = session.scalars(select(Prospect).where(Prospect.state == ProspectState.WAITING)).all()
    assert {(who.attempts, who.calls) for who in waiting} == {(0, 0)}
    (trouble,) = warning.troubles(session)
    assert trouble.what == f"campaign spring {days.campaign.state_why}"
    audit = session.scalars(select(Change).where(Change.what == "paused")).one()
    assert (audit.who, audit.before, audit.after) == ("outbound", {"state": "running"}, {"state": "paused"})

    with pytest.raises(NotAllowed, match="campaign spring would pause itself at once: its budget is used up"):
        days.resume()
    days.apply(budget={"total": 100.0})
    assert days.resume() is CampaignState.RUNNING
    while days.dial():
        pass
    assert days.states() == {"completed": 10}
    assert sums(session, days.campaign.id) == (Decimal(4), Decimal(0))
    assert not days.watch()
    assert advance(session, now=now) == [("spring", CampaignState.COMPLETED)]


def test_while_money_is_reserved_that_may_come_back_the_campaign_waits(session: Session, now: datetime) -> None:
    days = Days(session, now, total=1.6)
    assert days.dial(cost=None) == 3
    assert not days.watch()
    progress = reporting.progress(session, days.campaign, now=now)
    assert progress.held_up == (
        "the rest of its budget is reserved for calls whose cost is not known yet: $0.10 left, one more call may cost "
        "$0.50"
    )
    for call_id in session.scalars(select(Call.id)).all():
        days.end(call_id, 0.1)
    assert sums(session, days.campaign.id) == (Decimal("0.3"), Decimal(0))
    assert days.dial(cost=0.1) == 2
    assert days.campaign.state is CampaignState.RUNNING


def test_a_days_budget_waits_for_the_next_day_of_the_campaigns_zone(session: Session, now: datetime) -> None:
    days = Days(session, now, per_day=1.2)
    assert [days.dial() for _ in range(3)] == [2, 0, 0]
    assert not days.watch()
    assert days.campaign.state is CampaignState.RUNNING
    why = "the day's budget is used up: $0.80 of $1.20 spent, and one more call may cost $0.50"
    on = "it goes on at 2027-03-03 00:00 EST"
    assert budgeting.waiting(session, now=now) == [("spring", f"{why}; {on}")]
    assert reporting.progress(session, days.campaign, now=now).held_up == f"{why}; {on}"
    assert warning.troubles(session) == []  # nobody need do anything
    days.now = datetime(2027, 3, 3, 4, 59, tzinfo=UTC)
    assert days.dial() == 0  # a minute before midnight in New York
    days.now = datetime(2027, 3, 3, 15, tzinfo=UTC)
    assert budgeting.waiting(session, now=days.now) == []
    assert days.dial() == 2
    assert days.states() == {"completed": 4, "waiting": 6}


def test_a_larger_budget_for_the_day_lets_it_go_on_the_same_day(session: Session, now: datetime) -> None:
    days = Days(session, now, per_day=1.2)
    assert [days.dial(), days.dial()] == [2, 0]
    days.apply(budget={"per_day": 50.0})
    assert days.dial() == 8


def test_a_campaign_that_has_nobody_left_completes_instead_of_pausing(session: Session, now: datetime) -> None:
    days = Days(session, now, total=4.2)
    while days.dial():
        pass
    assert days.states() == {"completed": 10}  # 4.00 spent: there would be nothing for an eleventh
    assert not days.watch()
    assert advance(session, now=days.now) == [("spring", CampaignState.COMPLETED)]


def test_where_a_budget_stands_is_shown(session: Session, now: datetime) -> None:
    days = Days(session, now, total=10.0, per_day=3.0)
    days.dial(cost=None)
    (first, *_) = session.scalars(select(Call.id).where(Call.reserved.is_not(None))).all()
    days.end(first, 0.25)
    sums(session, days.campaign.id)
    found = budgeting.standing(session, days.campaign.id, now=now)
    assert found is not None
    assert found.total is not None
    assert found.today is not None
    assert (found.total.spent, found.total.reserved, found.total.left) == (
        Decimal("0.25"),
        Decimal("2.5"),
        Decimal("7.25"),
    )
    assert (found.today.spent, found.today.left, str(found.day)) == (Decimal("0.25"), Decimal("0.25"), "2027-03-02")
    plain = factories.campaign(session, now, name="plain")
    assert budgeting.standing(session, session.get_one(Campaign, plain.id).id, now=now) is None
