"""What people write in place of a campaign engine, against the same stand-in.

    loop      one POST, two seconds' sleep, the next POST; who is still talking is not looked at
    batches   as many POSTs as there are lines, then wait until all of these calls have ended, then the next batch

It goes on until it is ended: `python -m tests.benchmarks.callers loop|batches URL KEY LINES`.
"""

from __future__ import annotations

import itertools
import sys
import time

import httpx

PAUSE = 2.0  # seconds between two calls of the loop
POLL = 2.0  # seconds between two looks at the calls of a batch


def main(kind: str, url: str, key: str, lines: int) -> None:
    numbers = (f"+1{2120000000 + turn}" for turn in itertools.count())
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as client:

        def place() -> str:
            body = {"assistantId": "an-assistant", "phoneNumberId": "number-1", "customer": {"number": next(numbers)}}
            answer = client.post("/call", json=body)
            answer.raise_for_status()
            return str(answer.json()["id"])

        def is_over(call_id: str) -> bool:
            return bool(client.get(f"/call/{call_id}").json()["status"] == "ended")

        while True:
            if kind == "loop":
                place()
                time.sleep(PAUSE)
                continue
            batch = [place() for _ in range(lines)]
            while batch:
                time.sleep(POLL)
                batch = [call_id for call_id in batch if not is_over(call_id)]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
