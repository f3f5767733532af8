"""The connections between the first process of a job and the others: what they say, and that they live.

Each of the others holds one to the first for as long as its process lives. What goes over it are lines of JSON. When
a process dies, the kernel closes its connections, and the one at the other end knows at once; when a machine dies or
its network does, the kernel notices that nobody answers, within `SILENCE_S`. It is the kernel that answers there, so
that a process that computes for an hour, or is stopped or swapped out, is never taken for dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ablate.tracking.disk import write_atomically

#: How long a machine may be silent before it counts as gone, s.
SILENCE_S = 30
#: How long processes wait for one another at the start, s: importing torch from a network disk can take minutes.
START_S = 600.0
_HELLO_S = 10.0
_POLL_S = 0.1
#: Longest hello, bytes.
_HELLO_BYTES = 500


class Lifeline:
    """One end of a connection between two processes."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_S // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE_S // 6)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)
        self.host = host
        """The machine at the other end, or the name by which it was reached."""
        self.ended = threading.Event()
        """Set when the process at the other end is gone."""
        # Nothing here closes it, only the end of the process does: that is what the other end waits for.
        self._descriptor = connection.detach()
        os.register_at_fork(after_in_child=self._leave)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; one that nobody is there to hear is lost."""
        line = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(OSError), open(self._descriptor, "wb", closefd=False) as file:
            file.write(line)

    def listen(self, heard: Callable[[dict[str, Any]], None], gone: Callable[[], None]) -> None:
        """Call ``heard`` with each message, and ``gone`` when the other process is; both in a thread of their own."""

        def run() -> None:
            with contextlib.suppress(OSError), open(self._descriptor, "rb", closefd=False) as file:
                for line in file:
                    heard(json.loads(line))
            self.ended.set()
            gone()

        threading.Thread(target=run, name=f"lifeline to {self.host}", daemon=True).start()

    def _leave(self) -> None:
        """A forked child (a data loader's worker) must not make its dead parent look alive."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1


def gather(place: Path, size: int) -> Iterator[tuple[int, Lifeline]]:
    """As the first of ``size`` processes: rank and lifeline of each of the others, as they come.

    They learn of this process from the file ``place``, which must be new and lies there as long as one is missing.
    The port is any free one. Raises TimeoutError where they do not come.
    """
    token, missing, end = secrets.token_hex(16), set(range(1, size)), time.monotonic() + START_S
    with socket.create_server(("", 0), backlog=size) as server:
        told = {"host": socket.gethostname(), "port": server.getsockname()[1], "token": token}
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(told))
        try:
            while missing:
                server.settimeout(max(0.001, end - time.monotonic()))
                connection, _ = server.accept()
                found = _hello(connection, token)
                if found is None or found[0] not in missing:  # a stranger
                    connection.close()
                    continue
                missing.remove(found[0])
                yield found[0], Lifeline(connection, found[1])
        except TimeoutError:
            raise TimeoutError(f"processes {sorted(missing)} of this job have not come for {START_S:g} s") from None
        finally:
            place.unlink(missing_ok=True)


def join(place: Path, rank: int, hosts: tuple[str, ...]) -> Lifeline:
    """As one of the others: the lifeline to the first process.

    It is sought at each of ``hosts``, and then where it says that it is. Raises TimeoutError where it does not answer.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            os.listdir(place.parent)  # noqa: PTH208 - makes a network disk look again
            told = json.loads(place.read_text(encoding="utf-8"))
            for host in (*hosts, told["host"]):
                with contextlib.suppress(OSError):
                    connection = socket.create_connection((host, told["port"]), timeout=_HELLO_S)
                    hello = json.dumps([told["token"], rank, socket.gethostname()])
                    connection.sendall(hello.encode() + b"\n")
                    return Lifeline(connection, host)
        time.sleep(_POLL_S)
    raise TimeoutError(f"the first process of this job has not answered for {START_S:g} s")


def end_as_killed(why: str) -> NoReturn:
    """End this process at once, as a kill from outside would: nothing is journaled, and the job is started again."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        os.write(2, f"ablate: {why}; this process ends with it, and the job is to be started again\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


def _hello(connection: socket.socket, token: str) -> tuple[int, str] | None:
    """Rank and machine of a process that knows the token; None for a stranger."""
    connection.settimeout(_HELLO_S)
    try:
        said, rank, host = json.loads(connection.makefile("rb").readline(_HELLO_BYTES))
    except (OSError, ValueError, TypeError):
        return None
    return (int(rank), str(host)) if secrets.compare_digest(str(said), token) else None
