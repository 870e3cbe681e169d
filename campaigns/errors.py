"""Everything that this project raises on purpose.

OutboundError                  one clear line for the person at the keyboard
├── InvalidInput               what was given is wrong: correct it, then try again
│   ├── InvalidDefinition      a campaign or account file; names the key and what is allowed
│   ├── InvalidList            a list of prospects that cannot be read at all
│   └── UnknownName            no campaign, account or prospect of that name
├── NotAllowed                 the thing exists, but not in a state that permits this
├── SetupError                 this machine or its settings: a port, a directory, a missing key
│   └── ServerUnavailable      an embedded or configured server did not answer
├── Unauthenticated            a webhook whose sender is not proven
├── MalformedMessage           a webhook that is proven but cannot be read
└── CallFailure                the provider was asked for a call, or might have been
    ├── NotSent                no byte of the request left us: safe to try again later
    ├── Throttled              the provider said *later*: over its rate or its concurrency
    ├── AccountRefused         the key or the account is refused: nobody can be called until it is mended
    ├── CallRefused            this one request is refused for good
    └── CallUnclear            the provider may or may not have placed it: ask, never repeat
"""

from __future__ import annotations

from datetime import timedelta


class OutboundError(Exception):
    """One clear line for the person at the keyboard."""


class InvalidInput(OutboundError):
    """What was given is wrong: correct it, then try again."""


class InvalidDefinition(InvalidInput):
    """A campaign or account file that cannot be used; the message names the key and what is allowed."""


class InvalidList(InvalidInput):
    """A list of prospects that cannot be read at all."""


class UnknownName(InvalidInput):
    """No campaign, account or prospect of that name."""


class NotAllowed(OutboundError):
    """The thing exists, but not in a state that permits this."""


class SetupError(OutboundError):
    """This machine or its settings: a port, a directory, a missing key."""


class ServerUnavailable(SetupError):
    """An embedded or configured server did not answer."""


class Unauthenticated(OutboundError):
    """A webhook whose sender is not proven."""


class MalformedMessage(OutboundError):
    """A webhook that is proven but cannot be read."""


class CallFailure(OutboundError):
    """The provider was asked for a call, or might have been. `status` is its HTTP status, if it gave one."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class NotSent(CallFailure):
    """No byte of the request left us: safe to try again later."""


class Throttled(CallFailure):
    """The provider said *later*: over its rate or (`no_line`) its concurrency."""

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: timedelta | None = None, no_line: bool = False
    ) -> None:
        super().__init__(message, status=status, retry_after=retry_after)
        self.no_line = no_line


class AccountRefused(CallFailure):
    """The key or the account is refused: nobody can be called until it is mended."""


class CallRefused(CallFailure):
    """This one request is refused for good."""


class CallUnclear(CallFailure):
    """The provider may or may not have placed the call: ask, never repeat."""
