"""May this prospect be called now? The one place that answers, for due time, claim, intent, preflight and trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.caps import Cap, Reached, Rung, reached
from campaigns.rules.consent import ConsentNeed, RecordedConsent, shortfall
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.spending import Funds
from campaigns.rules.windows import ZonedWindow, horizon, next_opening

CLOSING = timedelta(minutes=2)  # a call sent later may ring after the window: queueing and ringing take time
RECHECK = timedelta(minutes=1)  # when to look again at what a person or a timer may change at any moment


class Reason(StrEnum):
    """Why a prospect is not called now."""

    FROZEN = "frozen"
    ACCOUNT_STOPPED = "account_stopped"
    NOT_RUNNING = "campaign_not_running"
    NOT_STARTED = "campaign_not_started"
    CAMPAIGN_OVER = "campaign_over"
    SUPPRESSED = "suppressed"
    CONCLUDED = "already_concluded"
    UNKNOWN_ZONE = "unknown_zone"
    NO_RULE = "no_rule"
    VOICE_BLOCKED = "voice_blocked"
    NO_CONSENT = "no_consent"
    NO_ATTEMPTS_LEFT = "no_attempts_left"
    CAP_REACHED = "cap_reached"
    NO_OPENING = "no_opening"
    NOT_BEFORE = "not_before"
    OUTSIDE_WINDOW = "outside_window"
    PERSON_IN_CALL = "person_in_call"
    NO_MONEY = "no_money"
    NUMBER_REMOVED = "number_removed"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision depends on. `campaigns/facts` gathers them."""

    frozen: bool
    account_stop: str | None
    campaign_state: CampaignState
    starts_at: datetime | None
    ends_at: datetime | None
    windows: tuple[ZonedWindow, ...]
    """Campaign, country and state windows in every zone that the person may be in, with holidays and blackouts."""
    zones_known: bool
    rule_refusal: str | None
    """Why the calling rules permit no call at all, if they do not."""
    voice_blocked: str | None
    """Where sales calls by artificial voice are forbidden, or may be."""
    suppressed: bool
    consent_needs: tuple[ConsentNeed, ...]
    """What each jurisdiction asks for."""
    consent: RecordedConsent | None
    """The person's own, withdrawn or not, else what the campaign declares."""
    attempts: int
    max_attempts: int
    calls: int
    max_calls: int
    promised: bool = False
    """Whether the person was promised this call: it does not need an attempt that is left."""
    not_before: datetime | None = None
    concluded: ProspectState | None = None
    """The final state that an earlier call brought, if its report came too late to say so at once."""
    person_in_call: bool = False
    """Whether another call than the one being decided holds the person."""
    funds: Funds | None = None
    """The campaign's budget, where it has one."""
    caps: tuple[Cap, ...] = ()
    """Those of the campaign and of every place that the person may be in."""
    rung: tuple[Rung, ...] = ()
    """The latest calls to the person, of all campaigns and from all numbers."""
    debt_collection: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """A call may be sent at the moment that was asked about."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No call now. `becomes` is the prospect's state; `retry_at` is when to look again, for `waiting`."""

    reason: Reason
    detail: str
    becomes: ProspectState
    retry_at: datetime | None = None

    @property
    def why(self) -> str:
        """The reason and its detail, as they are kept on the prospect."""
        return f"{self.reason}: {self.detail}"


def decide(facts: Facts, now: datetime) -> Allowed | Refused:
    """Whether the prospect may be called at `now`; where not, the weightiest reason.

    Every check is made, and the result does not depend on their order: a final refusal outweighs a hold, a hold
    outweighs waiting, and among waits the longest counts. Ties go to the reason that is named first in `Reason`.
    """
    refusals = [refusal for check in _CHECKS if (refusal := check(facts, now)) is not None]
    if not refusals:
        return Allowed()
    return max(refusals, key=_weight)


