"""The seconds in which a process, an answer or a report is waited for. All of them are real time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each wait lasts. Another value than the default is honoured for a loopback account only."""

    lease: timedelta = timedelta(seconds=30)  # a claimed call is placed within 3 s; ten times that means it was lost
    send_budget: timedelta = timedelta(seconds=5)  # intent to POST normally takes 0.01 s; later, facts may have changed
    answer: timedelta = timedelta(seconds=60)  # the longest a POST may take; past it, its worker is believed dead
    quiet: timedelta = timedelta(minutes=15)  # an accepted call is listed within seconds; this is for an outage
    report_grace: timedelta = timedelta(minutes=5)  # three analyses of at most 60 s each, and delivery
    silence: timedelta = timedelta(seconds=90)  # ringing lasts less; so a call that says nothing is asked about
    blocked: timedelta = timedelta(seconds=15)  # a call that waits for a line may start at any moment
    ask_again: timedelta = timedelta(seconds=60)  # between two questions about the same call
    capacity_wait: timedelta = timedelta(minutes=1)  # the provider's lines free up within a call's length

    def permitted(self, *, loopback: bool) -> Timing:
        """These waits against a stand-in, the defaults against a real provider."""
        return self if loopback else Timing()
