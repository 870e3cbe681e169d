"""Which column of a list is what: as the campaign file or the command says, else by its heading."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from campaigns.errors import InvalidInput, InvalidList
from campaigns.rules.definition import RESERVED_VARIABLES, Mapping_
from campaigns.rules.phone import parse

REPORT_COLUMNS: Final = ("rejected_line", "rejected_column", "rejected_value", "rejected_reason")
"""What a file of rejected rows has beside the original columns; ignored when it is corrected and imported again."""

MOSTLY: Final = 0.8  # of its filled cells that are numbers: a column without a known heading is then taken for them


class Role(StrEnum):
    """What a column may be, other than a variable."""

    PHONE = "phone"
    NAME = "name"
    EXTERNAL_ID = "external_id"
    EXTENSION = "extension"
    ZONE = "zone"
    COUNTRY = "country"
    REGION = "region"
    POSTAL_CODE = "postal_code"
    LANGUAGE = "language"
    PRIORITY = "priority"
    NOT_BEFORE = "not_before"
    CONSENT_SOURCE = "consent_source"
    CONSENT_AT = "consent_at"
    CONSENT_PROOF = "consent_proof"
    CONSENT_LEVEL = "consent_level"
    CONSENT_EXPIRES = "consent_expires"
    OVERRIDES = "overrides"


_HEADINGS: Final[Mapping[Role, str]] = {
    Role.PHONE: (
        "phone, phone number, phonenumber, phone no, telephone, telephone number, tel, tel no, mobile, mobile phone, "
        "mobile number, cell, cell phone, cellphone, number, msisdn, contact number, e164, primary phone, work phone, "
        "telefon, telefonnummer, tel nr, rufnummer, handy, handynummer, mobil, mobiltelefon, mobilnummer, "
        "telephone portable, portable, numero de telephone, numero, no de telephone, "
        "telefono, telefono movil, movil, celular, numero de telefono, telefono cellulare, cellulare, "
        "telefone, telemovel, numero de telefone, telefoonnummer, telefoon, mobiel, gsm, telefonnr, puhelin, "
        "puhelinnumero, numer telefonu, komorka, telefonszam, cep telefonu, телефон, мобильный, 電話番号, 電話, "
        "携帯電話, 手机, 手机号, 电话, 电话号码, 전화번호, 휴대폰, هاتف, رقم الهاتف, טלפון"
    ),
    Role.NAME: (
        "name, full name, fullname, contact, contact name, customer name, customer, nombre completo, "
        "nom complet, vollständiger name, nome completo, naam, navn, namn, nimi, imię i nazwisko, 氏名, 名前, "
        "姓名, 이름"
    ),
    Role.EXTERNAL_ID: (
        "external id, externalid, id, contact id, customer id, lead id, record id, crm id, kundennummer, kunden id"
    ),
    Role.EXTENSION: "extension, ext, phone extension, durchwahl, poste, extensao, interno",
    Role.ZONE: "time zone, timezone, zone, tz, zeitzone, fuseau horaire, zona horaria",
    Role.COUNTRY: "country, country code, land, pays, pais, paese, kraj",
    Role.REGION: "state, province, state code, region code, address state, bundesstaat, 都道府県",
    Role.POSTAL_CODE: (
        "zip, zip code, zipcode, postal code, postcode, post code, plz, postleitzahl, code postal, código postal, cep, "
        "郵便番号"
    ),
    Role.LANGUAGE: "language, lang, locale, language code, sprache, langue, idioma, lingua, taal, 言語",
    Role.PRIORITY: "priority, prio, priorität, priorite, prioridad",
    Role.NOT_BEFORE: "not before, call after, call not before, nicht vor",
    Role.CONSENT_SOURCE: "consent source, consent, opt in source, einwilligung",
    Role.CONSENT_AT: "consent at, consent date, consent time, consented at, opt in at, opt in date",
    Role.CONSENT_PROOF: "consent proof, consent record, consent id, consent url, opt in proof",
    Role.CONSENT_LEVEL: "consent level, consent type, level of consent, type of consent, opt in level, opt in type",
    Role.CONSENT_EXPIRES: (
        "consent expires, consent expires at, consent expiry, consent expiry date, consent until, consent valid until, "
        "opt in expires"
    ),
    Role.OVERRIDES: "assistant overrides, overrides",
}
"""Headings that are understood without being told, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file is what, by its place."""

    header: tuple[str, ...]
    roles: Mapping[Role, int]
    variables: Mapping[str, int]
    """What a prompt may name → column."""

    def named(self) -> dict[str, str]:
        """Role → heading, as people see it."""
        return {role: self.header[place] for role, place in self.roles.items()}

    def missing(self, used: Collection[str]) -> list[str]:
        """Those of the variables that the list has no column for."""
        return sorted(set(used) - self.variables.keys() - RESERVED_VARIABLES)

    def required(self, used: Collection[str]) -> dict[str, int]:
        """The columns of these variables, which no row may lack. Raises `InvalidList` where the list has none such."""
        if missing := self.missing(used):
            raise InvalidList(
                f"the assistant says {{{{{missing[0]}}}}}, but the list has no such column: say which is meant with "
                f"--column variables.{missing[0]}=HEADING or in mapping.variables, or give a default in [variables]; "
                f"the list has: {_listed(self.header)}"
            )
        return {name: self.variables[name] for name in sorted(used) if name in self.variables}


def choose(
    header: Sequence[str],
    mapping: Mapping_,
    *,
    sample: Sequence[Sequence[Any]] = (),
    default_region: str | None = None,
    used: Collection[str] = (),
    with_variables: bool = True,
) -> Columns:
    """The columns of a list with this header. Where no heading names the numbers, the first rows may.

    A column that is not a variable anyway is one besides, where `used` holds its heading or what it is: prompts say
    {{name}}, too.

    Raises `InvalidList` where a column that was named is not there, the numbers are not found, or two columns would be
    one variable.
    """
    _refuse_a_row_of_numbers(header, default_region)
    roles: dict[Role, int] = {}
    taken = {place for place, name in enumerate(header) if name in REPORT_COLUMNS}
    wanted = mapping.model_dump(exclude={"variables"})
    for role in Role:
        said = wanted[role]
        if said is not None and said != "":
            roles[role] = _place(header, said, f"mapping.{role}")
            taken.add(roles[role])
    inside = {
        variable: _place(header, said, f"mapping.variables.{variable}") for variable, said in mapping.variables.items()
    }
    plain = {_plain(name): place for place, name in reversed(list(enumerate(header))) if place not in taken}
    for role, headings in _HEADINGS.items():
        if wanted[role] is None:
            found = next((plain[each] for each in map(_plain, headings.split(", ")) if each in plain), None)
            if found is not None and found not in taken:
                roles[role] = found
                taken.add(found)
    if Role.PHONE not in roles:
        roles[Role.PHONE] = _numbers(
            header, [place for place in range(len(header)) if place not in taken], sample, default_region
        )
        taken.add(roles[Role.PHONE])
    if not with_variables:
        return Columns(tuple(header), roles, {})
    also = {str(role): place for role, place in roles.items()}
    also |= {_variable_name(header[place]): place for place in roles.values()}
    inside |= {variable: place for variable, place in also.items() if variable in used and variable not in inside}
    taken.update(inside.values())
    own = _own_names(header, [place for place in range(len(header)) if place not in taken], set(inside))
    return Columns(tuple(header), roles, own | inside)


def find(header: Sequence[str], headings: str, said: str | None, where: str) -> int | None:
    """The column that was `said`, else the first with one of these headings; none where "" was said.

    Raises `InvalidList` where the one that was said is not there.
    """
    if said is not None:
        return _place(header, said, where) if said else None
    plain = {_plain(name): place for place, name in reversed(list(enumerate(header)))}
    return next((plain[each] for each in map(_plain, headings.split(", ")) if each in plain), None)


def _place(header: Sequence[str], said: str, where: str) -> int:
    alike = [place for place, name in enumerate(header) if _plain(name) == _plain(said)]
    if said in header:
        return header.index(said)
    if len(alike) == 1:
        return alike[0]
    raise InvalidList(f"{where} names the column {said!r}; the file has: {_listed(header)}")


def _refuse_a_row_of_numbers(header: Sequence[str], region: str | None) -> None:
    """Without headings, the first person would be taken for them."""
    if any(any(letter.isdecimal() for letter in name) and _are_numbers([name], region) for name in header):
        raise InvalidList(
            "the first row holds a telephone number: put a row above it that names the columns, such as phone, name"
        )


def _numbers(header: Sequence[str], places: Iterable[int], sample: Sequence[Sequence[Any]], region: str | None) -> int:
    """The one column whose cells are telephone numbers."""
    found = [place for place in places if _are_numbers([str(row[place]) for row in sample if row[place]], region)]
    if len(found) == 1:
        return found[0]
    several = "several columns hold telephone numbers" if found else "no column of phone numbers"
    raise InvalidList(
        f"{several}: name one `phone`, or say which with --column phone=NAME or mapping.phone; the file has: "
        f"{_listed(header)}"
    )


def _are_numbers(cells: Sequence[str], region: str | None) -> bool:
    def is_number(cell: str) -> bool:
        try:
            return bool(parse(cell, default_region=region))
        except InvalidInput:
            return False

    return bool(cells) and sum(map(is_number, cells)) >= MOSTLY * len(cells)


def _own_names(header: Sequence[str], places: Iterable[int], taken: set[str]) -> dict[str, int]:
    """The columns that become variables under their own names."""
    variables: dict[str, int] = {}
    for place in places:
        column = header[place]
        variable = _variable_name(column)
        if variable in RESERVED_VARIABLES:
            raise InvalidList(
                f"the column {column!r} would hide Vapi's own {variable!r}: "
                "rename it, or map it to another variable in mapping.variables"
            )
        if variable in variables or variable in taken:
            other = header[variables[variable]] if variable in variables else f"mapping.variables.{variable}"
            raise InvalidList(
                f"the columns {other!r} and {column!r} would both be the variable {variable!r}: "
                "rename one, or map it to another variable in mapping.variables"
            )
        if variable:  # a heading such as # has no name that a prompt could use
            variables[variable] = place
    return variables


def _variable_name(column: str) -> str:
    """A heading as a prompt can name it: `First name` is used as {{first_name}}."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in column.lower()).split())


def _plain(heading: str) -> str:
    """A heading without capitals, accents and marks."""
    letters = unicodedata.normalize("NFKD", heading.casefold())
    return " ".join(
        "".join(letter if letter.isalnum() else " " for letter in letters if not unicodedata.combining(letter)).split()
    )


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in header[:12])
    return shown if len(header) <= 12 else f"{shown} and {len(header) - 12} more"
