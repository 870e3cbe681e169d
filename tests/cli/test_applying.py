"""`outbound campaign apply` on a campaign that exists: what changes and for whom, before or after it is done."""

from __future__ import annotations

from tests.cli.conftest import CAMPAIGN, Outbound, execute
from tests.cli.test_life import prepared

LATER = CAMPAIGN.replace("Mon-Sun 09:00-20:00", "Mon-Sun 20:00-09:00").replace("[consent]", "weight = 3\n[consent]")


def test_what_an_edit_changes_is_shown_before_it_is_done(outbound: Outbound) -> None:
    prepared(outbound)
    outbound("prospects", "import", "people.csv", "--campaign", "spring")
    outbound.write("spring.toml", LATER)
    preview = outbound("campaign", "apply", "spring.toml", "--preview")
    assert preview.code == 0
    assert preview.err == "nothing was changed; without --preview it is\n"
    assert "What would change of spring" in preview.out
    assert "20:00-09:00 goes over midnight" in preview.out
    assert "of 2 people who wait or are held: " in preview.out
    shown = outbound("campaign", "show", "spring", "--json").json()
    assert shown["definition"]["weight"] == 1
    assert outbound("campaign", "apply", "spring.toml", "--dry-run", "--json").json()["preview"] is True

    applied = outbound("campaign", "apply", "spring.toml")
    assert "campaign spring changed: weight, windows" in applied.out
    assert "What changed of spring" in applied.out
    again = outbound("campaign", "apply", "spring.toml", "--preview")
    assert again.out == "campaign spring is already like that\n"


def test_the_preview_of_an_edit_for_programs(outbound: Outbound) -> None:
    prepared(outbound)
    outbound("prospects", "import", "people.csv", "--campaign", "spring")
    outbound.write("spring.toml", CAMPAIGN.replace("[consent]", 'ends_at = "2020-01-01T00:00:00Z"\n[consent]'))
    said = outbound("campaign", "apply", "spring.toml", "--preview", "--json").json()
    assert said["changed"] == ["ends_at"]
    assert said["changes"] == [
        {
            "key": "ends_at",
            "was": None,
            "becomes": "2020-01-01T00:00:00Z",
            "note": "that is over: everybody who still waits expires",
        }
    ]
    assert said["people"]["become"] == [{"state": "expired", "reason": "campaign_over", "people": 2}]
    assert outbound("campaign", "show", "spring", "--json").json()["people"] == {"waiting": 2, "total": 2}
    outbound("campaign", "apply", "spring.toml")
    listed = outbound("prospects", "list", "--campaign", "spring", "--state", "expired", "--json").json()
    assert [each["state"] for each in listed] == ["expired", "expired"]
    assert all("campaign_over" in each["reason"] for each in listed)


def test_the_preview_of_a_new_campaign_creates_none(outbound: Outbound) -> None:
    prepared(outbound)
    outbound.write("autumn.toml", CAMPAIGN.replace('"spring"', '"autumn"'))
    assert outbound("campaign", "apply", "autumn.toml", "--preview").out == "campaign autumn would be created\n"
    assert [each["name"] for each in outbound("campaign", "list", "--json").json()] == ["spring"]


def test_what_would_be_refused_is_refused_in_a_preview_too(outbound: Outbound, database: str) -> None:
    prepared(outbound)
    execute(database, "UPDATE campaigns SET state = 'completed'")
    refused = outbound("campaign", "apply", "spring.toml", "--preview")
    assert refused.wrong() == "campaign spring is completed: give the new one another name"


def test_a_budget_is_shown(outbound: Outbound) -> None:
    prepared(outbound)
    money = "[prices]\nplatform = 0.1\n[budget]\ntotal = 50.0\nper_day = 20.0\n[consent]"
    outbound.write("spring.toml", CAMPAIGN.replace("[consent]", money))
    assert outbound("campaign", "apply", "spring.toml").code == 0
    shown = outbound("campaign", "show", "spring").out
    rest = "$0.00 reserved for calls whose cost is not known yet"
    assert f"budget: $0.00 of $50.00 spent, {rest}, $50.00 left" in shown
    assert f"$0.00 of $20.00 spent, {rest}, $20.00 left" in shown
    budget = outbound("campaign", "show", "spring", "--json").json()["budget"]
    assert budget["total"] == {"limit": 50.0, "spent": 0.0, "reserved": 0.0, "left": 50.0}
    assert (budget["one_call"], budget["estimated_calls"]) == (1.0, 0)
