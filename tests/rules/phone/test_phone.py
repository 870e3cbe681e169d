"""Telephone numbers: what people write, and where its owner may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType
from phonenumbers.timezone import time_zones_for_number

from campaigns.errors import InvalidInput
from campaigns.rules.phone import InvalidPhone, PhoneNumber, Places, display, geography, parse, places

# --- parse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "region", "e164"),
    [
        ("+12025550142", None, "+12025550142"),
        ("(202) 555-0142", "US", "+12025550142"),
        ("[202] 555 0142", "us", "+12025550142"),
        ("202.555.0142", "US", "+12025550142"),
        ("1-202-555-0142", "US", "+12025550142"),
        ("1/202/555/0142", "US", "+12025550142"),
        ("2025550142.0", "US", "+12025550142"),
        ('="+12025550142"', None, "+12025550142"),
        ("tel:+1-202-555-0142", None, "+12025550142"),
        ("\u202a+1\u00a0202\u2011555\u20110142\u202c", None, "+12025550142"),  # copied from an address book
        ("'+44 7700 900123", None, "+447700900123"),
        ("447700900123", "GB", "+447700900123"),
        ("0044 7700 900123", "US", "+447700900123"),
        ("0044 7700 900123", None, "+447700900123"),
        ("0044 20 7946 0000", "BR", "+442079460000"),
        ("0021 44 20 7946 0000", "BR", "+442079460000"),  # by way of the carrier 21
        ("001 45 32 12 34 56", "SG", "+4532123456"),
        ("011 44 20 7946 0000", "US", "+442079460000"),
        ("\uff10\uff12\uff10\uff17\uff19\uff14\uff16\uff10\uff10\uff10\uff10", "GB", "+442079460000"),  # full width
        ("\u0660\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0660\u0660\u0660", "GB", "+442079460000"),  # Arabic digits
        ("+44 (0)20 7946 0000", None, "+442079460000"),
        ("(+44) 20 7946 0000", None, "+442079460000"),
        ("030 / 23125-123", "DE", "+493023125123"),
        ("+39 06 1234 5678", None, "+390612345678"),  # Italian zeros stay
        ("+612 5550 1234", "US", "+61255501234"),  # a country code wins over the default region
        ("4.915123456789E+12", "US", "+4915123456789"),  # a spreadsheet that kept each digit
        ("2.125550142e9", "US", "+12125550142"),
        ("4915123456789", "US", "+4915123456789"),  # the spreadsheet took the plus
        ("+12025550142 / (202) 555-0142", "US", "+12025550142"),  # twice the same
    ],
)
def test_common_ways_of_writing_a_number_are_read(written: str, region: str | None, e164: str) -> None:
    assert parse(written, default_region=region).e164 == e164


@pytest.mark.parametrize(
    "tail", [" ext. 12", " Ext 12", "x12", " x 12", ";ext=12", " extension 12", ", ext. 12", "#12"]
)
def test_an_extension_is_kept_apart(tail: str) -> None:
    found = parse(f"+1 (202) 555-0142{tail}", default_region=None)
    assert found == PhoneNumber(e164="+12025550142", region="US", extension="12", kind="fixed_line_or_mobile")


@pytest.mark.parametrize(
    ("written", "region", "reason"),
    [
        ("", "US", "empty"),
        ("  ' ", "US", "empty"),
        ("-", "US", "no digits"),
        ("n/a", "US", "contains letters"),
        ("1-800-FLOWERS", "US", "contains letters"),
        ("x12", "US", "contains letters"),
        ("*67 202 555 0142", "US", "unexpected character '\\*'"),
        ("4.41E+11", "GB", "scientific notation"),
        ("4,41e11", "GB", "scientific notation"),
        ("4.91512345678E+12", "US", "scientific notation"),  # a zero at the end, or a digit that was dropped
        ("4915123456789", None, "no country code"),
        ("49 1512 3456789", "US", "too long for US"),  # no spreadsheet keeps the spaces and takes the plus
        ("202 555 0142 / 202 555 0143", "US", "two numbers in one cell"),
        ("2025550142, 2025550143", "US", "two numbers in one cell"),
        ("2025550142 or 2025550143", "US", "two numbers in one cell"),
        ("2025550142\n2025550143", "US", "two numbers in one cell"),
        ("+12025550142+12025550143", None, "two numbers in one cell"),
        ("+1 202 +555 0142", None, "a plus sign inside"),
        ("202 555 0142", None, "no country code and no default region"),
        ("555-0142", "US", "area code missing for US"),
        ("+1 202 555", None, "too short for US"),
        ("+1 202 555 0142 5", None, "too long for US"),
        ("0000000000", "US", "no such number in US"),
        ("+44 7700 90012", None, "no such number in GB|wrong length for GB|too short for GB"),
        ("+999 123456", None, "unknown country code"),
        ("+1 900 555 1234", None, "premium-rate number"),
        ("0909 8790123", "GB", "premium-rate number"),  # reserved for fiction, and still what it imitates
        ("+979 123456789", None, "premium-rate number"),
        ("0845 1234567", "GB", "premium-rate number|shared-cost number"),
        ("1300 975 707", "AU", "shared-cost number"),
        ("911", "US", "emergency or short number in US"),
        ("112", "DE", "emergency or short number in DE"),
        ("116 117", "DE", "emergency or short number in DE"),
        ("12345", "US", "too short for US"),
        ("001 47 22 12 34 56", "SG", "can be read as two numbers"),  # Norway dialled from Singapore, or North Carolina
    ],
)
def test_what_is_not_one_callable_number_is_refused_with_a_reason(
    written: str, region: str | None, reason: str
) -> None:
    with pytest.raises(InvalidPhone, match=f"^(?:{reason})"):
        parse(written, default_region=region)


def test_a_default_region_that_is_no_country_is_a_mistake_of_the_definition() -> None:
    with pytest.raises(InvalidInput, match="the United Kingdom is GB") as caught:
        parse("020 7946 0000", default_region="UK")
    assert not isinstance(caught.value, InvalidPhone)


RESERVED = [
    "+12125550142", "+16135550199", "+18005550100", "+447700900000", "+447700900999", "+441632960123",
    "+442079460999", "+441134960000", "+441214960123", "+441314960123", "+441614960123", "+442890180123",
    "+442920180123", "+448081570123", "+443069990123", "+61491570006", "+61491570156", "+61491578957",
    "+61255501234", "+61355501234", "+61755501234", "+61855501234", "+611800160401", "+33199001234", "+33261911234",
    "+33353011234", "+33465711234", "+33536491234", "+33639981234", "+493023125123", "+496990009123",
    "+494066969123", "+492214710123", "+498999998123", "+4915228817386", "+491713920001", "+4917604069000",
    "+46701740605", "+46846500400",
]  # fmt: skip


@pytest.mark.parametrize("e164", RESERVED)
def test_numbers_reserved_for_fiction_are_read(e164: str) -> None:
    found = parse(e164, default_region=None)
    assert found.e164 == e164
    assert found.kind != "unknown"


def test_reserved_numbers_count_as_what_they_imitate() -> None:
    assert parse("07700 900123", default_region="GB").kind == "mobile"
    assert parse("01632 960123", default_region="GB").kind == "fixed_line"
    assert parse("06 39 98 12 34", default_region="FR").kind == "mobile"
    assert places("+447700900123") == Places(country="GB", states=frozenset(), zones=frozenset({"Europe/London"}))
    assert places("+33639981234").zones == {"Europe/Paris"}
    with pytest.raises(InvalidPhone):
        parse("01632 961123", default_region="GB")


@given(st.text(max_size=30), st.sampled_from([None, "US", "GB", "DE", "BR", "IT"]))
def test_any_text_is_a_number_or_a_refusal(written: str, region: str | None) -> None:
    try:
        found = parse(written, default_region=region)
    except InvalidPhone:
        return
    assert found.e164.startswith("+")
    assert parse(found.e164, default_region=None) == PhoneNumber(found.e164, found.region, "", found.kind)


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("e164", "country", "states", "zones"),
    [
        ("+12125550142", "US", "US-NY", "America/New_York"),
        ("+14235550142", "US", "US-TN", "America/Chicago America/New_York"),  # the library says Central
        ("+12195550142", "US", "US-IN", "America/Chicago America/New_York"),
        ("+14485550142", "US", "US-FL", "America/Chicago America/New_York"),
        ("+19075550142", "US", "US-AK", "America/Adak America/Anchorage America/Juneau Pacific/Honolulu"),
        ("+13065550142", "CA", "CA-SK", "America/Regina"),
        ("+14745550142", "CA", "CA-SK", "America/Regina"),  # the library says Winnipeg
        ("+18675550142", "CA", "CA-NT CA-NU CA-YT",
            "America/Edmonton America/Toronto America/Whitehorse America/Winnipeg"),
        ("+19025550142", "CA", "CA-NS CA-PE", "America/Halifax"),
        ("+17875550142", "US", "US-PR", "America/Puerto_Rico"),
        ("+18765550142", "JM", "", "America/Jamaica"),
        ("+18005550142", None, "", ""),
        ("+15005550006", None, "", ""),
        ("+442079460000", "GB", "", "Europe/London"),
        ("+447700900000", "GB", "", "Europe/London"),
        ("+448081570000", "GB", "", ""),  # toll-free
        ("+34612345678", "ES", "", "Atlantic/Canary Europe/Madrid"),
        ("+351912345678", "PT", "", "Atlantic/Azores Europe/Lisbon"),
        ("+393331234567", "IT", "", "Europe/Rome"),
        ("+628123456789", "ID", "", "Asia/Jakarta Asia/Jayapura Asia/Makassar"),  # the library says Jakarta
        ("+5511987654321", "BR", "", "America/Sao_Paulo"),
        ("+5581987654321", "BR", "", "America/Noronha America/Recife"),  # the library says an island
        ("+61755501234", "AU", "", "Australia/Brisbane Australia/Sydney"),  # the library says Sydney
        ("+77012345678", "KZ", "", "Asia/Almaty"),
        ("+212612345678", "MA", "", "Africa/Casablanca"),  # the library says the Canaries
        ("+919876543210", "IN", "", "Asia/Kolkata"),
        ("+870773111632", None, "", ""),
        ("+999123", None, "", ""),
        ("+1", None, "", ""),
        ("nonsense", None, "", ""),
        ("", None, "", ""),
    ],
)  # fmt: skip
def test_candidates_are_every_place_and_none_is_guessed(
    e164: str, country: str | None, states: str, zones: str
) -> None:
    found = places(e164)
    assert found.country == country
    assert found.states == frozenset(states.split())
    assert found.zones == frozenset(zones.split())


CODES_OF_NO_PLACE = [
    500, 521, 522, 523, 524, 525, 526, 527, 528, 529, 532, 533, 544, 566, 577, 588, 600, 622, 633,
    800, 833, 844, 855, 866, 877, 888, 900,
]  # fmt: skip


@pytest.mark.parametrize("code", CODES_OF_NO_PLACE)
def test_a_code_of_no_place_names_neither_zone_nor_state(code: int) -> None:
    found = places(f"+1{code}2345678")
    assert found.zones == frozenset()
    assert found.states == frozenset()
    assert found.country == ("CA" if code in {600, 622, 633} else None)  # the rest belong to all of +1


def test_a_mexican_number_does_not_name_a_zone() -> None:
    # One kind of number for mobiles and houses, and six clocks.
    assert len(places("+525512345678").zones) == 6


@cache
def country_zones() -> dict[str, set[str]]:
    zones: dict[str, set[str]] = {}
    for line in (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            zones.setdefault(country, set()).add(zone)
    return zones


@cache
def clock(zone: str) -> tuple[timedelta | None, ...]:
    """What a zone's clocks show, week by week over the time for which the data was checked."""
    start = datetime(2026, 6, 1, tzinfo=UTC)
    return tuple((start + timedelta(weeks=week)).astimezone(ZoneInfo(zone)).utcoffset() for week in range(110))


