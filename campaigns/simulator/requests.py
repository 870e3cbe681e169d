"""Is this body one that Vapi would take: the properties it knows, and what it says about the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from campaigns.simulator import shapes
from campaigns.simulator.scenario import Scenario

E164 = re.compile(r"\+[1-9]\d{6,14}")
ANY_NUMBER = re.compile(r"\+?[a-zA-Z0-9]{3,40}")

NOT_SIMULATED = [
    "customerId",
    "customers",
    "phoneNumber",
    "schedulePlan",
    "transport",
    "workflow",
    "workflowId",
    "workflowOverrides",
]
"""Properties that Vapi takes and this stand-in does not act on: refused loudly, never ignored."""


class Refusal(Exception):
    """An answer other than the one asked for, in Vapi's shape."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, Any]:
        """The JSON that goes out. Vapi's framework leaves `error` out of a plain 500."""
        known = self.status in set(HTTPStatus) and self.status != HTTPStatus.INTERNAL_SERVER_ERROR
        phrase = {"error": HTTPStatus(self.status).phrase} if known else {}
        return {"message": self.message, **phrase, "statusCode": int(self.status)}


def check(body: object, scenario: Scenario, exists: Callable[[str, str], bool]) -> dict[str, Any]:
    """The body, when Vapi would take it. Raises Refusal: 400, and says so where only the simulator does not take it.

    `exists` tells of a kind (`assistants`, `squads`, `phone_numbers`) and an id whether there is such a one.
    """
    if not isinstance(body, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, ["the request body must be a JSON object"])
    found = list(_problems(body))
    if found:
        raise Refusal(HTTPStatus.BAD_REQUEST, found)
    if body.get("customer") is not None and body.get("customers") is not None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Need Either `customer` Or `customers`, Not Both.")
    beyond = [name for name in NOT_SIMULATED if body.get(name) is not None]
    if beyond:
        raise Refusal(
            HTTPStatus.BAD_REQUEST,
            f"the simulator does not simulate {', '.join(beyond)}; Vapi would: leave it out to rehearse",
        )
    _check_who_speaks(body, exists)
    if not body.get("phoneNumberId"):
        raise Refusal(
            HTTPStatus.BAD_REQUEST, "Couldn't Get Phone Number. Need Either `phoneNumberId` Or `phoneNumber`."
        )
    if not exists("phone_numbers", body["phoneNumberId"]):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Couldn't Get Phone Number. `phoneNumberId` Does Not Exist.")
    for _, server in _servers(body):
        if server.get("credentialId") is not None and server["credentialId"] not in scenario.credentials:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, f"Couldn't Get Credential. `{server['credentialId']}` Does Not Exist."
            )
    return _without_nulls(body) | {"customer": _without_nulls(body["customer"])}


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is null counts as left out, and is not echoed."""
    return {name: value for name, value in fields.items() if value is not None}


def _check_who_speaks(body: Mapping[str, Any], exists: Callable[[str, str], bool]) -> None:
    named = [name for name in ("assistantId", "assistant", "squadId", "squad") if body.get(name)]
    if len(named) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Need Exactly One Of `assistantId`, `assistant`, `squadId` Or `squad`.")
    for version, of in (("assistantVersion", "assistantId"), ("squadVersion", "squadId")):
        if body.get(version) is not None and named != [of]:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"`{version}` Needs `{of}`.")
    if named == ["squadId"] and not exists("squads", body["squadId"]):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Couldn't Get Squad. `squadId` Does Not Exist.")
    members = body["squad"]["members"] if named == ["squad"] else [body] if named == ["assistantId"] else []
    for member in members:
        if member.get("assistantId") and not exists("assistants", member["assistantId"]):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Couldn't Get Assistant. `assistantId` Does Not Exist.")


def _problems(body: Mapping[str, Any]) -> Iterator[str]:
    yield from shapes.problems(body, "CreateCallDTO")
    members = (body.get("squad") or {}).get("members") if isinstance(body.get("squad"), dict) else None
    if isinstance(members, list):
        yield from _member_problems(members)
    for at, server in _servers(body):
        url = server.get("url")
        if isinstance(url, str) and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            yield f"{at}.url must be a URL address"
    customer = body.get("customer")
    if isinstance(customer, dict):
        yield from _number_problems(customer)
    elif "customers" not in body and "customerId" not in body:
        yield "customer must be an object"


def _member_problems(members: list[Any]) -> Iterator[str]:
    if not members:
        yield "squad.members must contain at least 1 elements"
    for place, member in enumerate(members):
        if isinstance(member, dict) and bool(member.get("assistantId")) == bool(member.get("assistant")):
            yield f"squad.members.{place} must have either assistantId or assistant"


def _number_problems(customer: Mapping[str, Any]) -> Iterator[str]:
    checked = customer.get("numberE164CheckEnabled") is not False
    number = customer.get("number")
    if number is None and customer.get("sipUri"):
        return
    if not isinstance(number, str) or not (E164 if checked else ANY_NUMBER).fullmatch(number):
        yield (
            "customer.number must be a valid phone number in the E.164 format."
            " Hot tip, you may be missing the country code (Eg. US: +1)."
        )


def _servers(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every server to which messages about the call could go, and where it stands."""
    holders: list[tuple[str, Any]] = [("", body), ("customer.", body.get("customer"))]
    squad = body.get("squad")
    if isinstance(squad, dict):
        holders.append(("squad.", squad))
        members = squad.get("members")
        if isinstance(members, list):
            holders += [(f"squad.members.{place}.", member) for place, member in enumerate(members)]
    for at, holder in holders:
        for name in ("assistantOverrides", "squadOverrides", "membersOverrides", "assistant"):
            fields = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(fields, dict) and isinstance(fields.get("server"), dict):
                yield f"{at}{name}.server", fields["server"]
