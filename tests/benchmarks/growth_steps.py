"""The workers' own tasks, run one at a time when told to on stdin; each answer on stdout is its milliseconds.

    tick         one dispatch tick
    apply 17     one stored event, applied and settled

The environment says on which database.
"""

from __future__ import annotations

import sys
import time

from workers.app import app

TASKS = {"tick": "dispatch.tick", "apply": "events.apply"}


def main() -> None:
    app.loader.import_default_modules()
    for line in sys.stdin:
        step, *ids = line.split()
        began = time.perf_counter()
        app.tasks[TASKS[step]](*(int(event_id) for event_id in ids))
        sys.stdout.write(f"{(time.perf_counter() - began) * 1000}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
