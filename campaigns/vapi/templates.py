"""Which variables a prompt names. Vapi renders prompts with Liquid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


def texts(record: object) -> Iterator[str]:
    """Every text inside what Vapi says of an assistant."""
    match record:
        case str():
            yield record
        case Mapping():
            for inner in record.values():
                yield from texts(inner)
        case list() | tuple():
            for inner in record:
                yield from texts(inner)


def needed(prompts: Iterable[str]) -> frozenset[str]:
    """The variables without which these texts would have a gap.

    Not those with a default, nor those that the text first asks for with `if`, nor its own.
    """
    from campaigns.vapi.gaps import gaps  # noqa: PLC0415 - most commands ask for none

    return frozenset(name for prompt in prompts if "{{" in prompt for name in gaps(prompt))
