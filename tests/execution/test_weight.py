"""What importing the driver's side costs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "mlflow", "submitit", "optuna", "timm", "pandas"}
DRIVER = ("scheduler", "display", "slots", "stopping", "pack", "executors", "run_folder")


def test_the_drivers_side_imports_nothing_heavy():
    """Planning, scheduling and showing load no training library, no tracker and no submitit."""
    modules = ", ".join(f"ablate.execution.{name}" for name in DRIVER)
    code = f"import sys, {modules}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
