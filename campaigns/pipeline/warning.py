"""What needs a person: what does not mend itself, and that nothing runs though there is work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import AWAITS_WORKER
from campaigns.models import Account, Call, Campaign, Event, Heartbeat, Import, Pace
from campaigns.rules.call_state import LIVE, CallState
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.pacing import DOUBTS

SET_BACK = timedelta(minutes=10)  # real time: no account is that far ahead with the slots it gives out, but by a clock
SILENT = timedelta(minutes=1)  # real time: a deploy takes less, and whoever looks at the screen wants to know soon
PERIODIC = ("dispatch.tick", "events.sweep", "events.suppress", "upkeep.ask", "upkeep.withdraw", "upkeep.advance")
"""Tasks that come by themselves, each named after its queue; a caller that is missing shows by its calls."""
LOOKS_FOR_IMPORTS, IMPORTS = "bulk.look", "bulk.import"
"""What a worker of the queue `bulk` does: one at a time, and the second may take hours."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should look at."""

    what: str
    do: str
    count: int | None = None
    """How many of them there are; None for what is said of one account, one campaign or the whole system."""

    def __str__(self) -> str:
        return f"{self.what}: {self.do}" if self.count is None else f"{self.count:,} {self.what}: {self.do}"


_DIALLING = (
    select(Account.name)
    .join(Pace, Pace.account_id == Account.id)
    .where(
        select(Campaign.id).where(Campaign.account_id == Account.id, Campaign.state == CampaignState.RUNNING).exists()
    )
)
_IS_SET_BACK = Pace.next_slot > func.clock_timestamp() + SET_BACK
# Its longest duration after its quiet period, by the real clock: with one that runs faster this only comes later.
_LONG_AGO = Call.quiet_at + (Call.line_until - Call.intent_at) < func.clock_timestamp()


def troubles(session: Session) -> list[Trouble]:
    """Everything in the ledger that does not mend itself; empty means that all is well."""
    counted = [
        Trouble(
            "calls in review: nobody can tell whether they were placed, and their people wait",
            "`outbound calls review` shows them and decides",
            _count(session, select(func.count()).where(Call.state == CallState.REVIEW)),
        ),
        Trouble(
            "calls with an incident: the provider knows more of them than our ledger, somebody may be rung twice",
            "`outbound calls review` shows them and keeps that somebody looked",
            _count(session, select(func.count()).where(Call.incident.is_not(None), Call.incident_seen_at.is_(None))),
        ),
        Trouble(
            "calls that should have ended long ago: the provider says that they go on, or does not say",
            "look at them with `outbound calls list --live`; one that is live is ended with `outbound calls hang-up`",
            _count(session, select(func.count()).where(Call.state.in_(LIVE | {CallState.UNKNOWN}), _LONG_AGO)),
        ),
        Trouble(
            "calls that ended long ago and have no outcome: the provider does not answer the questions about them",
            "the log of the worker `upkeep` says what it answers; they are asked about again each minute",
            _count(
                session,
                select(func.count()).where(Call.state == CallState.ENDED, Call.check_at.is_not(None), _LONG_AGO),
            ),
        ),
        Trouble(
            "events in the dead letter: they name no call that we know, or could not be applied",
            "look at them with `outbound events list`; they are applied by themselves if their call turns up",
            _count(session, select(func.count()).where(Event.applied_at.is_(None), Event.retry_at.is_(None))),
        ),
    ]
    found = [trouble for trouble in counted if trouble.count]
    found += [
        Trouble(f"account {name} is stopped: {reason}", "mend it, then `outbound accounts apply` again")
        for name, reason in session.execute(
            select(Account.name, Account.stop_reason).where(Account.stop_reason.is_not(None))
        )
    ]
    found += [
        Trouble(f"campaign {name} {why}", f"mend it, then `outbound campaign resume {name}`: nobody is lost to it")
        for name, why in session.execute(
            select(Campaign.name, Campaign.state_why).where(
                Campaign.state == CampaignState.PAUSED, Campaign.state_why.startswith(PAUSED_ITSELF, autoescape=True)
            )
        )
    ]
    found += [
        Trouble(f"account {name} is frozen" + (f": {why}" if why else ""), "`outbound unfreeze` permits dialling again")
        for name, why in session.execute(select(Account.name, Account.frozen_why).where(Account.frozen_at.is_not(None)))
    ]
    found += [
        Trouble(
            f"account {name}: the provider said of none of the last {doubts} requests what became of it",
            "it is tried again now and then, by itself; who was to be called meanwhile waits",
        )
        for name, doubts in session.execute(_DIALLING.add_columns(Pace.doubts).where(Pace.doubts >= DOUBTS))
    ]
    found += [
        Trouble(
            f"account {name}: nothing is sent before {slot:%Y-%m-%d %H:%M:%S %Z}",
            "the clock of the database server was set back, or a very slow account has many calls waiting",
        )
        for name, slot in session.execute(_DIALLING.add_columns(Pace.next_slot).where(_IS_SET_BACK))
    ]
    return found


