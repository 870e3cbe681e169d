"""The matrix: what goes wrong in which case."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.chaos.running import FEW_LINES, Case, Run
from tests.processes import descendants

AWAY_REDIS, AWAY_POSTGRES = 60.0, 30.0  # seconds
KILL_EVERY = 2.5  # seconds between two random kills of pool children: each takes up lines until the dead are found
QUIET = 6.0  # what the harness makes of the quiet period of fifteen minutes
LAG = 4.0  # of two minutes: two thirds of the quiet period, where it would be a seventh

FAULTY = {"accept_then_500": 0.05, "accept_then_reset": 0.05, "accept_then_hang": 0.05, "hang_seconds": 4}


def children_killed(run: Run) -> None:
    """A pool process of some worker is killed every moment."""
    for _ in run.going_on():
        time.sleep(KILL_EVERY)
        run.kill_child()


def workers_killed(run: Run) -> None:
    """Each worker in turn is killed with its children."""
    for turn, name in enumerate(["calls", "events", "dispatch,upkeep", "calls"]):
        run.until(0.15 + 0.2 * turn)
        run.kill(name)


def everything_killed(run: Run) -> None:
    """All workers at once, beat, then the web process."""
    run.until(0.2)
    for name in run.system.workers:
        run.system[name].kill(children=True)
    run.note_orphans()
    run.system.start(*run.system.workers)
    run.until(0.4)
    run.kill("beat")
    run.until(0.5)
    run.kill("web")
    run.until(0.7)
    for name in ("web", "beat", *run.system.workers):
        run.system[name].kill(children=True)
    run.note_orphans()
    run.system.empty_redis()
    run.system.start()


def asleep(seconds: float) -> Callable[[Run], None]:
    """Workers are suspended, each with its children, and go on."""

    def fault(run: Run) -> None:
        for turn, name in enumerate(["calls", "dispatch,upkeep", "events", "calls"]):
            run.until(0.1 + 0.2 * turn)
            process = run.system[name].pid
            everybody = [process, *descendants(process)]
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

    return fault


def redis_emptied(run: Run) -> None:
    """Ten times."""
    for turn in range(10):
        run.until(0.05 + 0.09 * turn)
        run.system.empty_redis()


def redis_restarted(run: Run) -> None:
    """Killed, and started again with nothing in it; three times."""
    for turn in range(3):
        run.until(0.2 + 0.25 * turn)
        run.servers.end(run.servers.valkey, signal.SIGKILL)
        run.servers.start(run.servers.valkey)


def redis_away(run: Run) -> None:
    """For a minute."""
    run.until(0.3)
    run.servers.end(run.servers.valkey, signal.SIGTERM)
    time.sleep(AWAY_REDIS)
    run.servers.start(run.servers.valkey)


def postgres_restarted(how: signal.Signals, *, away: float = 0, times: int = 3) -> Callable[[Run], None]:
    """Ended while transactions are open, and started again."""

    def fault(run: Run) -> None:
        for turn in range(times):
            run.until(0.2 + 0.6 * turn / times)
            run.servers.end(run.servers.postgres, how)
            time.sleep(away)
            run.servers.start(run.servers.postgres)
            run.note_orphans()

    return fault


def provider_away(run: Run) -> None:
    """Every request to the provider fails for a while; twice."""
    for share in (0.2, 0.6):
        run.until(share)
        run.provider.set(outage={"now": True})
        time.sleep(5)
        run.provider.set(outage={"now": False})


def clocks_shifted(run: Run) -> None:
    """Ten minutes fast, ten minutes slow, and right again."""
    for share, seconds in ((0.2, 600), (0.5, -600), (0.8, 0)):
        run.until(share)
        run.shift_clocks(seconds)


def disk_full(run: Run) -> None:
    """No event can be stored for a while. A trigger says what a full disk says: filling one needs root."""
    run.until(0.3)
    run.sql("CREATE TRIGGER disk_full BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION disk_full()")
    time.sleep(6)
    run.sql("DROP TRIGGER disk_full ON events")


DISK_FULL = """
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
"""


def deployed(run: Run) -> None:
    """Every process is asked to leave and started again, one after the other, twice."""
    for share in (0.2, 0.6):
        run.until(share)
        for name in ("web", *run.system.workers, "beat"):
            run.system[name].terminate()
            run.system[name].wait(60)
            run.system.start(name)


def stopped(run: Run) -> None:
    """Pauses, freezes and suppressions, whatever is under way."""
    for turn, _ in enumerate(run.going_on(0.8)):
        time.sleep(0.3)
        match turn % 4:
            case 0:
                run.pause("spring", 1.5)
            case 1:
                run.pause("autumn", 1.5)
            case 2:
                run.freeze(1.5)
            case _:
                for _ in range(5):
                    run.suppress_somebody()


def mixed(run: Run) -> None:
    """A little of everything."""
    run.until(0.1)
    run.kill_child()
    run.system.empty_redis()
    run.until(0.25)
    run.kill("calls")
    run.pause("spring", 1.0)
    run.until(0.4)
    postgres_restarted(signal.SIGINT, times=1)(run)
    run.until(0.5)
    run.suppress_somebody()
    run.servers.end(run.servers.valkey, signal.SIGKILL)
    run.servers.start(run.servers.valkey)
    run.until(0.6)
    run.kill("dispatch,upkeep")
    run.kill_child()
    run.until(0.7)
    run.freeze(1.0)
    for _ in run.going_on(0.9):
        time.sleep(1)
        run.kill_child()


TWO_DISPATCHERS = ("dispatch,upkeep#2", "beat#2")


def forced(point: str, chance: float) -> Case:
    """A process kills itself at that point of a call's life."""
    name = f"killed {point.replace('_', ' ')}"
    return Case(name, large=point == "mid_post", points=[{"point": point, "do": "kill", "chance": chance}])


