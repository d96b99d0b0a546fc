"""What the hub of the tests can be told to do wrong, and how often."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

KINDS = ("error", "refused", "drop", "slow", "half a commit", "wrong checksum", "cut")


class Dropped(Exception):  # noqa: N818 - it is no error of the server, but what a fault asked for
    """The connection ends here, without another word."""


@dataclass
class Fault:
    """One thing to do wrong.

    Args:
        kind: `error`: status 500; `refused`: status 401, as for unknown people; `drop`: the connection ends without an answer;
            `slow`: the answer takes `seconds`; `half a commit`: refused after half of its files; `wrong checksum`: a bit of the file
            is another one; `cut`: the connection ends in the middle of the file.
        path: pattern that `METHOD path` must contain.
        times: how many requests it happens to.
        skip: how many it lets pass first.
        seconds: how long `slow` takes.
    """

    kind: str
    path: str
    times: int = 1
    skip: int = 0
    seconds: float = 0.3
    happened: int = 0

    def __post_init__(self):
        assert self.kind in KINDS, self.kind

    def before(self, handler: Any) -> None:
        """What goes wrong before the request is looked at."""
        if self.kind == "error":
            handler.reply({"error": "told to fail"}, 500)
            raise Dropped
        if self.kind == "refused":
            handler.refuse(401, "Unauthorized", "Invalid username or password.")
            raise Dropped
        if self.kind == "drop":
            raise Dropped
        if self.kind == "slow":
            time.sleep(self.seconds)

    def body(self, handler: Any, content: bytes) -> bytes:
        """What goes wrong with a file on its way."""
        if self.kind == "wrong checksum" and content:
            middle = len(content) - 1 - len(content) // 4
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if self.kind == "cut":
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            raise Dropped
        return content


def matching(faults: list[Fault], request: str) -> Fault | None:
    """The fault that happens to a request, which is then counted."""
    for fault in faults:
        if re.search(fault.path, request) and fault.happened < fault.skip + fault.times:
            fault.happened += 1
            if fault.happened > fault.skip:
                return fault
    return None
