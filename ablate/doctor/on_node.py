"""What answers `ablate doctor --deep` on a node: ``python -m ablate.doctor.on_node FOLDER``.

One question a line on its standard input, one answer a line on its standard output, behind a word that sets it apart
from what a node's start-up prints.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from pathlib import Path
from typing import Any

import ablate
from ablate.tracking.disk import Lock, is_held

MARK = "ablate-doctor "
#: How long a file that was just written elsewhere may take to be seen, s: network file systems remember names.
SEEN_WITHIN_S = 10.0


class Node:
    """Answers questions about a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock(folder / "held-by-node")

    def answer(self, question: str) -> dict[str, Any]:
        """Plain values for one of the questions that `ask_node` knows. Raises OSError where the folder fails."""
        match question:
            case "who":
                where = str(Path(ablate.__file__).parent)
                return {"host": socket.gethostname(), "python": platform.python_version(), "ablate": where}
            case "see":
                return {"text": self._see()}
            case "held":
                return {"held": is_held(self._folder / "held-here")}
            case "lock":
                return {"locked": self._lock.acquire()}
            case "write":
                before = time.time()
                (self._folder / "from-node").write_text("text")
                return {"before": before, "dated": (self._folder / "from-node").stat().st_mtime, "after": time.time()}
            case "clock":
                return {"now": time.time()}
        return {"error": f"no such question: {question}"}

    def _see(self) -> str:
        until = time.monotonic() + SEEN_WITHIN_S
        while not (self._folder / "token").is_file() and time.monotonic() < until:
            time.sleep(0.2)
        return (self._folder / "token").read_text()


def main(folder: str) -> None:
    """Answer until nobody asks any more."""
    node = Node(Path(folder))
    for line in sys.stdin:
        try:
            said = node.answer(line.strip())
        except OSError as error:
            said = {"error": os.strerror(error.errno) if error.errno else str(error)}
        print(f"{MARK}{json.dumps(said)}", flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1])
