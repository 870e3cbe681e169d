from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from campaigns.errors import MalformedMessage
from campaigns.rules.call_status import CallStatus
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.vapi.events import Limits, Message, MessageKind, read_call, read_message

ID = "0198f2c4-7a10-7d3e-9b55-3f0c1d2e4a61"
OURS = UUID("5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f")
CONTROL = f"https://phone-call-websocket.aws-us-west-2-backend-production1.vapi.ai/{ID}/control"
CREATED = datetime(2026, 6, 15, 13, 40, tzinfo=UTC)
STATUS, REPORT, OTHER, REQUEST = MessageKind.STATUS, MessageKind.REPORT, MessageKind.OTHER, MessageKind.REQUEST

Pushed = Callable[[str], bytes]
Recording = Callable[[str], Any]


def at(milliseconds: int) -> datetime:
    return CREATED + timedelta(milliseconds=milliseconds)


def stamp(milliseconds: int) -> str:
    return str(1_781_530_800_000 + milliseconds)


def told(message: Message) -> Message:
    """The message without its body and without what was said, which have tests of their own."""
    ending = message.ending and replace(message.ending, said=(), replied=(), tools=frozenset())
    return replace(message, body={}, ending=ending)


def expected(kind_of: str, kind: MessageKind, moment: int, key: str, **more: Any) -> Message:
    facts: dict[str, Any] = {
        "provider_id": ID,
        "call_id": OURS,
        "status": None,
        "occurred_at": at(moment),
        "ending": None,
        "limits": None,
        "control_url": CONTROL,
        "outbound": True,
    }
    return Message(type=kind_of, kind=kind, dedupe_key=f"{ID}:{key}", body={}, **(facts | more))


@pytest.mark.parametrize(
    ("word", "status", "moment"),
    [
        ("scheduled", CallStatus.SCHEDULED, 0),
        ("queued", CallStatus.QUEUED, 0),
        ("ringing", CallStatus.RINGING, 2300),
        ("in-progress", CallStatus.IN_PROGRESS, 12400),
        ("forwarding", CallStatus.FORWARDING, 31000),
    ],
)
def test_a_status_is_told_in_our_words(pushed: Pushed, word: str, status: CallStatus, moment: int) -> None:
    key = f"status-update:{word}::::{stamp(moment)}"
    assert told(read_message(pushed(f"status-{word}"))) == expected("status-update", STATUS, moment, key, status=status)


HUNG_UP = Ending(
    "customer-ended-call", OutcomeClass.COMPLETED, rang=True, answered=True, started_at=at(12400), ended_at=at(33400)
)
NOT_ANSWERED = Ending("customer-did-not-answer", OutcomeClass.NO_ANSWER, rang=True, answered=False, ended_at=at(47100))
NO_LINE = Ending(
    "call.start.error-subscription-concurrency-limit-reached",
    OutcomeClass.CAPACITY,
    rang=False,
    no_line=True,
    answered=False,
    ended_at=at(400),
)


@pytest.mark.parametrize(
    ("name", "moment", "ending"),
    [
        ("status-ended", 33400, HUNG_UP),
        ("status-ended-with-backoff-plan", 33400, HUNG_UP),
        ("status-ended-no-answer", 47100, NOT_ANSWERED),
        ("status-ended-no-line", 400, NO_LINE),
    ],
)
def test_an_end_tells_its_reason_and_leaves_the_cost_to_the_report(
    pushed: Pushed, name: str, moment: int, ending: Ending
) -> None:
    ended = expected("status-update", STATUS, moment, "status:ended", status=CallStatus.ENDED, ending=ending)
    assert told(read_message(pushed(name))) == ended


def costs(**components: str) -> dict[str, Decimal]:
    return {component: Decimal(dollars) for component, dollars in components.items()}


