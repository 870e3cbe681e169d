from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules.outcome import OutcomeClass
from campaigns.vapi.ended_reasons import ending_class, published_reasons

SIP = "call.in-progress.error-providerfault-outbound-sip-"
CONFIG = "call.in-progress.error-configfault-"
VAPI = "call.in-progress.error-vapifault-"
START = "call.start.error-"

# Written from the provider's description, not from our data file: everything that is no fault of a model or a voice.
BY_CLASS = {
    OutcomeClass.COMPLETED: [
        "assistant-ended-call",
        "assistant-ended-call-after-message-spoken",
        "assistant-ended-call-with-hangup-task",
        "assistant-said-end-call-phrase",
        "assistant-forwarded-call",
        "assistant-request-returned-forwarding-phone-number",
        "customer-ended-call",
        "customer-ended-call-before-warm-transfer",
        "customer-ended-call-after-warm-transfer-attempt",
        "customer-ended-call-during-transfer",
        "exceeded-max-duration",
        "silence-timed-out",
        "call.in-progress.twilio-completed-call",
        "call.in-progress.sip-completed-call",
        "vonage-completed",
        "call.forwarding.operator-busy",
        "call.forwarding.no-answer",
        "call.in-progress.error-transfer-failed",
        "call.in-progress.error-warm-transfer-max-duration",
        "call.in-progress.error-warm-transfer-assistant-cancelled",
        "call.in-progress.error-warm-transfer-silence-timeout",
        "call.in-progress.error-warm-transfer-microphone-timeout",
        "call.ringing.hook-executed-say",
        "call.ringing.hook-executed-transfer",
        "call.ending.hook-executed-say",
        "call.ending.hook-executed-transfer",
    ],
    OutcomeClass.NO_ANSWER: [
        "customer-did-not-answer",
        SIP + "408-request-timeout",
        SIP + "480-temporarily-unavailable",
    ],
    OutcomeClass.BUSY: ["customer-busy"],
    OutcomeClass.VOICEMAIL: ["voicemail"],
    OutcomeClass.CUSTOMER_SIDE: [
        "twilio-reported-customer-misdialed",
        "sip-outbound-unallocated-number",
        "call.in-progress.error-assistant-did-not-receive-customer-audio",
        "customer-did-not-give-microphone-permission",
        "call.ringing.sip-inbound-caller-hungup-before-call-connect",
    ],
    OutcomeClass.TRANSPORT_ERROR: [
        "twilio-failed-to-connect-call",
        "vonage-failed-to-connect-call",
        "vonage-rejected",
        "vonage-disconnected",
        "sip-outbound-carrier-released-call",
        "phone-call-provider-closed-websocket",
        "phone-call-provider-bypass-enabled-but-no-call-received",
        "worker-shutdown",
        "call.in-progress.error-sip-inbound-call-failed-to-connect",
        "call.in-progress.error-sip-outbound-call-failed-to-connect",
        "call.ringing.error-sip-inbound-call-failed-to-connect",
        "call.start.error-get-transport",
        "call.in-progress.error-providerfault-transport-never-connected",
    ]
    + [SIP + end for end in ("403-forbidden", "407-proxy-authentication-required", "503-service-unavailable")]
    + [
        VAPI + end
        for end in [
            "transport-never-connected",
            "transport-connected-but-call-not-active",
            "worker-not-available",
            "worker-died",
            "call-started-but-connection-to-transport-missing",
            "chat-pipeline-failed-to-start",
        ]
    ]
    + [START + "vapifault-" + end for end in ("database-error", "get-org", "get-subscription", "worker-not-available")],
    OutcomeClass.ASSISTANT_ERROR: [
        "call-start-error-neither-assistant-nor-server-set",
        "assistant-not-found",
        "assistant-not-valid",
        "assistant-join-timed-out",
        "assistant-request-failed",
        "assistant-request-returned-error",
        "assistant-request-returned-unspeakable-error",
        "assistant-request-returned-invalid-assistant",
        "assistant-request-returned-no-assistant",
        "call.start.assistant-version-error-validation",
        "call.start.squad-version-error-validation",
    ]
    + [START + "get-" + end for end in ("assistant", "customer", "phone-number", "resources-validation")]
    + [START + "enterprise-feature-not-available-recording-consent"]
    + [CONFIG + end for end in ("model-unsupported-in-squad", "transport-unsupported-for-model")],
    OutcomeClass.CAPACITY: [
        START + "subscription-" + end
        for end in (
            "concurrency-limit-reached",
            "frozen",
            "insufficient-credits",
            "upgrade-failed",
            "wallet-does-not-exist",
        )
    ]
    + [START + end for end in ("vapi-number-outbound-daily-limit", "vapi-number-international", "fraud-check-failed")],
    OutcomeClass.CANCELLED: ["manually-canceled", "scheduled-call-deleted", "call-deleted"],
}
SPELLED_OUT = [(outcome, reason) for outcome, reasons in BY_CLASS.items() for reason in reasons]


