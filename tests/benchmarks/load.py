"""The sender of webhooks, in a process of its own: one job as JSON on each line of stdin, its result on stdout.

    {"address": "127.0.0.1:8080", "path": "/webhooks/vapi/bench", "seconds": 2, "connections": 32}
    {"address": "127.0.0.1:8080", "path": "/webhooks/vapi/bench", "seconds": 5, "per_second": 200}

The first keeps so many requests under way all the time and counts the answers. The second starts one at each tick,
whether or not the ones before were answered, and takes an answer's time from that tick: a server that falls behind
cannot hide it. Every request is another call's report, signed as Vapi's HMAC credential does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

SECRET = "a secret of the benchmark"  # noqa: S105 - protects nothing
REPORT = Path(__file__).parents[1] / "recordings" / "report-completed.json"
SIZE = 6500  # bytes of a report about a call of half a minute
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Reports:
    """Signed requests, each with the report of a call that was not reported before."""

    def __init__(self, address: str, path: str) -> None:
        recorded = json.loads(REPORT.read_text(encoding="utf-8"))
        message = recorded["message"]
        for part in ("costs", "compliance"):  # the recording has a bit of everything and is longer than most
            message.pop(part)
        for part in ("messagesOpenAIFormatted", "presignedStereoUrl", "presignedMonoUrl"):
            message["artifact"].pop(part)
        our_id = message["call"]["assistantOverrides"]["metadata"]["call_id"]
        text = json.dumps(recorded, separators=(",", ":"))
        message["artifact"]["transcript"] += "." * (SIZE - len(text))
        text = json.dumps(recorded, separators=(",", ":"))
        assert len(text) == SIZE, len(text)
        self._pieces = re.split(f"({message['call']['id']}|{our_id})", text)
        self._places = {message["call"]["id"]: "provider", our_id: "ours"}
        self._start = f"POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"

    def next(self) -> bytes:
        ids = {"provider": str(uuid.uuid4()), "ours": str(uuid.uuid4())}
        body = "".join(ids[self._places[piece]] if piece in self._places else piece for piece in self._pieces).encode()
        stamp = str(int(time.time()))
        signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        head = f"{self._start}x-timestamp: {stamp}\r\nx-signature: {signature}\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._received = b""
        if self._answered is not None:
            self._answered.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> None:
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status = await self._answered
        if status != 200:
            raise SystemExit(f"the server answered {status}")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def lines(address: str, count: int) -> list[Line]:
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Line, host, int(port)))[1] for _ in range(count)]


async def closed(reports: Reports, opened: list[Line], seconds: float) -> dict[str, Any]:
    """Answers per second with every connection busy."""
    began = time.perf_counter()

    async def keep_asking(line: Line) -> int:
        answers = 0
        while time.perf_counter() - began < seconds:
            await line.ask(reports.next())
            answers += 1
        return answers

    answers = sum(await asyncio.gather(*(keep_asking(line) for line in opened)))
    return {"answers": answers, "per_second": answers / (time.perf_counter() - began)}


async def open_loop(reports: Reports, opened: list[Line], seconds: float, per_second: float) -> dict[str, Any]:
    """Milliseconds from the tick of each request to its answer."""
    free = list(opened)
    waiting: asyncio.Queue[Line] = asyncio.Queue()
    for line in free:
        waiting.put_nowait(line)
    took: list[float] = []
    began = time.perf_counter()

    async def ask(tick: float) -> None:
        line = await waiting.get()
        await line.ask(reports.next())
        took.append((time.perf_counter() - tick) * 1000)
        waiting.put_nowait(line)

    asked = []
    for number in range(int(seconds * per_second)):
        tick = began + number / per_second
        await asyncio.sleep(max(0.0, tick - time.perf_counter()))
        asked.append(asyncio.create_task(ask(tick)))
    await asyncio.gather(*asked)
    return {"answers": len(took), "milliseconds": sorted(took)}


async def run(job: dict[str, Any]) -> dict[str, Any]:
    reports = Reports(job["address"], job["path"])
    opened = await lines(job["address"], job.get("connections", 64))
    try:
        if "per_second" in job:
            return await open_loop(reports, opened, job["seconds"], job["per_second"])
        return await closed(reports, opened, job["seconds"])
    finally:
        for line in opened:
            line.close()


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asyncio.run(run(json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