MONO = f"https://storage.example.org/{ID}-mono.wav"
START = "AI: Hello Mirela, this is Nell from Larkspur Dental.\nUser: Oh, hello Nell. Is it about my check-up?\n"
TALK = START + "AI: It is. Would Tuesday at nine suit you?\nUser: Tuesday at nine is perfect, thank you.\n"
FULL = costs(
    transport="0.0052", transcription="0.0035", model="0.0061", voice="0.0102", platform="0.0175", analysis="0.0025"
)
FREE = costs(transport="0", platform="0")
ANSWERS = {
    "booked": True,
    "slot": "2026-06-23T09:00",
    "do_not_call": False,
    "password_reset_wanted": "no",
    "mood": {"tone": "friendly"},
}
COMPLETED = replace(
    HUNG_UP,
    cost=Decimal("0.045"),
    costs=FULL,
    summary="Mirela accepted the appointment on Tuesday at nine.",
    success="true",
    structured=ANSWERS | {"Appointment": {"weekday": "Tuesday", "hour": 9}},
    transcript=TALK,
    recording=MONO,
    complete=True,
)
UNREACHED = replace(NOT_ANSWERED, cost=Decimal(0), costs=FREE, complete=True)


@pytest.mark.parametrize(
    ("name", "moment", "ending"),
    [
        ("report-completed", 40200, COMPLETED),
        ("report-no-answer", 48900, UNREACHED),
        (
            "report-busy",
            7000,
            replace(UNREACHED, reason="customer-busy", outcome=OutcomeClass.BUSY, ended_at=at(5200)),
        ),
        (
            "report-invalid-number",
            3000,
            replace(
                UNREACHED,
                reason="twilio-reported-customer-misdialed",
                outcome=OutcomeClass.CUSTOMER_SIDE,
                rang=False,
                ended_at=at(1400),
            ),
        ),
        (
            "report-carrier-failed",
            3200,
            replace(
                UNREACHED,
                reason="twilio-failed-to-connect-call",
                outcome=OutcomeClass.TRANSPORT_ERROR,
                rang=False,
                ended_at=at(1600),
            ),
        ),
        (
            "report-voicemail",
            29700,
            Ending(
                "voicemail",
                OutcomeClass.VOICEMAIL,
                rang=True,
                answered=False,
                started_at=at(12400),
                ended_at=at(26000),
                cost=Decimal("0.0217"),
                costs=costs(
                    transport="0.0034",
                    transcription="0.0023",
                    voice="0.0041",
                    platform="0.0113",
                    voicemail_detection="0.0006",
                ),
                summary="A machine answered and a message was left.",
                success="false",
                transcript="User: You have reached Mirela Osei. Please leave a message.\n"
                "AI: Hello, this is Nell from Larkspur Dental. Please call us back.\n",
                recording=MONO,
                complete=True,
            ),
        ),
        (
            "report-pipeline-error",
            22000,
            Ending(
                "call.in-progress.error-providerfault-openai-503-server-overloaded-error",
                OutcomeClass.PIPELINE_ERROR,
                rang=True,
                answered=True,
                started_at=at(12400),
                ended_at=at(18900),
                cost=Decimal("0.0146"),
                costs=costs(
                    transport="0.0016", transcription="0.0011", model="0.0031", voice="0.0034", platform="0.0054"
                ),
                transcript=START,
                recording=MONO,
                complete=True,
            ),
        ),
        (
            "report-transferred",
            52000,
            Ending(
                "assistant-forwarded-call",
                OutcomeClass.COMPLETED,
                rang=True,
                answered=True,
                started_at=at(12400),
                ended_at=at(44000),
                cost=Decimal("0.045"),
                costs=FULL,
                summary="Mirela was put through to reception.",
                success="true",
                transcript=START,
                recording=MONO,
                complete=True,
            ),
        ),
        # An old form: everything at the top of the message, costs only as a breakdown, no structured outputs.
        ("legacy-report-top-level-fields", 40200, replace(COMPLETED, structured=ANSWERS)),
    ],
)
def test_a_report_tells_everything(pushed: Pushed, name: str, moment: int, ending: Ending) -> None:
    report = expected("end-of-call-report", REPORT, moment, "report", status=CallStatus.ENDED, ending=ending)
    assert told(read_message(pushed(name))) == report