AREA_CODE_TRUSTED = {"BR", "CA", "US"}


def test_a_mobile_may_be_under_any_clock_of_its_country_and_under_no_other() -> None:
    """Fails when tzdata gives a country a clock that the table does not know."""
    checked = 0
    for region, zones in country_zones().items():
        example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        if example is None or region in AREA_CODE_TRUSTED:
            continue
        if phonenumbers.region_code_for_number(example) != region:
            continue  # shares its mobiles with a larger neighbour
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        found = {clock(zone) for zone in places(e164).zones}
        expected = {clock(zone) for zone in zones}
        if region == "AU":  # its external territories have Australian mobiles
            expected |= {clock("Indian/Christmas"), clock("Indian/Cocos")}
        assert found == expected, region
        checked += 1
    assert checked > 200


def test_a_fixed_line_is_never_under_a_clock_that_its_country_has_not() -> None:
    for region, zones in country_zones().items():
        example = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
        if example is None:
            continue
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        found = {clock(zone) for zone in places(e164).zones}
        assert found, region
        assert found <= {clock(zone) for zone in zones}, region


def test_every_zone_in_the_table_exists_and_same_clocks_are_the_same() -> None:
    facts = geography._facts()
    for zones in [*facts.zones.values(), *facts.countries.values(), *(entry.zones for entry in facts.fiction)]:
        assert zones
        assert all(clock(zone) for zone in zones)
    for name, known_as in facts.same_clock.items():
        assert clock(name) == clock(known_as)


