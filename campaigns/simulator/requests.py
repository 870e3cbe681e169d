"""Is this body one that Vapi would take: the properties it knows, and what it says about the others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from campaigns.simulator.properties import ASSISTANT, BACKOFF, CALL, CUSTOMER, NOT_SIMULATED, OVERRIDES, SERVER
from campaigns.simulator.scenario import Scenario

LONGEST_NAME = 40
E164 = re.compile(r"\+[1-9]\d{6,14}")
ANY_NUMBER = re.compile(r"\+?[a-zA-Z0-9]{3,40}")


class Refusal(Exception):
    """An answer other than the one asked for, in Vapi's shape."""

    def __init__(self, status: HTTPStatus, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, Any]:
        """The JSON that goes out. Vapi's framework leaves `error` out of a plain 500."""
        phrase = {} if self.status is HTTPStatus.INTERNAL_SERVER_ERROR else {"error": self.status.phrase}
        return {"message": self.message, **phrase, "statusCode": int(self.status)}


def check(body: object, scenario: Scenario) -> dict[str, Any]:
    """The body, when Vapi would take it. Raises Refusal: 400 for what Vapi refuses, 501 for what is not simulated."""
    if not isinstance(body, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, ["the request body must be a JSON object"])
    problems = list(_problems(body))
    if problems:
        raise Refusal(HTTPStatus.BAD_REQUEST, problems)
    missing = [name for name in NOT_SIMULATED if name in body]
    if missing:
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"the simulator does not simulate: {', '.join(missing)}")
    named = [name for name in ("assistantId", "assistant", "squadId", "squad") if body.get(name)]
    if len(named) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Need Exactly One Of `assistantId`, `assistant`, `squadId` Or `squad`.")
    if not body.get("phoneNumberId"):
        raise Refusal(
            HTTPStatus.BAD_REQUEST, "Couldn't Get Phone Number. Need Either `phoneNumberId` Or `phoneNumber`."
        )
    if scenario.phone_numbers and body["phoneNumberId"] not in scenario.phone_numbers:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Couldn't Get Phone Number. `phoneNumberId` Does Not Exist.")
    if scenario.assistants and named == ["assistantId"] and body["assistantId"] not in scenario.assistants:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Couldn't Get Assistant. `assistantId` Does Not Exist.")
    for server in _servers(body):
        if server.get("credentialId") is not None and server["credentialId"] not in scenario.credentials:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, f"Couldn't Get Credential. `{server['credentialId']}` Does Not Exist."
            )
    return body


def _problems(body: Mapping[str, Any]) -> Iterator[str]:
    yield from _strangers(body, CALL, "")
    yield from _too_long(body, ("name",), "")
    yield from _texts(body, ("assistantId", "squadId", "phoneNumberId"))
    for name, known in (("assistantOverrides", OVERRIDES), ("squadOverrides", OVERRIDES), ("assistant", ASSISTANT)):
        yield from _assistant_problems(body.get(name), known, name)
    if "customers" not in body and "customerId" not in body:
        yield from _customer_problems(body.get("customer"))


def _assistant_problems(fields: object, known: Collection[str], at: str) -> Iterator[str]:
    if fields is None:
        return
    if not isinstance(fields, dict):
        yield f"{at} must be an object"
        return
    yield from _strangers(fields, known, f"{at}.")
    yield from _too_long(fields, ("name",), f"{at}.")
    messages = fields.get("serverMessages")
    if messages is not None and not (isinstance(messages, list) and all(isinstance(name, str) for name in messages)):
        yield f"{at}.serverMessages must be an array of strings"
    longest = fields.get("maxDurationSeconds")
    if longest is not None and not (_is_number(longest) and 10 <= longest <= 43200):
        yield f"{at}.maxDurationSeconds must be a number between 10 and 43200"
    if "server" in fields:
        yield from _server_problems(fields["server"], f"{at}.server")


def _server_problems(server: object, at: str) -> Iterator[str]:
    if not isinstance(server, dict):
        yield f"{at} must be an object"
        return
    yield from _strangers(server, SERVER, f"{at}.")
    url = server.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        yield f"{at}.url must be a URL address"
    patience = server.get("timeoutSeconds")
    if patience is not None and not (_is_number(patience) and 1 <= patience <= 300):
        yield f"{at}.timeoutSeconds must be a number between 1 and 300"
    headers = server.get("headers")
    if headers is not None and not (isinstance(headers, dict) and all(isinstance(v, str) for v in headers.values())):
        yield f"{at}.headers must be an object of strings"
    plan = server.get("backoffPlan")
    if plan is None:
        return
    if not isinstance(plan, dict):
        yield f"{at}.backoffPlan must be an object"
        return
    yield from _strangers(plan, BACKOFF, f"{at}.backoffPlan.")
    if plan.get("type") not in {"fixed", "exponential"}:
        yield f"{at}.backoffPlan.type must be one of the following values: fixed, exponential"
    for name in ("maxRetries", "baseDelaySeconds"):
        if not (_is_number(plan.get(name)) and 0 <= plan[name] <= 10):
            yield f"{at}.backoffPlan.{name} must be a number between 0 and 10"
    if not isinstance(plan.get("excludedStatusCodes", []), list):
        yield f"{at}.backoffPlan.excludedStatusCodes must be an array"


def _customer_problems(customer: object) -> Iterator[str]:
    if not isinstance(customer, dict):
        yield "customer must be an object"
        return
    yield from _strangers(customer, CUSTOMER, "customer.")
    yield from _too_long(customer, ("name", "externalId", "email"), "customer.")
    yield from _too_long(customer, ("extension",), "customer.", longest=10)
    for name in ("assistantOverrides", "squadOverrides"):
        yield from _assistant_problems(customer.get(name), OVERRIDES, f"customer.{name}")
    checked = customer.get("numberE164CheckEnabled", True) is not False
    number = customer.get("number")
    if not isinstance(number, str) or not (E164 if checked else ANY_NUMBER).fullmatch(number):
        yield (
            "customer.number must be a valid phone number in the E.164 format."
            " Hot tip, you may be missing the country code (Eg. US: +1)."
        )


def _strangers(fields: Mapping[str, Any], known: Collection[str], at: str) -> Iterator[str]:
    for name in fields:
        if name not in known:
            yield f"{at}property {name} should not exist"


def _too_long(fields: Mapping[str, Any], names: tuple[str, ...], at: str, longest: int = LONGEST_NAME) -> Iterator[str]:
    for name in names:
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= longest):
            yield f"{at}{name} must be a string shorter than or equal to {longest} characters"


def _texts(fields: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if fields.get(name) is not None and not isinstance(fields[name], str):
            yield f"{name} must be a string"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _servers(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    customer = body["customer"]
    for holder in (body, customer):
        for name in ("assistantOverrides", "squadOverrides", "assistant"):
            fields = holder.get(name) or {}
            if fields.get("server"):
                yield fields["server"]