FINAL = 'transcript[transcriptType="final"]'


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hang", expected("hang", MessageKind.HANG, 24000, f"hang:::::{stamp(24000)}")),
        (
            "speech-update",
            expected("speech-update", OTHER, 13300, f"speech-update:started:assistant:0::{stamp(13300)}"),
        ),
        ("user-interrupted", expected("user-interrupted", OTHER, 20600, f"user-interrupted:::::{stamp(20600)}")),
        (
            "conversation-update",
            expected("conversation-update", OTHER, 19500, f"conversation-update:::::{stamp(19500)}"),
        ),
        ("transcript-user-partial", expected("transcript", OTHER, 17000, f"transcript::user::partial:{stamp(17000)}")),
        ("transcript-user-final", expected("transcript", OTHER, 18400, f"transcript::user::final:{stamp(18400)}")),
        ("transcript-assistant-final", expected(FINAL, OTHER, 15300, f"{FINAL}::assistant::final:{stamp(15300)}")),
        ("transfer-update", expected("transfer-update", OTHER, 30800, f"transfer-update:::::{stamp(30800)}")),
        ("artifact-upload", expected("call.artifact.upload", OTHER, 47000, f"call.artifact.upload:::::{stamp(47000)}")),
        ("tool-calls", expected("tool-calls", REQUEST, 26800, f"tool-calls:::::{stamp(26800)}")),
        (
            "legacy-tool-calls-object-arguments",
            expected("tool-calls", REQUEST, 26800, f"tool-calls:::::{stamp(26800)}"),
        ),
        ("legacy-function-call", expected("function-call", REQUEST, 26800, f"function-call:::::{stamp(26800)}")),
        (
            "call-deleted",
            expected(
                "call.deleted",
                MessageKind.DELETED,
                9_000_000,
                f"call.deleted:::::{stamp(9_000_000)}",
                status=CallStatus.ENDED,
                ending=Ending("customer-ended-call", OutcomeClass.COMPLETED, rang=True, answered=True),
            ),
        ),
    ],
)
def test_every_other_message_is_told_apart(pushed: Pushed, name: str, message: Message) -> None:
    assert told(read_message(pushed(name))) == message


def test_a_message_without_envelope_time_or_our_id_is_read_as_far_as_it_goes(pushed: Pushed) -> None:
    ending = Ending("customer-ended-call", OutcomeClass.COMPLETED, rang=True, answered=True)
    flat = expected("status-update", STATUS, 0, "status:ended", status=CallStatus.ENDED, ending=ending)
    assert told(read_message(pushed("legacy-status-flat"))) == replace(
        flat, call_id=None, occurred_at=None, control_url=None
    )


def test_a_request_without_a_time_is_known_by_its_body(pushed: Pushed) -> None:
    message = read_message(pushed("legacy-tool-calls-flattened"))
    assert (message.type, message.kind, message.provider_id) == ("tool-calls", REQUEST, ID)
    assert message.occurred_at == at(12400)  # the call's, for want of the message's
    assert message.dedupe_key.startswith(f"{ID}:body:")
    assert message.dedupe_key == read_message(pushed("legacy-tool-calls-flattened")).dedupe_key


def test_an_inbound_call_is_none_of_ours(pushed: Pushed) -> None:
    message = read_message(pushed("assistant-request"))
    inbound = "0198f2c4-9c01-7aa0-8c44-5566778899aa"
    key = f"assistant-request:::::{stamp(60000)}"
    strangers = expected("assistant-request", REQUEST, 60000, key, call_id=None, provider_id=inbound)
    assert told(message) == replace(strangers, dedupe_key=f"{inbound}:{key}", control_url=None, outbound=False)


