"""CPU per event of `antiphon_asyncio` against a saturating sender: argv is its port. In the form of its siblings."""

import asyncio
import resource
import sys
import time

import antiphon_asyncio


async def main() -> None:
    """Receive until `response.done`; print what an event cost."""
    url = f"ws://127.0.0.1:{sys.argv[1]}/v1/realtime"
    async with antiphon_asyncio.connect(url) as connection:
        events = 0
        begin = time.process_time()
        async for event in connection:
            events += 1
            if event.type == "response.done":
                break
        spent = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("antiphon_asyncio", events, round(spent / events * 1e6, 1), "us cpu/event", "rss", memory, "MB")


asyncio.run(main())
