"""How many in any one second: as a limit, and as a measurement."""

from __future__ import annotations

from collections import deque

WINDOW = 1.0  # seconds


class SlidingSecond:
    """Lets at most so many through in any sliding second; what was turned away does not count."""

    def __init__(self) -> None:
        self.most = 0
        """How many passed in the fullest of all seconds so far."""
        self._passed: deque[float] = deque()

    def wait_before(self, limit: int | None, now: float) -> float:
        """0 and one place taken, or the seconds until there is a place. `now` is monotonic; no limit lets all pass."""
        while self._passed and self._passed[0] <= now - WINDOW:
            self._passed.popleft()
        if limit is not None and len(self._passed) >= limit:
            return self._passed[-limit] + WINDOW - now
        self._passed.append(now)
        self.most = max(self.most, len(self._passed))
        return 0