_RANK = {ProspectState.WAITING: 0, ProspectState.HELD: 1}
_PRECEDENCE = {reason: -turn for turn, reason in enumerate(Reason)}


def _weight(refusal: Refused) -> tuple[int, float, int]:
    wait = refusal.retry_at.timestamp() if refusal.retry_at is not None else 0.0
    return _RANK.get(refusal.becomes, 2), wait, _PRECEDENCE[refusal.reason]


def _account(facts: Facts, now: datetime) -> Refused | None:
    if facts.frozen:
        return Refused(Reason.FROZEN, "all dialling is frozen", ProspectState.WAITING, now + RECHECK)
    if facts.account_stop is not None:
        return Refused(Reason.ACCOUNT_STOPPED, facts.account_stop, ProspectState.WAITING, now + RECHECK)
    return None


def _campaign(facts: Facts, now: datetime) -> Refused | None:
    if facts.campaign_state is CampaignState.CANCELLED:
        return Refused(Reason.NOT_RUNNING, "the campaign was cancelled", ProspectState.CANCELLED)
    if facts.campaign_state is CampaignState.COMPLETED:
        return Refused(Reason.CAMPAIGN_OVER, "the campaign is completed", ProspectState.EXPIRED)
    if facts.ends_at is not None and now >= facts.ends_at:
        return Refused(Reason.CAMPAIGN_OVER, "the campaign has ended", ProspectState.EXPIRED)
    if facts.starts_at is not None and now < facts.starts_at:
        return Refused(Reason.NOT_STARTED, "the campaign has not started", ProspectState.WAITING, facts.starts_at)
    return None


def _running(facts: Facts, now: datetime) -> Refused | None:
    if facts.campaign_state is CampaignState.RUNNING:
        return None
    return Refused(Reason.NOT_RUNNING, f"the campaign is {facts.campaign_state}", ProspectState.WAITING, now + RECHECK)


def _suppression(facts: Facts, now: datetime) -> Refused | None:  # noqa: ARG001 - one signature for every check
    if facts.suppressed:
        return Refused(Reason.SUPPRESSED, "on a do-not-call list", ProspectState.SUPPRESSED)
    return None


def _conclusion(facts: Facts, now: datetime) -> Refused | None:  # noqa: ARG001 - one signature for every check
    if facts.concluded is not None:
        return Refused(Reason.CONCLUDED, "the report of an earlier call settled it", facts.concluded)
    return None


def _permission(facts: Facts, now: datetime) -> Refused | None:  # noqa: ARG001 - one signature for every check
    if facts.rule_refusal is not None:
        return Refused(Reason.NO_RULE, facts.rule_refusal, ProspectState.HELD)
    if facts.voice_blocked is not None:
        detail = f"{facts.voice_blocked} forbids sales calls by artificial voice, or may"
        return Refused(Reason.VOICE_BLOCKED, detail, ProspectState.HELD)
    return None


def _consent(facts: Facts, now: datetime) -> Refused | None:
    missing = shortfall(facts.consent_needs, facts.consent, now)
    return None if missing is None else Refused(Reason.NO_CONSENT, missing, ProspectState.HELD)


def _place(facts: Facts, now: datetime) -> Refused | None:  # noqa: ARG001 - one signature for every check
    if not facts.zones_known:
        return Refused(Reason.UNKNOWN_ZONE, "the time zone is not known", ProspectState.HELD)
    return None


def _budget(facts: Facts, now: datetime) -> Refused | None:  # noqa: ARG001 - one signature for every check
    if facts.attempts >= facts.max_attempts and not facts.promised:
        detail = f"{facts.attempts} of {facts.max_attempts} attempts made"
    elif facts.calls >= facts.max_calls:
        detail = f"{facts.calls} of {facts.max_calls} calls made"
    else:
        return None
    return Refused(Reason.NO_ATTEMPTS_LEFT, detail, ProspectState.EXHAUSTED)


