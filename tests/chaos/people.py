"""Ten thousand people who do not exist: numbers that are kept free for fiction, where it is the same hour for all."""

from __future__ import annotations

AREAS = """
    201 202 203 207 212 215 216 240 267 276 301 302 304 315 330 332 336 339 347 351 401 404 410 412 413 419 434 440
    443 470 475 478 484 508 513 516 518 540 551 567 570 571 585 603 607 609 610 614 617 631 640 646 667 678 680 681
    703 704 706 716 717 718 724 732 740 743 757 762 770 774 781 802 803 804 828 838 843 845 848 854 856 857 860 862
    864 878 908 910 912 914 917 919 929 934 937 943 959 973 978 980 984
""".split()
"""Area codes on the east coast of the United States that lie in one zone."""

NAME = "Nobody Inparticular"  # may not be in any log


def split(number: int) -> dict[str, list[dict[str, str]]]:
    """`number` prospects in two campaigns: four fifths, and a fifth of which every other person is in both."""
    assert number <= 100 * len(AREAS), f"at most {100 * len(AREAS)} prospects: there are no more numbers for fiction"
    shared = number // 10
    alone = number - 2 * shared
    everybody = [_person(turn) for turn in range(alone + shared)]
    first = number * 4 // 5
    return {"spring": everybody[:first], "autumn": everybody[first - shared :][: number - first]}


def _person(turn: int) -> dict[str, str]:
    # Neighbours in the list are in different places, as they would be in a real one.
    return {"phone": f"+1{AREAS[turn % len(AREAS)]}55501{turn // len(AREAS):02}", "name": f"{NAME} {turn}"}
