"""Whether a campaign would work at Vapi, judged from what Vapi says of its assistants and numbers: no network here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from campaigns.errors import AccountRefused, CallFailure
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.fields import is_loopback
from campaigns.vapi.endings import Json, mapping, text
from campaigns.vapi.templates import texts

Answer = Mapping[str, Any] | CallFailure | None
"""What the provider said of one thing: its record, that there is none, or the failure to learn it."""

KNOWN_FIELDS: Final = frozenset(
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
"""What Vapi publishes of an assistant sent with a call; it refuses a call with any other."""

_NOWHERE: Final = "does not exist in this account: copy its id from Vapi's dashboard"


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Works, but perhaps not as somebody expects."""
    WARNING = "warning"
    """Likely to disappoint."""
    ERROR = "error"
    """Will not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what to do about it."""

    what: str
    level: Level
    say: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that was asked before judging."""

    squad: Answer
    assistants: Mapping[str, Answer]
    tools: Mapping[str, Answer]
    phone_numbers: Mapping[str, Answer]

    def failures(self) -> list[CallFailure]:
        """What could not be learned."""
        asked = (self.squad, *self.assistants.values(), *self.tools.values(), *self.phone_numbers.values())
        return [answer for answer in asked if isinstance(answer, CallFailure)]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One assistant that may talk in a call, with what a squad overrides of it."""

    label: str
    fields: Answer
    overrides: tuple[Json, ...] = ()

    def layers(self) -> Iterator[Json]:
        """Its settings, and whatever lies over them."""
        if isinstance(self.fields, Mapping):
            yield self.fields
        yield from self.overrides


def assistant_ids(campaign: CampaignDefinition, squad: Answer) -> list[str]:
    """The saved assistants that may talk, to be asked for."""
    if campaign.assistant_id is not None:
        return [campaign.assistant_id]
    saved = (text(member.get("assistantId")) for member in _members(campaign, squad))
    return list(dict.fromkeys(found for found in saved if found))


def prompts(campaign: CampaignDefinition, squad: Answer, assistants: Mapping[str, Answer]) -> Iterator[str]:
    """Every text of those who may talk."""
    for speaker in speakers(campaign, squad, assistants):
        for layer in speaker.layers():
            yield from texts(layer)


def tool_ids(campaign: CampaignDefinition, squad: Answer, assistants: Mapping[str, Answer]) -> list[str]:
    """The saved tools that those who may talk can use, to be asked for."""
    listed = [
        found
        for speaker in speakers(campaign, squad, assistants)
        for layer in speaker.layers()
        for tool in _list(mapping(layer, "model").get("toolIds"))
        if (found := text(tool))
    ]
    return list(dict.fromkeys(listed))


def judge_setup(account: AccountDefinition, missing_secrets: Sequence[str]) -> Iterator[Check]:
    """What can be said without asking anybody; `missing_secrets` are the names that the environment lacks."""
    for name in missing_secrets:
        yield Check(f"secret {name}", Level.ERROR, "is not set here: put it into the environment or .env")
    if account.public_url is None:
        yield Check(
            "webhooks", Level.NOTE, "no public_url: the campaign runs by asking, and learns of each end minutes later"
        )
    elif is_loopback(account.public_url) and not account.loopback:
        yield Check("webhooks", Level.ERROR, "public_url is this machine only: give an address that Vapi can reach")
    elif account.credential_id is None:
        yield Check(
            "webhooks", Level.WARNING, "no credential_id: Vapi signs nothing, so the [[webhook]] checks would refuse it"
        )
    else:
        yield Check("webhooks", Level.OK, f"arrive at {account.public_url}/webhooks/vapi/{account.name}")


def judge_answers(campaign: CampaignDefinition, account: AccountDefinition, answers: Answers) -> Iterator[Check]:
    """What the provider's answers mean for the campaign."""
    failures = answers.failures()
    refused = next((failure for failure in failures if isinstance(failure, AccountRefused)), None)
    if refused is not None:
        yield Check("key", Level.ERROR, f"is refused: {refused}; put a private key into {account.key_env}")
        return
    silent = next((each for each in failures if each.status is None or each.status == 429 or each.status >= 500), None)
    if silent is not None:
        yield Check("key", Level.ERROR, f"{silent}: nothing can be learned from {account.base_url} now")
        return
    yield Check("key", Level.OK, f"{account.key_env} is accepted")
    if campaign.squad_id is not None:
        yield _exists(f"squad {campaign.squad_id}", answers.squad)
    for assistant_id in assistant_ids(campaign, answers.squad):
        yield _exists(f"assistant {assistant_id}", answers.assistants.get(assistant_id))
    for speaker in speakers(campaign, answers.squad, answers.assistants):
        yield from _judge_speaker(speaker, campaign, account, answers.tools)
    for number_id in campaign.phone_number_ids:
        yield _judge_number(f"phone number {number_id}", answers.phone_numbers.get(number_id))


