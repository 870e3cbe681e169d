"""The connections that webhooks take, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import h11
import pytest

from campaigns.simulator.sending import Sender

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
UNENDING = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"


async def _with_server(
    answers: list[bytes], work: Callable[[Sender, str], Awaitable[list[int]]], *, closes: bool = False
) -> tuple[list[int], int]:
    """What `work` returns, and how many connections the server saw; it gives `answers` in turn."""
    connections = 0
    left = iter(answers)
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(4)
                writer.write(next(left))
                if closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        served.append(asyncio.get_running_loop().create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    sender = Sender()
    try:
        return await work(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=1"), connections
    finally:
        sender.close()
        await asyncio.gather(*served)
        server.close()


async def _three(sender: Sender, url: str) -> list[int]:
    return [await sender.post(url, {"x-mine": "yes"}, b"body") for _ in range(3)]


def test_one_connection_serves_one_post_after_another() -> None:
    statuses, connections = asyncio.run(_with_server([PLAIN, CHUNKED, PLAIN], _three))
    assert statuses == [200, 202, 200]
    assert connections == 1


def test_a_server_that_closes_gets_a_new_connection() -> None:
    assert asyncio.run(_with_server([CLOSING] * 3, _three, closes=True)) == ([200, 200, 200], 3)


def test_a_connection_closed_behind_our_back_is_not_used_again() -> None:
    async def with_pauses(sender: Sender, url: str) -> list[int]:
        statuses = []
        for _ in range(2):
            statuses.append(await sender.post(url, {}, b"body"))
            await asyncio.sleep(0.05)
        return statuses

    assert asyncio.run(_with_server([PLAIN] * 2, with_pauses, closes=True)) == ([200, 200], 2)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", UNENDING])
def test_an_answer_that_breaks_off_is_a_failure(answer: bytes) -> None:
    async def broken(sender: Sender, url: str) -> list[int]:
        with pytest.raises(h11.RemoteProtocolError):
            await sender.post(url, {}, b"body")
        return []

    asyncio.run(_with_server([answer], broken, closes=True))
