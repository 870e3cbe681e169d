"""Ten thousand people who do not exist: numbers that are kept free for fiction, where it is the same hour for all."""

from __future__ import annotations

AREAS = (
    201,
    202,
    203,
    212,
    215,
    216,
    223,
    234,
    252,
    267,
    272,
    276,
    302,
    304,
    315,
    330,
    332,
    336,
    339,
    347,
    351,
    380,
    401,
    404,
    412,
    413,
    419,
    434,
    440,
    445,
    470,
    475,
    478,
    484,
    508,
    513,
    516,
    518,
    540,
    551,
    567,
    570,
    571,
    585,
    603,
    607,
    609,
    610,
    614,
    617,
    631,
    640,
    646,
    678,
    680,
    681,
    703,
    704,
    706,
    716,
    717,
    718,
    724,
    732,
    740,
    743,
    757,
    762,
    770,
    774,
    781,
    802,
    803,
    804,
    828,
    838,
    843,
    845,
    848,
    854,
    856,
    857,
    860,
    862,
    864,
    878,
    908,
    910,
    912,
    914,
    917,
    919,
    929,
    934,
    937,
    943,
    959,
    973,
    978,
    980,
    984,
)
"""Area codes in the east of the United States that lie in one zone, and in which no rule says how often a person may
be called: who is called often here is not to wait for a day.
"""

NAME = "Nobody Inparticular"  # may not be in any log


def split(number: int, *, shared: float) -> dict[str, list[dict[str, str]]]:
    """`number` prospects in two campaigns: the part `shared` of them is in both, the rest mostly in the first."""
    assert number <= 100 * len(AREAS), f"at most {100 * len(AREAS)} prospects: there are no more numbers for fiction"
    both = int(number * shared)
    alone = number - 2 * both
    mostly = alone * 7 // 8
    everybody = [_person(turn) for turn in range(both + alone)]
    return {"spring": everybody[: both + mostly], "autumn": everybody[:both] + everybody[both + mostly :]}


def _person(turn: int) -> dict[str, str]:
    # Neighbours in the list are in different places, as they would be in a real one.
    return {"phone": f"+1{AREAS[turn % len(AREAS)]}55501{turn // len(AREAS):02}", "name": f"{NAME} {turn}"}