def _judge_speaker(
    speaker: Speaker, campaign: CampaignDefinition, account: AccountDefinition, tools: Mapping[str, Answer]
) -> Iterator[Check]:
    layers = list(speaker.layers())
    yield from _judge_fields(speaker, campaign)
    pushed = account.public_url is not None
    if pushed:
        unserved = sorted({name for layer in layers for name in _unserved(layer, tools)})
        if unserved:
            say = f"{', '.join(unserved)}: give each function tool a server.url of its own: nobody else answers it"
            yield Check(f"tools of {speaker.label}", Level.ERROR, say)
    messages = {str(name) for layer in layers for name in _list(layer.get("serverMessages"))}
    if pushed and (messages or any(mapping(layer, "server") for layer in layers)):
        say = "its server and serverMessages are replaced in these calls: its own server hears nothing of them"
        yield Check(f"messages of {speaker.label}", Level.NOTE, say)
    if not pushed and "phone-call-control" in messages:
        say = "take phone-call-control out of its serverMessages: with it Vapi waits for a server to hang up"
        yield Check(f"messages of {speaker.label}", Level.ERROR, say)
    detected = any(layer.get("voicemailDetection") not in (None, "off") for layer in layers)
    if layers and not detected and (campaign.voicemail is None or campaign.voicemail.provider is None):
        say = "no detection: a machine that answers passes for a person; say provider in [voicemail] to change that"
        yield Check(f"voicemail of {speaker.label}", Level.NOTE, say)
    quiet = campaign.voicemail is not None and (campaign.voicemail.hang_up or campaign.voicemail.message_on != "every")
    if quiet and _is_saved(speaker, campaign) and any(text(layer.get("voicemailMessage")) for layer in layers):
        say = (
            "it has a voicemailMessage of its own; where [voicemail] says to hang up it is replaced by an empty one, "
            "which Vapi accepts and does not explain: take it out of the assistant to be sure"
        )
        yield Check(f"voicemail of {speaker.label}", Level.WARNING, say)


def _is_saved(speaker: Speaker, campaign: CampaignDefinition) -> bool:
    """Whether its settings are at Vapi, and not in the campaign's file."""
    return campaign.assistant is None and (campaign.squad is None or speaker.label.startswith("assistant "))


def _judge_fields(speaker: Speaker, campaign: CampaignDefinition) -> Iterator[Check]:
    """A transient assistant is the operator's own text, which Vapi refuses whole for one word that it does not know."""
    if not isinstance(speaker.fields, Mapping) or "id" in speaker.fields or campaign.assistant_id is not None:
        return
    unknown = sorted(set(speaker.fields) - KNOWN_FIELDS)
    if unknown:
        say = f"Vapi publishes no {', '.join(unknown)}: it may refuse every call; take it out or try one call first"
        yield Check(f"fields of {speaker.label}", Level.WARNING, say)


def _judge_number(what: str, answer: Answer) -> Check:
    found = _exists(what, answer)
    if found.level is not Level.OK or not isinstance(answer, Mapping):
        return found
    status = text(answer.get("status")) or "active"  # older records have none
    if status != "active":
        level = Level.WARNING if status == "activating" else Level.ERROR
        return Check(what, level, f"is {status}: wait until it is active, or call from another one")
    if answer.get("provider") == "vapi" and not answer.get("sipUri"):
        return Check(
            what, Level.WARNING, "is a free Vapi number: few calls a day and none abroad; import one from a carrier"
        )
    return Check(what, Level.OK, f"is {status}, by {text(answer.get('provider')) or 'an unnamed carrier'}")


def _exists(what: str, answer: Answer) -> Check:
    if isinstance(answer, CallFailure):
        return Check(what, Level.ERROR, f"cannot be looked at: {answer}")
    if answer is None:
        return Check(what, Level.ERROR, _NOWHERE)
    return Check(what, Level.OK, f"is there: {text(answer.get('name')) or 'without a name'}")


def speakers(campaign: CampaignDefinition, squad: Answer, assistants: Mapping[str, Answer]) -> list[Speaker]:
    """Everybody who may talk in a call, who begins first."""
    if campaign.assistant is not None:
        return [Speaker("[assistant]", campaign.assistant)]
    if campaign.assistant_id is not None:
        return [Speaker(f"assistant {campaign.assistant_id}", assistants.get(campaign.assistant_id))]
    over_all = mapping(campaign.squad or (squad if isinstance(squad, Mapping) else {}), "membersOverrides")
    found = []
    for turn, member in enumerate(_members(campaign, squad), 1):
        saved = text(member.get("assistantId"))
        fields = assistants.get(saved) if saved else mapping(member, "assistant")
        label = f"assistant {saved}" if saved else f"squad member #{turn}"
        found.append(Speaker(label, fields, (mapping(member, "assistantOverrides"), over_all)))
    return found


def _members(campaign: CampaignDefinition, squad: Answer) -> list[Json]:
    fields = campaign.squad or (squad if isinstance(squad, Mapping) else {})
    return [member for member in _list(fields.get("members")) if isinstance(member, Mapping)]


def _unserved(layer: Json, tools: Mapping[str, Answer]) -> Iterator[str]:
    """The names of function tools whose calls would come to our server, which does not serve them."""
    model = mapping(layer, "model")
    inline = [*_list(model.get("tools")), *_list(layer.get("tools:append"))]
    saved = [tools.get(str(found)) for found in _list(model.get("toolIds"))]
    for tool in (*inline, *saved):
        if isinstance(tool, Mapping) and tool.get("type") == "function" and not mapping(tool, "server").get("url"):
            yield text(mapping(tool, "function").get("name")) or "a function without a name"
    for function in _list(model.get("functions")):  # the form that tools had before
        if isinstance(function, Mapping):
            yield text(function.get("name")) or "a function without a name"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