def test_a_split_code_keeps_every_zone_that_the_library_names() -> None:
    corrected = {"474", "867", "879"}  # where the library is wrong rather than incomplete
    for prefix, zones in geography._facts().zones.items():
        if prefix.startswith("1") and prefix[1:] not in corrected:
            for block in range(200, 1000, 20):
                named = time_zones_for_number(phonenumbers.parse(f"+{prefix}{block}0100", None))
                clocks = {clock(zone) for zone in named if zone != "Etc/Unknown"}
                assert clocks <= {clock(zone) for zone in zones}, prefix


def test_every_area_code_of_the_united_states_and_canada_names_its_state() -> None:
    """The library's own place names agree; they are too large to load in every process of the product."""
    from phonenumbers import geocoder

    states = geography._facts().states
    codes = {"US": 0, "CA": 0}
    for area in range(200, 1000):
        number = phonenumbers.parse(f"+1{area}4564567", None)
        region = phonenumbers.region_code_for_number(number)
        place = geocoder.description_for_number(number, "en").rsplit(", ", 1)[-1]
        if region not in codes or place in {"", "Canada"}:
            assert str(area) not in states or not phonenumbers.is_valid_number(number), area
            continue
        codes[region] += 1
        named = {f"{region}-{letters}" for letters in STATE_NAMES.get(place, place).split()}
        assert named & states[str(area)], (area, place)
    assert codes["US"] == 359
    assert codes["CA"] > 40