STOPS = [
    {"point": "before_intent", "do": "sleep", "chance": 0.3, "seconds": 0.3},
    {"point": "after_intent", "do": "sleep", "chance": 0.3, "seconds": 0.3},
]

CASES: tuple[Case, ...] = (
    Case("nothing wrong"),
    Case("children killed", children_killed, large=True),
    # A claim is one transaction for many calls, so its process is killed more often for as many calls.
    forced("after_claim", 0.1),
    forced("after_intent", 0.03),
    forced("mid_post", 0.01),  # of ten times as many: each death costs what starting a process does
    forced("after_answer", 0.03),
    forced("before_recording", 0.03),
    Case("workers killed", workers_killed),
    Case("everything killed", everything_killed),
    Case("two dispatchers and beats", extra=TWO_DISPATCHERS, lines={"main": 10, "second": 5}, shared=0.4),
    Case("asleep past the lease", asleep(3.0)),
    Case("asleep past the quiet period", asleep(QUIET + 3)),
    Case(
        "asleep between intent and POST",
        points=[{"point": "after_intent", "do": "stop", "chance": 0.02, "seconds": QUIET + 3}],
    ),
    Case("every hint five times", repeat=5),
    Case("redis emptied", redis_emptied),
    Case("redis restarted empty", redis_restarted),
    Case("redis away", redis_away),
    Case("postgres restarted fast", postgres_restarted(signal.SIGINT)),
    Case("postgres restarted immediately", postgres_restarted(signal.SIGQUIT)),
    Case("postgres away", postgres_restarted(signal.SIGINT, away=AWAY_POSTGRES, times=1)),
    Case("provider accepts and fails", large=True, provider={"post_faults": FAULTY}),
    Case(
        "webhooks go astray",
        large=True,
        provider={
            "webhooks": {
                "lost": 0.05,
                "doubled": 0.2,
                "reordered": 0.2,
                "late": 0.1,
                "early": 0.2,
                "late_seconds": [2, 8],
            }
        },
    ),
    Case("listing lags", provider={"listing": {"lag_seconds": LAG, "hides_reads": True}, "post_faults": FAULTY}),
    Case("provider away", provider_away),
    *(
        Case(
            f"full lines: {form}",
            share=0.3,
            lines=FEW_LINES,
            provider={"concurrency": sum(FEW_LINES.values()) - 2, "over_concurrency": form},
            full_lines=True,
        )
        for form in ("blocked", "reject", "ended")
    ),
    Case("clocks of one machine shifted", clocks_shifted, clocks=["all"]),
    Case("clock of the callers shifted", clocks_shifted, clocks=["calls"]),
    Case("disk full", disk_full, schema=[DISK_FULL]),
    Case("deployed", deployed),
    Case("stopped in between", stopped, points=STOPS),
    Case(
        "mixed",
        mixed,
        provider={
            "post_faults": {"accept_then_500": 0.03, "accept_then_reset": 0.03, "accept_then_hang": 0.03}
            | {"hang_seconds": 4},
            "webhooks": {"lost": 0.05, "doubled": 0.2},
        },
        points=[{"point": "mid_post", "do": "kill", "chance": 0.01}],
    ),
)