def test_all_604_published_reasons_are_known_each_with_its_class() -> None:
    assert Counter(published_reasons().values()) == {
        OutcomeClass.PIPELINE_ERROR: 513,
        OutcomeClass.COMPLETED: 26,
        OutcomeClass.TRANSPORT_ERROR: 26,
        OutcomeClass.ASSISTANT_ERROR: 18,
        OutcomeClass.CAPACITY: 8,
        OutcomeClass.CUSTOMER_SIDE: 5,
        OutcomeClass.NO_ANSWER: 3,
        OutcomeClass.CANCELLED: 3,
        OutcomeClass.BUSY: 1,
        OutcomeClass.VOICEMAIL: 1,
    }


def test_the_91_reasons_outside_the_pipeline_are_exactly_those() -> None:
    assert len(SPELLED_OUT) == 91
    ours = {reason for reason, outcome in published_reasons().items() if outcome is not OutcomeClass.PIPELINE_ERROR}
    assert ours == {reason for _, reason in SPELLED_OUT}


@pytest.mark.parametrize(("outcome", "reason"), SPELLED_OUT)
def test_a_published_reason_has_its_class(outcome: OutcomeClass, reason: str) -> None:
    assert ending_class(reason).outcome is outcome


@pytest.mark.parametrize(
    "reason",
    [
        "pipeline-error-openai-llm-failed",
        "pipeline-error-anthropic-bedrock-429-exceeded-quota",
        "pipeline-error-custom-voice-failed",
        "pipeline-error-cartesia-522-server-error",
        "pipeline-error-eleven-labs-500-server-error",
        "pipeline-error-deepgram-returning-econnreset",
        "call.in-progress.error-pipeline-no-available-llm-model",
        "call.in-progress.error-vapifault-openai-429-rate-limit-reached",
        "call.in-progress.error-vapifault-playht-403-forbidden-out-of-characters",
        "call.in-progress.error-vapifault-xai-transcriber-rate-limited",
        "call.in-progress.error-providerfault-vapi-voice-failed",
        "call.in-progress.error-providerfault-groq-503-server-overloaded-error",
    ],
)
def test_faults_of_models_and_voices_are_published_and_leave_open_who_spoke(reason: str) -> None:
    assert reason in published_reasons()
    facts = ending_class(reason)
    assert (facts.outcome, facts.rang, facts.answered) == (OutcomeClass.PIPELINE_ERROR, True, None)


NEVER_RANG = {
    *(reason for _, reason in SPELLED_OUT if reason.startswith("call.start.")),
    "call-start-error-neither-assistant-nor-server-set",
    "scheduled-call-deleted",
    "twilio-reported-customer-misdialed",
    "sip-outbound-unallocated-number",
    "twilio-failed-to-connect-call",
    "vonage-failed-to-connect-call",
    "vonage-rejected",
    "call.in-progress.error-sip-inbound-call-failed-to-connect",
    "call.in-progress.error-sip-outbound-call-failed-to-connect",
    "call.in-progress.error-vapifault-transport-never-connected",
    "call.in-progress.error-providerfault-transport-never-connected",
    SIP + "407-proxy-authentication-required",
}


def test_only_reasons_that_prove_it_say_that_no_telephone_rang() -> None:
    assert {reason for reason in published_reasons() if not ending_class(reason).rang} == NEVER_RANG


