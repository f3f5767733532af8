"""An emulated machine: processes with a hostname, mounts and a process table of their own, which lose power at once.

It is made of Linux namespaces (``unshare``), so a program in it meets what it meets on another host: another name, and
process ids that say nothing about the host's. The network is shared. Killing the first process of a process-id
namespace kills all others in it, whatever they have become, so nothing can outlive its machine; and that first process
ends when this one does, so nothing outlives the tests either.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The first process is a shell that waits for cat, and cat for the end of the tests; both are there once "up" is said.
# `<&3` because a shell gives a program in the background no stdin; `:` because the shell has to stay and reap orphans.
BOOT = """hostname "$0" && for pair; do mount --bind "${pair%%=*}" "${pair#*=}" || exit; done
exec 3<&0; cat <&3 >/dev/null & echo up; wait; :"""
NAMESPACES = ("--uts", "--mount", "--pid")


@dataclass(frozen=True)
class Process:
    """A process of a machine: its id here, its id inside, the name of its executable, and its command line."""

    pid: int
    inner_pid: int
    name: str
    command: str

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends it a signal; one that has gone already is fine."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Machine:
    """A machine that is switched on; needs root.

    Args:
        name: Its hostname.
        binds: Paths of the real machine to be seen at other, existing paths inside.
        env: The environment of whatever is started on it.

    Raises:
        RuntimeError: It cannot be made here, with the reason.
    """

    def __init__(self, name: str, binds: Mapping[Path, Path], env: Mapping[str, str]) -> None:
        self.name = name
        self.env = dict(env)
        command = ["unshare", *NAMESPACES, "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "slave"]
        pairs = [f"{source}={target}" for source, target in binds.items()]
        self._holder = subprocess.Popen(
            [*command, "sh", "-c", BOOT, name, *pairs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=self.env,
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline().strip()
        if said != "up":
            self.power_off()
            raise RuntimeError(f"no machine {name}: {said or 'unshare ended'}")
        self._first = self._children()[0]
        self._namespace = Path(f"/proc/{self._first}/ns/pid").readlink()
        self._own = {process.pid for process in self._members()}

    @property
    def is_on(self) -> bool:
        """Whether it has not lost power."""
        return self._holder.poll() is None

    def start(self, command: Sequence[str], log: Path, *, wait: bool = True, **env: str) -> None:
        """Starts a program on it, its output appended to ``log``.

        Args:
            command: A program that goes to the background by itself, or, with ``wait=False``, one that does not.
            log: Where what it says goes.
            wait: Whether to wait for the command to return.
            **env: Added to the machine's environment.

        Raises:
            RuntimeError: The command failed.
        """
        enter = ["nsenter", "--target", str(self._first), *NAMESPACES, "--", "setsid", "--fork"]
        if wait:
            enter.pop()
        with log.open("a") as output:
            done = subprocess.run(
                [*enter, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.env | env,
                timeout=60,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{command[0]} on {self.name} ended with {done.returncode}:\n{log.read_text()[-2000:]}")

    def processes(self) -> list[Process]:
        """What runs on it, the machine's own two processes left out; empty when it is off."""
        return [process for process in self._members() if process.pid not in self._own] if self.is_on else []

    def power_off(self) -> None:
        """Ends everything on it at once, as a power cut does; returns when all is gone."""
        # The kernel keeps the first process until the last of the others has gone, and unshare waits for the first.
        for pid in self._children():
            os.kill(pid, signal.SIGKILL)
        self._holder.communicate()

    def _children(self) -> list[int]:
        if self._holder.poll() is not None:
            return []
        return [
            int(word) for word in Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        ]

    def _members(self) -> list[Process]:
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if (folder / "ns/pid").readlink() != self._namespace:
                    continue
                # Of the executable, since a process may call itself what it likes; Debian's slurmd is slurmd-wlm.
                name = (folder / "exe").readlink().name.removesuffix("-wlm")
                inner = re.search(r"^NSpid:.*\t(\d+)$", (folder / "status").read_text(), re.MULTILINE)
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:  # it has ended, or is a zombie
                continue
            if inner:
                found.append(Process(int(folder.name), int(inner[1]), name, command))
        return found
