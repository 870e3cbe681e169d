"""A list that was looked at: what it is, which column is what, and on whose terms its rows are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any, BinaryIO, Final, Self

from campaigns.pipeline.importing.sorting import Options
from campaigns.rules.definition import CampaignDefinition, Mapping_
from campaigns.rules.people_file import NOTHING_SAID, Format, Row, Shape, Surveyed, read_table, survey
from campaigns.rules.people_file.columns import Columns, choose
from campaigns.rules.people_file.people import Reader
from campaigns.rules.phone import known_region

SAMPLE: Final = 100  # rows by which a column of numbers is known without its heading, and which a preview may show
ADD: Final = Options()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is said of a list, where its looks and the campaign are not to decide."""

    shape: Shape = NOTHING_SAID
    mapping: Mapping_ | None = None
    default_region: str | None = None
    used: frozenset[str] = frozenset()
    """The variables that the assistant says: no row may lack one."""
    overridable: frozenset[str] = frozenset()
    """What of the assistant a row may have otherwise."""
    options: Options = ADD

    def as_terms(self) -> dict[str, Any]:
        """The same in what JSON has."""
        return {
            "shape": asdict(self.shape),
            "mapping": None if self.mapping is None else self.mapping.model_dump(mode="json"),
            "default_region": self.default_region,
            "used": sorted(self.used),
            "overridable": sorted(self.overridable),
            "options": asdict(self.options),
        }

    @classmethod
    def of_terms(cls, terms: Mapping[str, Any]) -> Self:
        """What `as_terms` wrote down."""
        shape, mapping = terms["shape"], terms["mapping"]
        return cls(
            shape=Shape(**shape | {"format": shape["format"] and Format(shape["format"])}),
            mapping=mapping and Mapping_.model_validate(mapping),
            default_region=terms["default_region"],
            used=frozenset(terms["used"]),
            overridable=frozenset(terms["overridable"]),
            options=Options(**terms["options"]),
        )


@dataclass(frozen=True, slots=True)
class OpenList:
    """A list that was read through once, and whose rows can be read now."""

    file: BinaryIO
    wishes: Wishes
    surveyed: Surveyed
    columns: Columns
    needed: frozenset[str]
    """The variables that must come from it."""
    rows: Iterator[Row]
    reader: Reader


NO_WISHES: Final = Wishes()


def open_list(
    file: BinaryIO, campaign: CampaignDefinition, wishes: Wishes = NO_WISHES, *, lenient: bool = False
) -> OpenList:
    """The list in a seekable file; with `lenient` also where it lacks a variable, so that it can be looked at.

    Raises `InvalidList` for a file that cannot be used as a whole: one that is no list, that has no column of numbers,
    or that lacks a variable.
    """
    default_region = known_region(wishes.default_region or campaign.default_region)
    mapping = wishes.mapping or campaign.mapping
    # What the campaign says belongs to the terms, too: changed meanwhile, an interrupted import is another one.
    wishes = replace(wishes, mapping=mapping, default_region=default_region)
    surveyed = survey(file, wishes.shape)
    table = read_table(file, surveyed.shape)
    sample = list(islice(table.rows, SAMPLE))
    columns = choose(
        table.header,
        mapping,
        sample=[row.cells for row in sample if row.problem is None],
        default_region=default_region,
        used=wishes.used,
    )
    needed = wishes.used - campaign.variables.keys()
    required = columns.required(needed.difference(columns.missing(needed)) if lenient else needed)
    reader = Reader(columns, default_region, required, wishes.overridable)
    return OpenList(file, wishes, surveyed, columns, needed, chain(sample, table.rows), reader)