def test_a_message_about_no_call_is_known_by_its_body(pushed: Pushed, recording: Recording) -> None:
    message = read_message(pushed("campaign-predial"))
    assert (message.type, message.kind) == ("campaign.predial", REQUEST)
    assert (message.provider_id, message.call_id, message.status, message.ending) == (None, None, None, None)
    assert message.occurred_at == at(-900)
    assert message.dedupe_key.startswith("body:")
    again = recording("campaign-predial")
    assert read_message(json.dumps(again, indent=3).encode()).dedupe_key == message.dedupe_key
    again["message"]["contact"]["number"] = "+12025550144"
    assert read_message(json.dumps(again).encode()).dedupe_key != message.dedupe_key


# What is asked for


@pytest.mark.parametrize(
    ("name", "status", "limits"),
    [
        ("created", CallStatus.QUEUED, Limits(blocked=False, limit=10, remaining=6)),
        ("created-blocked", CallStatus.QUEUED, Limits(blocked=True, limit=10, remaining=0)),
        ("created-scheduled", CallStatus.SCHEDULED, Limits(blocked=False, limit=10, remaining=10)),
    ],
)
def test_the_answer_to_placing_a_call_tells_the_lines_left(
    recording: Recording, name: str, status: CallStatus, limits: Limits
) -> None:
    key = f"asked:2026-06-15T13:40:00.000Z:{status}"
    assert told(read_call(recording(name), now=CREATED)) == expected(
        "call", STATUS, 0, key, status=status, limits=limits
    )


def test_an_asked_call_tells_what_its_report_tells(recording: Recording) -> None:
    key = "asked:2026-06-15T13:40:39.900Z:ended:complete"
    asked = expected("call", STATUS, 39900, key, status=CallStatus.ENDED, ending=COMPLETED)
    assert told(read_call(recording("asked-ended"), now=at(41000))) == asked


def test_a_listing_is_read_call_by_call(recording: Recording) -> None:
    first, second, third = (read_call(call, now=at(60000)) for call in recording("listing"))
    assert first.call_id == OURS
    assert told(first).ending == COMPLETED
    assert second.call_id == UUID("6c7f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e30")  # by name: metadata is null there
    assert second.ending == NOT_ANSWERED
    assert (third.call_id, third.status, third.ending) == (None, CallStatus.IN_PROGRESS, None)


def test_an_end_without_analysis_is_complete_once_no_analysis_can_still_run(recording: Recording) -> None:
    call = recording("listing")[1] | {"analysis": {}}
    early = read_call(call, now=at(47100) + timedelta(minutes=4, seconds=59))
    late = read_call(call, now=at(47100) + timedelta(minutes=5))
    assert early.ending is not None
    assert late.ending is not None
    assert (early.ending.complete, late.ending.complete) == (False, True)
    assert (early.ending.cost, late.ending.cost) == (None, Decimal(0))
    # The provider's record has not changed in between, so only the key can tell that there is news.
    assert early.dedupe_key != late.dedupe_key


def test_an_analysis_with_content_completes_an_end_at_once(recording: Recording) -> None:
    call = recording("listing")[1] | {"analysis": {"successEvaluation": False}}
    ending = read_call(call, now=at(47200)).ending
    assert ending is not None
    assert (ending.complete, ending.success) == (True, "false")


@pytest.mark.parametrize("answer", [None, [], "call", 3])
def test_an_answer_that_is_no_call_is_refused(answer: Any) -> None:
    with pytest.raises(MalformedMessage, match="not a call"):
        read_call(answer, now=CREATED)


def test_an_answer_without_an_id_is_read_and_names_none() -> None:
    message = read_call({"status": "queued"}, now=CREATED)
    assert (message.provider_id, message.call_id, message.status) == (None, None, CallStatus.QUEUED)
    assert message.dedupe_key != read_call({"status": "ringing"}, now=CREATED).dedupe_key
