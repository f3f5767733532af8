"""A driver as the tests use it, in their own process and as a program of its own that can be killed."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from ablate.execution.executors import make_executor
from ablate.execution.pack import Pack
from ablate.execution.progress import Progress, RunSummary
from ablate.execution.run_folder import RunFolder
from ablate.execution.scheduler import run_trials
from ablate.execution.slots import plan_slots
from ablate.execution.stopping import Stop, stop_on_signals
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

TRAINABLES = Path(__file__).parent / "trainables"


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.progress: list[Progress] = []
        self.outcomes: list[tuple[str, str]] = []
        self.summary: RunSummary | None = None

    def started(self, progress):
        self.progress.append(progress)

    def settled(self, trial, record, progress):
        self.outcomes.append((trial.variant, record.status))

    def noticed(self, message):
        self.messages.append(message)

    def updated(self, progress):
        self.progress.append(progress)

    def ended(self, summary):
        self.summary = summary


class Workplace:
    """A folder with a spool, and Trials of the toy Trainable."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.marks = root / "marks"
        self.spool = Spool(root / "spool")

    def trial(self, name: str, *, seed: int = 0, steps: int = 2, sleep: float = 0.01, needs=(), **recipe) -> Trial:
        recipe = {"name": name, "marks": str(self.marks), "steps": steps, "sleep": sleep, **recipe}
        return Trial(id=name, variant=name, seed=seed, recipe=recipe, needs=tuple(needs))

    def pack(self, trials, *, run, slot=None, trainable="toy:train", **fields) -> Pack:
        return Pack(
            trials=tuple(trials),
            trainable=trainable,
            metric="score",
            data_fingerprint="",
            spool=self.spool.root,
            run=run,
            slot=slot or plan_slots(1, cores=1, gpus=())[0],
            import_paths=(TRAINABLES,),
            **fields,
        )

    def run(self, trials, *, name="run", executor="local", slots=2, trainable="toy:train", stop=None, observer=None):
        """One invocation of a driver, from its lock to its summary."""
        folder = RunFolder(self.root / name)
        observer = observer or Listener()
        with folder.driving():
            return run_trials(
                trials,
                make_pack=lambda chosen, slot: self.pack(chosen, run=folder.path, slot=slot, trainable=trainable),
                executor=make_executor(executor, folder.jobs),
                spool=self.spool,
                slots=plan_slots(slots, cores=slots, gpus=()),
                observer=observer,
                stop=stop or Stop(folder.stop_file),
            )

    def run_in_thread(self, trials, *, name="run", **options):
        """The same beside the test; returns the request to stop, the observer and what joins it."""
        stop, observer = Stop(RunFolder(self.root / name).stop_file), Listener()
        outcome: list[RunSummary] = []
        thread = threading.Thread(
            target=lambda: outcome.append(self.run(trials, name=name, stop=stop, observer=observer, **options))
        )
        thread.start()

        def join() -> RunSummary:
            thread.join(60)
            assert outcome, "the driver did not come to an end"
            return outcome[0]

        return stop, observer, join

    def lines(self, event: str) -> list[list[str]]:
        """The marks of one kind: name, event, step, time, pid."""
        if not self.marks.exists():
            return []
        return [words for line in self.marks.read_text().splitlines() if (words := line.split())[1] == event]

    def names(self, event: str) -> list[str]:
        """Names of the Trials that left such a mark, sorted; one for each mark."""
        return sorted(words[0] for words in self.lines(event))


def main() -> None:
    """``drive.py ROOT RUN``: trains the Trials described in ROOT/trials.json in two slots."""
    workplace = Workplace(Path(sys.argv[1]))
    trials = [workplace.trial(**options) for options in json.loads((workplace.root / "trials.json").read_text())]
    stop = Stop(RunFolder(workplace.root / sys.argv[2]).stop_file)
    with stop_on_signals(stop):
        summary = workplace.run(trials, name=sys.argv[2], stop=stop)
    print(json.dumps({"trained": summary.trained, "reused": summary.reused, "interrupted": summary.interrupted}))


if __name__ == "__main__":
    main()
