"""A bound on the time that a block takes.

`asyncio.wait_for` makes a task of what it waits for, two for each request; a deadline is one timer.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout as deadline
else:
    from async_timeout import timeout as deadline

__all__ = ["deadline"]