@pytest.mark.parametrize(
    ("reason", "answered"),
    [
        ("customer-ended-call", True),
        ("assistant-forwarded-call", True),
        ("phone-call-provider-closed-websocket", True),
        ("customer-did-not-answer", False),
        ("customer-busy", False),
        ("voicemail", False),
        ("twilio-failed-to-connect-call", False),
        ("call.ringing.hook-executed-say", False),
        ("silence-timed-out", None),
        ("worker-shutdown", None),
        ("manually-canceled", None),
        ("assistant-join-timed-out", None),
    ],
)
def test_a_reason_hints_whether_a_person_spoke(reason: str, *, answered: bool | None) -> None:
    assert ending_class(reason).answered is answered


@pytest.mark.parametrize(
    ("reason", "outcome", "rang"),
    [
        ("call.start.error-subscription-overdue", OutcomeClass.CAPACITY, False),
        ("call.start.error-vapifault-queue-down", OutcomeClass.TRANSPORT_ERROR, False),
        ("call.start.error-something-new", OutcomeClass.ASSISTANT_ERROR, False),
        ("call.in-progress.error-configfault-voice-unsupported", OutcomeClass.ASSISTANT_ERROR, True),
        ("assistant-request-timed-out", OutcomeClass.ASSISTANT_ERROR, True),
        ("call.in-progress.error-providerfault-outbound-sip-480-gone", OutcomeClass.NO_ANSWER, True),
        ("telnyx-unallocated-number", OutcomeClass.CUSTOMER_SIDE, False),
        ("telnyx-failed-to-connect-call", OutcomeClass.TRANSPORT_ERROR, False),
        ("telnyx-disconnected", OutcomeClass.TRANSPORT_ERROR, True),
        ("call.in-progress.error-providerfault-outbound-sip-603-decline", OutcomeClass.TRANSPORT_ERROR, True),
        ("call.in-progress.error-warm-transfer-lost", OutcomeClass.COMPLETED, True),
        ("call.forwarding.rejected", OutcomeClass.COMPLETED, True),
        ("pipeline-error-new-voice-failed", OutcomeClass.PIPELINE_ERROR, True),
        ("call.in-progress.error-providerfault-new-llm-failed", OutcomeClass.PIPELINE_ERROR, True),
        ("customer-ended-call-laughing", OutcomeClass.COMPLETED, True),
        ("assistant-said-goodbye", OutcomeClass.COMPLETED, True),
        ("the-moon-was-full", OutcomeClass.UNKNOWN, True),
        ("", OutcomeClass.UNKNOWN, True),
        (None, OutcomeClass.UNKNOWN, True),
    ],
)
def test_a_reason_never_seen_falls_to_a_rule(reason: str | None, outcome: OutcomeClass, *, rang: bool) -> None:
    assert reason not in published_reasons()
    facts = ending_class(reason)
    assert (facts.outcome, facts.rang) == (outcome, rang)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("call.start.error-get-org", OutcomeClass.TRANSPORT_ERROR),
        ("call.start.error-get-subscription", OutcomeClass.TRANSPORT_ERROR),
        ("hangup", OutcomeClass.COMPLETED),
        ("assistant-error", OutcomeClass.ASSISTANT_ERROR),
    ],
)
def test_reasons_of_older_payloads_are_known_though_not_published(reason: str, outcome: OutcomeClass) -> None:
    assert ending_class(reason).outcome is outcome
    assert reason not in published_reasons()


@settings(deadline=None)  # the first example reads the table
@given(st.text())
def test_no_reason_is_an_error(reason: str) -> None:
    assert ending_class(reason).outcome in OutcomeClass


def test_who_ended_a_call_is_said_only_where_it_may_have_been_the_person() -> None:
    hung_up = {reason for reason in published_reasons() if ending_class(reason).hung_up}
    assert hung_up == {
        "customer-ended-call",
        "customer-ended-call-before-warm-transfer",
        "customer-ended-call-after-warm-transfer-attempt",
        "customer-ended-call-during-transfer",
        "call.in-progress.twilio-completed-call",
        "call.in-progress.sip-completed-call",
        "vonage-completed",
    }
    assert ending_class("hangup").hung_up
    assert ending_class("customer-ended-call-of-a-new-kind").hung_up
    assert not ending_class(None).hung_up
