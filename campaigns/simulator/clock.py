"""Simulated time: moved to an origin and sped up, so that a campaign of days can be rehearsed in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


def real_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """At the real moment `started` it was `origin`, and since then time runs `speed` times as fast."""

    origin: datetime
    started: datetime
    speed: float

    @classmethod
    def real(cls) -> Clock:
        """Plain time."""
        now = real_now()
        return cls(origin=now, started=now, speed=1.0)

    def now(self) -> datetime:
        """The simulated moment, to the millisecond: payloads carry no more, and a filter must find what they show."""
        moment = self.at(real_now())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def at(self, real: datetime) -> datetime:
        """The simulated moment of a real one."""
        return self.origin + (real - self.started) * self.speed

    def real_seconds_until(self, simulated: datetime) -> float:
        """How many real seconds to wait until `simulated`; negative when it has passed."""
        return (simulated - self.now()) / timedelta(seconds=1) / self.speed


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a Z, as Vapi writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, as messages carry it."""
    return round(moment.timestamp() * 1000)
