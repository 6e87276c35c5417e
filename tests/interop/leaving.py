"""How a script with LiveKit's native library ends."""
import asyncio
import os
import sys
import traceback


def run(main):
    """Runs `main` to its end and leaves the process at once, status 0, or 1 and the error when it failed.

    The native library has threads of its own that call into the interpreter. When one does so while the interpreter
    is being taken down (after asyncio.run(), or from the library's own exit handler), it aborts the process after all
    was done well."""

    async def whole():
        status = 1
        try:
            await main()
            status = 0
        except SystemExit as end:
            print(end, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    asyncio.run(whole())
