"""What all tests share: one thread per process, and no settings of the machine's owner."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports torch or NumPy's BLAS: tests run side by side, and results are compared bit by bit.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
OWN_SETTINGS = ("ABLATE_DATA", "ABLATE_CHECKPOINT_INTERVAL_S", "ABLATE_WORKERS", "ABLATE_MEMORY_GB", "ABLATE_PROCESSES")
for name in ("MLFLOW_TRACKING_URI", "TFDS_DATA_DIR", "RANK", "WORLD_SIZE", *OWN_SETTINGS):
    os.environ.pop(name, None)

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slurm", choices=("quick", "all"), default="quick", help="how much of the tests on Slurm to run")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Everything on Slurm goes to one worker process, which starts one cluster; the rest by file."""
    from xdist.scheduler import LoadFileScheduling

    class OneCluster(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "slurm" if nodeid.startswith("tests/slurm/") else str(super()._split_scope(nodeid))

    return OneCluster(config, log)


#: The files that take longest begin first: what is left for the end should be short.
LONGEST = ("tests/slurm/", "tests/execution/cluster/test_ranks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
    )


def pytest_configure(config: pytest.Config) -> None:
    # MLflow 3.17 loads runs with a strategy that SQLAlchemy 2.1 deprecates; nothing of ours can change it.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is kept for a machine is kept for these tests alone."""
    os.environ["ABLATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium, closed at the end of the file.

    While Playwright is open its event loop counts as running in the process, so neither a second Playwright nor
    `asyncio.run` works there: no test may open its own, and no other file may find this one open.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def studies() -> Path:
    """The folder of the repository's own studies."""
    return ROOT / "studies"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, which is the current one for the test."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path / ".ablate", ignore_errors=True)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `FakeSlurm` whose commands are the first on PATH."""
    spec = importlib.util.spec_from_file_location("ablate_test_fake_slurm", ROOT / "tests" / "fake_slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fake = module.FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", fake.path)
    return fake
