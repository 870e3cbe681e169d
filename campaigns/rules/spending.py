"""Whether a campaign's budget has room for one more call, by the most that one may cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

COST_GRACE = timedelta(hours=24)  # reports come within minutes; what nobody told by then is counted at its reservation

MIDNIGHT = time.min


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why no call is paid for now."""

    why: str
    until: datetime | None = None
    """When there is money again, where the calendar says so."""
    used_up: bool = False
    """Whether the whole budget is spent: nothing but a larger one helps."""


@dataclass(frozen=True, slots=True)
class Funds:
    """A campaign's budget in US dollars, and what of it is gone. What is reserved is for calls whose cost is not known.

    Reserved is always the most that a call may cost, so that it mostly comes back.
    """

    total: Decimal | None
    per_day: Decimal | None
    worst: Decimal
    """The most that one call may cost."""
    zone: ZoneInfo
    """Whose days they are."""
    spent: Decimal
    reserved: Decimal
    day: date
    """The day that the next two are about: the last one in which money was reserved."""
    day_spent: Decimal
    day_reserved: Decimal

    def on_the_day(self, now: datetime) -> tuple[Decimal, Decimal]:
        """What was spent and is reserved of the day's budget."""
        if self.day < now.astimezone(self.zone).date():
            return Decimal(0), Decimal(0)
        return self.day_spent, self.day_reserved

    def left(self, now: datetime) -> Decimal:
        """What is neither spent nor reserved; of two budgets, the smaller rest. Below zero where calls cost more."""
        rests = []
        if self.total is not None:
            rests.append(self.total - self.spent - self.reserved)
        if self.per_day is not None:
            rests.append(self.per_day - sum(self.on_the_day(now)))
        return min(rests)

    def room(self, now: datetime) -> int:
        """How many more calls are paid for now, each at its worst."""
        return max(0, int(self.left(now) / self.worst))

    def shortage(self, now: datetime) -> Shortage | None:
        """Why not even one more call is paid for; None where one is."""
        spent_today = self.on_the_day(now)[0]
        one = f"one more call may cost {dollars(self.worst)}"
        if self.total is not None and self.spent + self.worst > self.total:
            spent = f"{dollars(self.spent)} of {dollars(self.total)} spent"
            return Shortage(f"its budget is used up: {spent}, and {one}", used_up=True)
        if self.per_day is not None and spent_today + self.worst > self.per_day:
            spent = f"{dollars(spent_today)} of {dollars(self.per_day)} spent"
            return Shortage(f"the day's budget is used up: {spent}, and {one}", until=self._next_day(now))
        if self.room(now):
            return None
        rest = dollars(self.left(now))
        return Shortage(f"the rest of its budget is reserved for calls whose cost is not known yet: {rest} left, {one}")

    def held_up(self, now: datetime) -> str | None:
        """The same for people, with when it goes on by itself."""
        shortage = self.shortage(now)
        if shortage is None:
            return None
        if shortage.until is None:
            return shortage.why
        return f"{shortage.why}; it goes on at {shortage.until.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"

    def _next_day(self, now: datetime) -> datetime:
        day = max(self.day, now.astimezone(self.zone).date()) + timedelta(days=1)
        return datetime.combine(day, MIDNIGHT, self.zone).astimezone(UTC)


def dollars(amount: Decimal) -> str:
    """An amount as people write it, with the fractions of a cent that it has."""
    text = f"{abs(amount):,.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{'-' if amount < 0 else ''}${whole}.{cents:0<2}"
