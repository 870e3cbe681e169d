"""What somebody asked for in a call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from campaigns.rules.definition.signals import Signals
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.rules.wishes import callback, opted_out, understood

SIGNALS = Signals()
ENDED = datetime(2027, 3, 2, 17, tzinfo=UTC)
NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"


def ended(outcome: OutcomeClass = OutcomeClass.COMPLETED, **more: Any) -> Ending:
    return Ending(reason="some-reason", outcome=outcome, rang=True, **({"answered": True} | more))


@pytest.mark.parametrize(
    "answers",
    [
        {"do_not_call": True},
        {"doNotCall": "Yes, please"},
        {"Do Not Call": 1},
        {"opt-out": "TRUE"},
        {"Wishes": {"dnc": "yes"}},
        {"wishes": [{"interested": True}, {"unsubscribe": [False, True]}]},
    ],
)
def test_a_yes_under_a_name_that_says_so_is_an_opt_out_in_any_spelling(answers: dict[str, Any]) -> None:
    ending = ended(structured=answers)
    assert understood(ending, SIGNALS) is OutcomeClass.OPTED_OUT
    assert (opted_out(ending, SIGNALS) or "").startswith("the answer ")


@pytest.mark.parametrize(
    "answers",
    [
        {"do_not_call": False},
        {"do_not_call": "no"},
        {"do_not_call": None},
        {"do_not_call": 0},
        {"do_not_call": 7},
        {"do_not_call": ""},
        {"do_not_call": "not asked for"},
        {"interested": True},
        {"recall": True},
    ],
)
def test_anything_else_is_none(answers: dict[str, Any]) -> None:
    assert understood(ended(structured=answers), SIGNALS) is OutcomeClass.COMPLETED


def test_a_campaign_names_its_own_field_or_one_answer_of_it() -> None:
    own = Signals(defaults=False, opt_out_fields=("wants_us_gone", "disposition=do not call"))
    for answers, found in (
        ({"wants_us_gone": True}, True),
        ({"disposition": "DO_NOT_CALL"}, True),
        ({"disposition": "yes"}, False),
        ({"do_not_call": True}, False),
    ):
        assert (opted_out(ended(structured=answers), own) is not None) is found, answers


@pytest.mark.parametrize("tool", ["do_not_call", "addToDoNotCall", "OPT-OUT"])
def test_a_tool_that_was_called_is_an_opt_out(tool: str) -> None:
    assert opted_out(ended(tools=frozenset({"book", tool})), SIGNALS) is not None
    assert opted_out(ended(tools=frozenset({tool})), Signals(defaults=False, opt_out_tools=("remove",))) is None
    assert opted_out(ended(tools=frozenset({tool})), Signals(opt_out_tools=("remove",))) is not None  # beside the usual


@pytest.mark.parametrize(
    "said",
    ["Look: TAKE me off  your list!", "please don\N{RIGHT SINGLE QUOTATION MARK}t call me again", "Stop calling me."],
)
def test_what_the_person_says_is_an_opt_out(said: str) -> None:
    assert understood(ended(said=("Hello?", said)), SIGNALS) is OutcomeClass.OPTED_OUT


def test_the_assistant_may_explain_how_to_opt_out_and_ends_with_words_that_the_campaign_names() -> None:
    assert opted_out(ended(replied=("Say: take me off your list.",)), SIGNALS) is None
    own = Signals(opt_out_replies=("you will not hear from us again",))
    assert opted_out(ended(replied=("Done. You will not hear from us again!",)), own) is not None
    assert opted_out(ended(said=("You will not hear from us again",)), own) is None


def test_words_within_words_are_others() -> None:
    assert opted_out(ended(said=("We bus-stop calling menu",)), SIGNALS) is None
    japanese = Signals(opt_out_phrases=("電話しないで",))
    assert opted_out(ended(said=("もう電話しないでください",)), japanese) is not None


def test_the_greeting_of_a_machine_is_nobodys_wish_but_an_answer_or_a_tool_counts() -> None:
    greeting = ("Do not call this number, write to me.",)
    machine = ended(OutcomeClass.VOICEMAIL, answered=False, said=greeting)
    assert understood(machine, SIGNALS) is OutcomeClass.VOICEMAIL
    told = ended(OutcomeClass.VOICEMAIL, answered=False, structured={"do_not_call": True})
    assert understood(told, SIGNALS) is OutcomeClass.OPTED_OUT


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_an_opt_out_counts_whatever_ended_the_call(outcome: OutcomeClass) -> None:
    assert understood(ended(outcome, structured={"opted_out": True}), SIGNALS) is OutcomeClass.OPTED_OUT


@pytest.mark.parametrize("value", [True, "yes", "2027-03-04T10:00:00Z", "tomorrow"])
def test_a_wish_to_be_called_back_is_no_success(value: object) -> None:
    ending = ended(structured={"callback_time": value})
    assert understood(ending, SIGNALS) is OutcomeClass.CALLBACK
    assert understood(ended(OutcomeClass.PIPELINE_ERROR, structured={"callback_time": value}), SIGNALS) is (
        OutcomeClass.CALLBACK
    )
    assert understood(ended(structured={"callback_time": value, "dnc": True}), SIGNALS) is OutcomeClass.OPTED_OUT


@pytest.mark.parametrize("value", [False, None, "", "no", "No, thanks", "none", "null", 0])
def test_without_a_wish_there_is_none(value: object) -> None:
    assert understood(ended(structured={"callback_time": value}), SIGNALS) is OutcomeClass.COMPLETED


@pytest.mark.parametrize("outcome", [OutcomeClass.NO_ANSWER, OutcomeClass.VOICEMAIL, OutcomeClass.CUSTOMER_SIDE])
def test_who_never_spoke_wants_no_callback(outcome: OutcomeClass) -> None:
    assert understood(ended(outcome, structured={"callback": True}), SIGNALS) is outcome
    assert understood(ended(answered=False, structured={"callback": True}), SIGNALS) is OutcomeClass.COMPLETED


@pytest.mark.parametrize(
    ("value", "zones", "at"),
    [
        ("2027-03-03T14:30:00-05:00", [], datetime(2027, 3, 3, 19, 30, tzinfo=UTC)),
        ("2027-03-03T14:30:00Z", [NEW_YORK, CHICAGO], datetime(2027, 3, 3, 14, 30, tzinfo=UTC)),
        ("2027-03-03T14:30", [NEW_YORK], datetime(2027, 3, 3, 19, 30, tzinfo=UTC)),
        ("2027-03-03 14:30", [NEW_YORK, "America/Detroit"], datetime(2027, 3, 3, 19, 30, tzinfo=UTC)),
        ("2027-03-03", [CHICAGO], datetime(2027, 3, 3, 6, tzinfo=UTC)),
        # The hour that a clock shows twice: the later; the hour that it skips: when it has passed.
        ("2027-11-07T01:30", [NEW_YORK], datetime(2027, 11, 7, 6, 30, tzinfo=UTC)),
        ("2027-03-14T02:30", [NEW_YORK], datetime(2027, 3, 14, 7, 30, tzinfo=UTC)),
    ],
)
def test_the_time_that_was_asked_for(value: str, zones: list[str], at: datetime) -> None:
    found = callback({"callback_requested": True, "callback_at": value}, SIGNALS, zones=zones, ended_at=ENDED)
    assert found.at == at
    assert found.why == f"asked for {at:%Y-%m-%d %H:%M} UTC"


@pytest.mark.parametrize(
    ("value", "zones", "why"),
    [
        (True, [NEW_YORK], "no particular time"),
        ("yes", [NEW_YORK], "no particular time"),
        ("2027-03-03T14:30", [NEW_YORK, CHICAGO], "has no offset"),
        ("2027-03-03T14:30", [], "has no offset"),
        ("2027-03-02T12:00:00-05:00", [NEW_YORK], "was over"),
        ("2029-01-01T12:00:00Z", [NEW_YORK], "more than a year away"),
        ("tomorrow at noon", [NEW_YORK], "no time that can be read"),
        ("9999-12-31T23:59:59-14:00", [NEW_YORK], "no time that can be read"),
    ],
)
def test_a_time_that_cannot_be_kept_is_named_and_the_plan_says_when(value: object, zones: list[str], why: str) -> None:
    found = callback({"callback_time": value}, SIGNALS, zones=zones, ended_at=ENDED)
    assert found.at is None
    assert why in found.why


def test_of_several_answers_the_first_with_a_time_that_can_be_kept_counts() -> None:
    answers = {"callback_time": "later", "callback_at": "2027-03-04T10:00:00Z"}
    assert callback(answers, SIGNALS, zones=[], ended_at=ENDED).at == ENDED + timedelta(hours=41)


def test_a_signal_without_words_is_refused() -> None:
    for signal in ("", "?!"):
        with pytest.raises(ValidationError):
            Signals(opt_out_phrases=(signal,))
