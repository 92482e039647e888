"""A TCP balancer: it sends each connection to a gateway that is ready, as far as it knows, and knows it late."""

import asyncio
import contextlib
import itertools

PROBE = 0.1
# probes in a row that must fail, and the time until a removal reaches the balancer, as with endpoints of a cluster
FAILURES = 3
LAG = 1.0
PIECE = 1 << 16


class Backend:
    """One gateway, as the balancer sees it."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.is_in, self.failures = True, 0
        # connections that it took, and those that it refused
        self.taken, self.refused = 0, 0

    async def probe(self):
        """Whether `/readyz` is 200."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.admin)
                writer.write(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                line = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in line

    async def watch(self):
        while True:
            await asyncio.sleep(PROBE)
            if await self.probe():
                self.is_in, self.failures = True, 0
                continue
            self.failures += 1
            if self.failures == FAILURES:
                await asyncio.sleep(LAG)
                self.is_in = False


class Balancer:
    """Listens on `port`; connections go to the gateways in turns."""

    def __init__(self, gateways):
        self.backends = [Backend(gateway) for gateway in gateways]
        self.turns = itertools.cycle(self.backends)
        # connections for which no gateway was there
        self.lost = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.tasks = {asyncio.create_task(backend.watch()) for backend in self.backends}
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def backend(self, gateway):
        return next(backend for backend in self.backends if backend.gateway is gateway)

    def next(self):
        """The next gateway that is in."""
        return next((one for one in itertools.islice(self.turns, len(self.backends)) if one.is_in), None)

    async def connection(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        backend = self.next()
        try:
            if backend is None:
                self.lost += 1
                return
            try:
                to, onward = await asyncio.open_connection("127.0.0.1", backend.gateway.port)
            except OSError:
                # a real balancer may try the next one; this one shows each loss
                backend.refused += 1
                return
            backend.taken += 1
            with contextlib.closing(onward):
                await asyncio.gather(relay(reader, onward), relay(to, writer))
        except (OSError, asyncio.CancelledError):
            # one side has left, or the suite ends
            pass
        finally:
            self.tasks.discard(task)
            writer.close()


async def relay(reader, writer):
    """Passes bytes on until the end, and the end as well."""
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