STATE_NAMES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA", "Colorado": "CO",
    "Connecticut": "CT", "Delaware": "DE", "Florida": "FL", "Georgia": "GA", "Hawaii": "HI", "Idaho": "ID",
    "Illinois": "IL", "Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA",
    "Maine": "ME", "Maryland": "MD", "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN",
    "Mississippi": "MS", "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH",
    "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC", "North Dakota": "ND",
    "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA", "Rhode Island": "RI",
    "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN", "Texas": "TX", "Utah": "UT", "Vermont": "VT",
    "Virginia": "VA", "Washington State": "WA", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
    "Washington D.C.": "DC", "Ontario": "ON", "Quebec": "QC", "Alberta": "AB", "British Columbia": "BC",
    "British Colombia": "BC", "Manitoba": "MB", "Saskatchewan": "SK", "Newfoundland and Labrador": "NL",
    "New Brunswick": "NB", "Nova Scotia/Prince Edward Island": "NS PE",
    "Northwest Territories/Nunavut/Yukon": "NT NU YT",
}  # fmt: skip


# --- display ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("e164", "shown"),
    [
        ("+12025550142", "+1 ******* 42"),
        ("+442079460000", "+44 ******* 00"),
        ("+35312345678", "+353 ******* 78"),
        ("+1202", "+1 *******"),
        ("garbage 555", "*******"),
        ("", "*******"),
    ],
)
def test_people_see_the_country_and_the_last_two_digits_only(e164: str, shown: str) -> None:
    assert display(e164) == shown
