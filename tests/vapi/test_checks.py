"""What the provider's answers mean for a campaign, before anybody is called."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.errors import AccountRefused, CallFailure
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.vapi.checks import Answer, Answers, Check, Level, assistant_ids, judge_answers, judge_setup, tool_ids
from tests.factories import ACCOUNT, CAMPAIGN

ID = CAMPAIGN["assistant_id"]
PUSHED = {"public_url": "http://127.0.0.1:8080", "webhook": [{"type": "bearer", "secret_env": ["HOOK"]}]}
NUMBER = {"id": "number-1", "provider": "twilio", "status": "active"}
QUIET = {"id": ID, "name": "Ada", "voicemailDetection": {"provider": "vapi"}}
TOOL = {"type": "function", "function": {"name": "book_slot"}}
SERVED = TOOL | {"server": {"url": "https://tools.example.com"}}


def judged(
    saved: Answer = None,
    *,
    number: Answer = None,
    saved_squad: Answer = None,
    tools: dict[str, Answer] | None = None,
    account: dict[str, Any] | None = None,
    assistants: dict[str, Answer] | None = None,
    **changes: Any,
) -> list[Check]:
    answers = Answers(
        squad=saved_squad,
        assistants={ID: saved} if assistants is None else assistants,
        tools=tools or {},
        phone_numbers={"number-1": number},
    )
    return list(
        judge_answers(
            CampaignDefinition.model_validate(CAMPAIGN | changes),
            AccountDefinition.model_validate(ACCOUNT | (PUSHED if account is None else account)),
            answers,
        )
    )


def complaints(checks: list[Check]) -> list[tuple[str, Level, str]]:
    return [(check.what, check.level, check.say) for check in checks if check.level is not Level.OK]


def about(assistant: dict[str, Any], **options: Any) -> list[tuple[str, Level, str]]:
    return complaints(judged(QUIET | assistant, number=NUMBER, **options))


def test_a_campaign_that_would_work() -> None:
    assert judged(QUIET, number=NUMBER) == [
        Check("key", Level.OK, "VAPI_API_KEY is accepted"),
        Check(f"assistant {ID}", Level.OK, "is there: Ada"),
        Check("phone number number-1", Level.OK, "is active, by twilio"),
    ]


def test_what_is_not_there_is_an_error_of_its_own() -> None:
    nowhere = "does not exist in this account: copy its id from Vapi's dashboard"
    assert complaints(judged()) == [
        (f"assistant {ID}", Level.ERROR, nowhere),
        ("phone number number-1", Level.ERROR, nowhere),
    ]
    squad = judged(assistants={}, number=NUMBER, assistant_id=None, squad_id="team")
    assert complaints(squad) == [("squad team", Level.ERROR, nowhere)]


def test_what_could_not_be_learned_is_said_with_its_reason() -> None:
    failure = CallFailure("the provider answered 400: id must be a UUID", status=400)
    say = "cannot be looked at: the provider answered 400: id must be a UUID"
    assert complaints(judged(failure, number=NUMBER)) == [(f"assistant {ID}", Level.ERROR, say)]


def test_a_refused_key_and_a_silent_provider_are_said_once() -> None:
    refused = AccountRefused("the provider answered 401: Invalid Key", status=401)
    say = "is refused: the provider answered 401: Invalid Key; put a private key into VAPI_API_KEY"
    assert judged(refused, number=refused) == [Check("key", Level.ERROR, say)]
    silent = CallFailure("the provider does not answer: ConnectError")
    say = "the provider does not answer: ConnectError: nothing can be learned from http://127.0.0.1:9 now"
    assert judged(silent, number=silent) == [Check("key", Level.ERROR, say)]


@pytest.mark.parametrize(
    ("number", "level", "say"),
    [
        ({"provider": "twilio"}, Level.OK, "is active, by twilio"),
        ({}, Level.OK, "is active, by an unnamed carrier"),
        ({"status": "activating"}, Level.WARNING, "is activating: wait until it is active, or call from another one"),
        ({"status": "blocked"}, Level.ERROR, "is blocked: wait until it is active, or call from another one"),
        (
            {"provider": "vapi", "status": "active"},
            Level.WARNING,
            "is a free Vapi number: few calls a day and none abroad; import one from a carrier",
        ),
        ({"provider": "vapi", "sipUri": "sip:a@sip.vapi.ai"}, Level.OK, "is active, by vapi"),
    ],
)
def test_a_number_that_cannot_carry_a_campaign_is_found(number: dict[str, Any], level: Level, say: str) -> None:
    assert judged(QUIET, number=number)[-1] == Check("phone number number-1", level, say)


UNSERVED = (
    f"tools of assistant {ID}",
    Level.ERROR,
    "book_slot: give each function tool a server.url of its own: nobody else answers it",
)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"tools": [TOOL]}, [UNSERVED]),
        ({"tools": [TOOL | {"server": {}}]}, [UNSERVED]),
        ({"toolIds": ["saved-1"]}, [UNSERVED]),
        ({"functions": [{"name": "book_slot"}]}, [UNSERVED]),
        ({"tools": [SERVED, {"type": "endCall"}, None], "toolIds": ["saved-2", "gone"]}, []),
        ({"tools": None}, []),
        (None, []),
    ],
)
def test_a_tool_that_nobody_would_answer_is_an_error(model: Any, found: list[Any]) -> None:
    saved: dict[str, Answer] = {"saved-1": TOOL, "saved-2": SERVED, "gone": None}
    assert about({"model": model}, tools=saved) == found


def test_without_a_public_address_tool_calls_go_where_the_assistant_says() -> None:
    assert about({"model": {"tools": [TOOL]}, "server": {"url": "https://theirs"}}, account={}) == []


def test_what_our_overrides_replace_is_noted() -> None:
    say = "its server and serverMessages are replaced in these calls: its own server hears nothing of them"
    note = (f"messages of assistant {ID}", Level.NOTE, say)
    assert about({"server": {"url": "https://theirs"}}) == [note]
    assert about({"serverMessages": ["transcript", "phone-call-control"]}) == [note]


def test_an_assistant_that_leaves_hanging_up_to_a_server_is_an_error_where_we_do_not_override_it() -> None:
    say = "take phone-call-control out of its serverMessages: with it Vapi waits for a server to hang up"
    found = about({"serverMessages": ["phone-call-control"]}, account={})
    assert found == [(f"messages of assistant {ID}", Level.ERROR, say)]
    assert about({"serverMessages": ["transcript"]}, account={}) == []


@pytest.mark.parametrize(
    ("detection", "voicemail", "noted"),
    [
        (None, None, True),
        ("off", None, True),
        ("off", {"message": "Hi"}, True),
        ("off", {"provider": "off"}, False),
        (None, {"provider": "vapi"}, False),
        ({"provider": "google"}, None, False),
    ],
)
def test_machines_that_would_pass_for_people_are_noted(detection: Any, voicemail: Any, noted: bool) -> None:  # noqa: FBT001 - one column of the table
    found = about({"voicemailDetection": detection}, voicemail=voicemail)
    assert [what for what, _, _ in found] == ([f"voicemail of assistant {ID}"] if noted else [])


def test_a_word_that_vapi_does_not_publish_is_found_in_an_assistant_of_the_file() -> None:
    own = {"voicemailDetection": {"provider": "vapi"}, "silenceTimeoutSeconds": 30, "serverUrl": "https://x"}
    found = complaints(judged(assistants={}, number=NUMBER, assistant_id=None, assistant=own))
    say = (
        "Vapi publishes no serverUrl, silenceTimeoutSeconds: it may refuse every call; "
        "take it out or try one call first"
    )
    assert found == [("fields of [assistant]", Level.WARNING, say)]
    assert about({"silenceTimeoutSeconds": 30}) == []  # a saved one is the provider's own record


def test_every_member_of_a_squad_is_looked_at_with_what_lies_over_it() -> None:
    squad = {
        "name": "team",
        "members": [
            {"assistantId": "one", "assistantOverrides": {"tools:append": [TOOL]}},
            {"assistant": {"model": {"toolIds": ["saved"]}}},
            {"assistantId": "gone"},
            {"assistantId": "one"},
        ],
        "membersOverrides": {"voicemailDetection": {"provider": "vapi"}},
    }
    for campaign in ({"squad_id": "team"}, {"squad": squad}):
        definition = CampaignDefinition.model_validate(CAMPAIGN | {"assistant_id": None} | campaign)
        stored = squad if "squad_id" in campaign else None
        assert assistant_ids(definition, stored) == ["one", "gone"]
        assistants: dict[str, Answer] = {"one": QUIET, "gone": None}
        assert tool_ids(definition, stored, assistants) == ["saved"]
        found = judged(
            assistants=assistants,
            saved_squad=stored,
            tools={"saved": TOOL},
            number=NUMBER,
            assistant_id=None,
            **campaign,
        )
        assert [(what, level) for what, level, _ in complaints(found)] == [
            ("assistant gone", Level.ERROR),
            ("tools of assistant one", Level.ERROR),
            ("tools of squad member #2", Level.ERROR),
        ]


@pytest.mark.parametrize(
    ("account", "found"),
    [
        (
            {},
            (
                "webhooks",
                Level.NOTE,
                "no public_url: the campaign runs by asking, and learns of each end minutes later",
            ),
        ),
        (
            PUSHED | {"base_url": "https://api.vapi.ai", "credential_id": "c"},
            ("webhooks", Level.ERROR, "public_url is this machine only: give an address that Vapi can reach"),
        ),
        (
            PUSHED,
            (
                "webhooks",
                Level.WARNING,
                "no credential_id: Vapi signs nothing, so the [[webhook]] checks would refuse it",
            ),
        ),
        (
            PUSHED | {"credential_id": "c"},
            ("webhooks", Level.OK, "arrive at http://127.0.0.1:8080/webhooks/vapi/main"),
        ),
    ],
)
def test_how_results_arrive_is_said_without_asking_anybody(account: dict[str, Any], found: tuple[Any, ...]) -> None:
    definition = AccountDefinition.model_validate(ACCOUNT | account)
    assert list(judge_setup(definition, [])) == [Check(*found)]


def test_a_secret_that_is_not_set_here_is_an_error_by_its_name() -> None:
    checks = list(judge_setup(AccountDefinition.model_validate(ACCOUNT), ["VAPI_API_KEY", "HOOK"]))
    say = "is not set here: put it into the environment or .env"
    assert checks[:2] == [Check(f"secret {name}", Level.ERROR, say) for name in ("VAPI_API_KEY", "HOOK")]
