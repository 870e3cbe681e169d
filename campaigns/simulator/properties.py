"""The properties that Vapi takes, object by object; it refuses a request with any other."""

from __future__ import annotations

ASSISTANT = frozenset(
    [
        "analysisPlan",
        "artifactPlan",
        "backgroundSound",
        "backgroundSpeechDenoisingPlan",
        "clientMessages",
        "compliancePlan",
        "credentialIds",
        "credentials",
        "endCallMessage",
        "endCallPhrases",
        "firstMessage",
        "firstMessageInterruptionsEnabled",
        "firstMessageMode",
        "hooks",
        "keypadInputPlan",
        "maxDurationSeconds",
        "metadata",
        "model",
        "modelOutputInMessagesEnabled",
        "monitorPlan",
        "name",
        "observabilityPlan",
        "server",
        "serverMessages",
        "startSpeakingPlan",
        "stopSpeakingPlan",
        "transcriber",
        "transportConfigurations",
        "voice",
        "voicemailDetection",
        "voicemailMessage",
    ]
)
OVERRIDES = ASSISTANT | {"variableValues", "tools:append"}
CALL = frozenset(
    [
        "assistant",
        "assistantId",
        "assistantOverrides",
        "assistantVersion",
        "customer",
        "customerId",
        "customers",
        "name",
        "phoneNumber",
        "phoneNumberId",
        "schedulePlan",
        "squad",
        "squadId",
        "squadOverrides",
        "transport",
        "workflow",
        "workflowId",
        "workflowOverrides",
    ]
)
CUSTOMER = frozenset(
    [
        "assistantOverrides",
        "email",
        "extension",
        "externalId",
        "name",
        "number",
        "numberE164CheckEnabled",
        "sipUri",
        "squadOverrides",
    ]
)
SERVER = frozenset(
    ["backoffPlan", "credentialId", "encryptedPaths", "headers", "staticIpAddressesEnabled", "timeoutSeconds", "url"]
)
BACKOFF = frozenset(["baseDelaySeconds", "excludedStatusCodes", "maxRetries", "type"])

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
