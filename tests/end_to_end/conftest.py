"""The real command in a process of its own, as a user starts it, in a working folder of its own."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.tracking.spool import Spool

TINY = Path(__file__).parent / "tiny.yaml"
#: No test measures time; a command that takes this long hangs, s.
HANG_S = 300
LAST_LINE = re.compile(r"trained (\d+), reused (\d+), failed (\d+)")
#: Gives the child its own session with its standard input as controlling terminal, as a terminal does.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def counts(self) -> tuple[int, ...]:
        """Trained, reused and failed, from the promised last line."""
        line = self.out.splitlines()[-1]
        match = LAST_LINE.fullmatch(line)
        assert match, self.out + self.err
        return tuple(map(int, match.groups()))


class Place:
    """A working folder."""

    @staticmethod
    def timeless(record):
        """A Record's final metrics without those that measure the machine."""
        from ablate.training.vision import TIMING_METRICS

        return {name: value for name, value in record.metrics.items() if name not in TIMING_METRICS}

    def __init__(self, root):
        self.root = root
        self.started = []

    def write(self, name, text):
        """A file of the user's."""
        (self.root / name).write_text(text, encoding="utf-8")
        return name

    def command(self, *arguments):
        """What a shell would be told."""
        return [sys.executable, "-m", "ablate.cli", *map(str, arguments)]

    def environment(self, extra):
        """The test's own, and a terminal wide enough to print tables whole."""
        return {**os.environ, "COLUMNS": "200", **extra}

    def start(self, *arguments, **environment):
        """Begin a command, and leave it running."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process):
        """Wait until a command has ended of itself."""
        out, err = process.communicate(timeout=HANG_S)
        return Done(process.returncode, out, err)

    def ablate(self, *arguments, code=0, **environment):
        """Run a command to its end, which must be the exit code ``code``."""
        done = self.end(self.start(*arguments, **environment))
        assert done.code == code, f"exit {done.code}\n{done.out}\n{done.err}"
        return done

    def plan(self, *arguments):
        """`ablate plan --json`, parsed."""
        return json.loads(self.ablate("plan", "--json", *arguments).out)

    def records(self):
        """Record of every Trial in the spool, by id."""
        folder = self.root / ".ablate" / "trials"
        ids = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        return Spool(self.root / ".ablate").records(ids)

    def results(self):
        """Bytes of every finished Trial's result, by id."""
        return {p.parent.name: p.read_bytes() for p in (self.root / ".ablate" / "trials").glob("*/result.json")}

    def comparison(self, slug):
        """The report's table, without the column of times, which no two runs share."""
        with (self.root / "reports" / slug / "tables" / "comparison.csv").open(encoding="utf-8") as file:
            return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]

    def report_bytes(self, slug):
        """Every file of a report."""
        folder = self.root / "reports" / slug
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def runs(self, experiment):
        """The runs of an MLflow experiment, through MLflow's own client."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{self.root / 'mlflow.db'}")
        found = client.get_experiment_by_name(experiment)
        assert found is not None, [e.name for e in client.search_experiments()]
        return client.search_runs([found.experiment_id])

    def close(self):
        """End what a failed test has left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class Terminal:
    """A pseudo-terminal of 40 x 160 with a command in it."""

    def __init__(self, place, *arguments, **environment):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}  # the terminal says
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *place.command(*arguments)],
            cwd=place.root,
            env={**inherited, "TERM": "xterm", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.raw = ""

    @property
    def text(self):
        """What was written so far, without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw).replace("\r", "")

    def press(self, keys):
        """As if typed."""
        os.write(self.master, keys.encode())

    def read_until(self, condition):
        """Read on until a condition holds; False where the command ended before."""
        deadline = time.monotonic() + HANG_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain\n{self.text}"
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                chunk = os.read(self.master, 65536)
            except OSError:  # Linux: the other side is closed
                return False
            if not chunk:
                return False
            self.raw += chunk.decode(errors="replace")
        return True

    def end(self):
        """Read to the end; the exit code."""
        self.read_until(lambda: False)
        return self.process.wait(HANG_S)

    def close(self):
        """End the command where it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture(scope="session")
def tiny():
    """The text of a study that trains in seconds."""
    return TINY.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def make_place(tmp_path_factory):
    """Makes working folders, with files in them."""
    places = []

    def make(**files):
        place = Place(tmp_path_factory.mktemp("place"))
        places.append(place)
        for name, text in files.items():
            place.write(name.replace("__", "."), text)
        return place

    yield make
    for place in places:
        place.close()


@pytest.fixture
def place(make_place):
    """An empty working folder."""
    return make_place()


@pytest.fixture
def terminal():
    """Opens pseudo-terminals, and closes them."""
    opened = []

    def open_one(place, *arguments, **environment):
        opened.append(Terminal(place, *arguments, **environment))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def until():
    """Waits for a condition."""

    def wait(condition):
        deadline = time.monotonic() + HANG_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait


@dataclass(frozen=True)
class Trained:
    """A working folder in which the tiny study has been run; tests read it and change nothing of the study."""

    place: Place
    done: Done
    """How the first run ended."""


@pytest.fixture(scope="session")
def trained(make_place, tiny):
    """The tiny study, run once for all tests that only look."""
    place = make_place(tiny__yaml=tiny)
    return Trained(place, place.ablate("run", "tiny.yaml", "--slots", 2))