def _cap(facts: Facts, now: datetime) -> Reached | None:
    if not facts.rung:
        return None
    consented = shortfall([ConsentNeed("express", "")], facts.consent, now) is None
    binding = [cap for cap in facts.caps if cap.binds(consented=consented, debt_collection=facts.debt_collection)]
    return reached(binding, facts.rung, now)


def _caps(facts: Facts, now: datetime) -> Refused | None:
    cap = _cap(facts, now)
    if cap is None:
        return None
    # For good is only as long as the rules, the campaign and the consent stay what they are.
    becomes = ProspectState.HELD if cap.until is None else ProspectState.WAITING
    return Refused(Reason.CAP_REACHED, str(cap.cap), becomes, cap.until)


def _hour(facts: Facts, now: datetime) -> Refused | None:
    """The first opening at or after every other known wait, so that one look gives the right due time."""
    if not facts.zones_known or facts.rule_refusal is not None:
        return None
    cap = _cap(facts, now)
    capped_until = None if cap is None else cap.until
    wished = max(moment for moment in (now, facts.not_before, facts.starts_at) if moment is not None)
    earliest = wished if capped_until is None else max(wished, capped_until)
    opening = next_opening(facts.windows, earliest, closing=CLOSING, until=facts.ends_at)
    if opening is None:
        if facts.ends_at is not None and facts.ends_at - earliest <= horizon(facts.windows):
            return Refused(Reason.CAMPAIGN_OVER, "no opening is left before the campaign ends", ProspectState.EXPIRED)
        return Refused(Reason.NO_OPENING, "the calling windows do not meet in the next five weeks", ProspectState.HELD)
    if opening <= now:
        return None
    if cap is not None and capped_until is not None:
        without = next_opening(facts.windows, wished, closing=CLOSING, until=facts.ends_at)
        if without is not None and without < capped_until:
            return Refused(Reason.CAP_REACHED, str(cap.cap), ProspectState.WAITING, opening)
    if facts.not_before is not None and opening <= facts.not_before:
        return Refused(Reason.NOT_BEFORE, "not due before then", ProspectState.WAITING, opening)
    return Refused(Reason.OUTSIDE_WINDOW, "outside the calling window", ProspectState.WAITING, opening)


def _person(facts: Facts, now: datetime) -> Refused | None:
    if facts.person_in_call:
        return Refused(
            Reason.PERSON_IN_CALL, "another call to this person is open", ProspectState.WAITING, now + RECHECK
        )
    return None


def _money(facts: Facts, now: datetime) -> Refused | None:
    """Nobody is failed by it. The intent asks once more, and exactly: it reserves the money."""
    shortage = None if facts.funds is None else facts.funds.shortage(now)
    if shortage is None:
        return None
    return Refused(Reason.NO_MONEY, shortage.why, ProspectState.WAITING, shortage.until or now + RECHECK)


_CHECKS: tuple[Callable[[Facts, datetime], Refused | None], ...] = (
    _account,
    _campaign,
    _running,
    _suppression,
    _conclusion,
    _permission,
    _consent,
    _place,
    _budget,
    _caps,
    _hour,
    _person,
    _money,
)


def when_due(facts: Facts, now: datetime) -> datetime | Refused:
    """The first moment from `now` on at which the prospect may be called, were its campaign running.

    What a person or a timer may change at any moment (a pause, a freeze, a budget, another call) is left to the claim
    and the intent; what is decided here is the hour, and whether there can be one at all.
    """
    settled = replace(
        facts,
        frozen=False,
        account_stop=None,
        campaign_state=_as_if_running(facts.campaign_state),
        person_in_call=False,
        funds=None,
    )
    match decide(settled, now):
        case Allowed():
            return now
        case Refused(becomes=ProspectState.WAITING, retry_at=datetime() as moment):
            return moment
        case refusal:
            return refusal


def _as_if_running(state: CampaignState) -> CampaignState:
    return state if state in {CampaignState.CANCELLED, CampaignState.COMPLETED} else CampaignState.RUNNING