def beat(session: Session, task: str, *, real: datetime) -> None:
    """Note that a periodic task got through."""
    statement = insert(Heartbeat).values(task=task, at=real)
    session.execute(statement.on_conflict_do_update(index_elements=[Heartbeat.task], set_={"at": real}))


def silences(session: Session, *, now: datetime, real: datetime, speed: float) -> list[str]:
    """What does not run though there is work for it, each in a few words; empty where all is well."""
    last = {row.task: row.at for row in session.execute(select(Heartbeat.task, Heartbeat.at))}
    found = _without_importers(session, last, now=now - SILENT * speed, real=real)
    if not _is_any_work(session):
        return found
    silent = [task for task in PERIODIC if task not in last or last[task] < real - SILENT]
    if len(silent) == len(PERIODIC):
        return [f"nothing runs: {_since(max(last.values(), default=None))}"]
    found += [
        f"the task {task} does not get through: no worker takes from the queue {task.partition('.')[0]}, or it fails "
        f"as the log says; {_since(last.get(task))}"
        for task in silent
    ]
    return found + _without_callers(session, claimed_before=now - SILENT * speed, real=real)


def _is_any_work(session: Session) -> bool:
    waiting = Campaign.state.in_([CampaignState.RUNNING, CampaignState.SCHEDULED])
    work = (select(Campaign.id).where(waiting), select(Call.id).where(Call.check_at.is_not(None)))
    due = select(Event.id).where(Event.retry_at.is_not(None))
    return bool(session.scalar(select(or_(*(query.exists() for query in (*work, due))))))


def _without_callers(session: Session, *, claimed_before: datetime, real: datetime) -> list[str]:
    """Claimed calls are placed within seconds, unless the provider is away or asked us to wait."""
    dials = or_(Pace.backoff_until.is_(None), Pace.backoff_until < real - SILENT)
    old = (Call.state == CallState.CLAIMED) & (Call.claimed_at < claimed_before)
    waiting = session.scalar(
        select(func.count()).select_from(Call).join(Pace, Pace.account_id == Call.account_id).where(dials, old)
    )
    return [f"no worker takes from the queue calls: {waiting:,} claimed calls wait for one"] if waiting else []


def _without_importers(session: Session, last: Mapping[str, datetime], *, now: datetime, real: datetime) -> list[str]:
    """Lists that were handed over before `now`, while no worker has looked or stored anything lately."""
    seen = max((last[task] for task in (LOOKS_FOR_IMPORTS, IMPORTS) if task in last), default=None)
    if seen is not None and seen >= real - SILENT:
        return []
    waiting = _count(session, select(func.count()).where(AWAITS_WORKER, Import.queued_at < now))
    return [f"no worker takes from the queue bulk: {waiting:,} imports wait for one; {_since(seen)}"] if waiting else []


def _since(last: datetime | None) -> str:
    return "none has run yet" if last is None else f"the last sign of life was at {last:%Y-%m-%d %H:%M:%S %Z}"


def _count(session: Session, query: Any) -> int:
    return int(session.scalar(query) or 0)
