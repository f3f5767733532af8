"""A workplace for the tests of execution, and patience with a limit."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

DRIVE = Path(__file__).parent / "drive.py"


@pytest.fixture(scope="session")
def drive():
    """The module `drive.py`."""
    spec = importlib.util.spec_from_file_location("ablate_test_drive", DRIVE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(drive, tmp_path):
    """An empty workplace."""
    return drive.Workplace(tmp_path)


@pytest.fixture
def until():
    """Waits for a condition; fails after 30 s."""

    def wait(condition, seconds=30.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def start_driver(workplace):
    """Starts a driver as a process of its own, over Trials given by their options."""
    started = []

    def start(trials, name):
        (workplace.root / "trials.json").write_text(json.dumps(trials))
        command = [sys.executable, str(DRIVE), str(workplace.root), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A fake nvidia-smi on PATH: give it the lines of its memory query, or its listing; at first it has neither."""
    folder = tmp_path / "fake-driver"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def tell(*memory: str, listing: str = "") -> None:
        (folder / "memory").write_text("".join(f"{line}\n" for line in memory))
        (folder / "listing").write_text(listing)

    tell()
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && exec cat {folder}/listing\nexec cat {folder}/memory\n')
    program.chmod(0o755)
    return tell
