"""`python -m bench.tabs HOST PORT COUNT`: keeps the console's first page open so many times, until its input ends.

It says `open` when every tab has got an event, and in the end how many events the tab with the fewest has got.
"""

import asyncio
import sys

LIVE = "/console/live/now"


async def main(host: str, port: int, count: int) -> None:
    heard, all_open = [0] * count, asyncio.Event()

    async def tab(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port, limit=2**24)
        writer.write(f"GET {LIVE} HTTP/1.1\r\nhost: {host}:{port}\r\naccept: text/event-stream\r\n\r\n".encode())
        async for line in reader:
            heard[number] += line.startswith(b"data:")
            if all(heard):
                all_open.set()
        raise SystemExit(f"a stream has ended after {heard[number]} events")

    tabs = [asyncio.create_task(tab(number)) for number in range(count)]
    await asyncio.wait([*tabs, asyncio.create_task(all_open.wait())], return_when=asyncio.FIRST_COMPLETED)
    print("open" if all_open.is_set() else "a stream has ended", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(min(heard), flush=True)
    for one in tabs:
        one.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
