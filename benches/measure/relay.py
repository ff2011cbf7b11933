"""A relay between nerd and PostgreSQL that counts round trips: how often the client spoke after the server had answered.

What a connection asks once in its life is counted apart: its start (a message without a type), the password, and each statement's
preparation (Parse; nerd prepares a statement on its first use and keeps it). Types of messages: PostgreSQL's manual, chapter
"Frontend/Backend Protocol"."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import urlsplit

#: How the messages begin that a connection sends once, or once a statement.
ONCE = (b"\0", b"p", b"P")


class Relay:
    """Listens on a port of its own; `round_trips` counts over all connections, and so does `asked_once`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self.round_trips = 0
        self.asked_once = 0
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.netloc.rsplit('@', 1)[0]}@127.0.0.1:{port}", query="sslmode=disable").geturl()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self.target)
        answered = [True]

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, asks: bool) -> None:
            try:
                while data := await source.read(1 << 16):
                    if asks and answered[0]:
                        if data[:1] in ONCE:
                            self.asked_once += 1
                        else:
                            self.round_trips += 1
                    answered[0] = not asks
                    sink.write(data)
                    await sink.drain()
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, there_writer, True), pump(there_reader, writer, False))
