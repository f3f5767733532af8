"""What README.md promises is what the program does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ablate.study.load import load_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def readme():
    """The text of README.md."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


def block(text, marker):
    """The code block that follows a marker."""
    match = re.search(rf"<!-- {re.escape(marker)} -->\n```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert match, f"README.md has no block marked {marker!r}"
    return match[1]


def test_the_readmes_own_trainable_runs_to_a_report(make_place, readme):
    """forest.py and forest.yaml, copied as they stand, end with a table of verdicts and exit code 0."""
    place = make_place(forest__py=block(readme, "forest.py"), forest__yaml=block(readme, "forest.yaml"))
    console_script = Path(sysconfig.get_path("scripts"), "ablate")
    done = subprocess.run(
        [console_script, "run", "forest.yaml"],
        cwd=place.root,
        env=place.environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "trained 25, reused 0, failed 0"
    verdicts = {row["variant"]: row["verdict"] for row in place.comparison("forest/default")}
    assert verdicts["trees=5"] == "hurts"
    assert verdicts["depth=4"] == "hurts"
    assert verdicts.keys() == {"baseline", "trees=5", "trees=200", "depth=4", "bagging=off"}
    assert "hurts" in done.stdout


def test_the_readmes_own_stem_trains(place, readme):
    """my_stem.py, copied as it stands, is a stem of the starter study: it trains, and what it refuses is told."""
    place.write("my_stem.py", block(readme, "my_stem.py"))
    place.ablate("init")
    starter = (place.root / "study.yaml").read_text(encoding="utf-8")
    own = starter.replace("{name: patches, patch_size: 2}", '{name: "my_stem:Overlapping", patch_size: 2}')
    assert own != starter
    place.write("study.yaml", own)
    place.ablate("run", "study.yaml", "--profile", "tiny", "--only", "position=*", "--seeds", "1")
    place.write("study.yaml", own.replace("patch_size: 2", "patch_size: 3"))
    refused = place.ablate("run", "study.yaml", code=2).err
    assert "patches of 3 px do not tile (8, 8)" in refused


def test_the_readmes_mistake_is_told_as_shown(place, readme):
    """The message in the README is the program's own, word for word, for that slip in the starter study."""
    (shown,) = re.findall(r"^\$ ablate run study\.yaml\n(.*)$", readme, re.MULTILINE)
    (slip,) = re.findall(r"there is no field '(\w+)' in 'model'", shown)
    place.ablate("init")
    starter = (place.root / "study.yaml").read_text(encoding="utf-8")
    place.write("study.yaml", starter.replace("{model.position: none}", f"{{model.{slip}: none}}"))
    assert place.ablate("run", "study.yaml", code=2).err == shown + "\n"


def test_the_readmes_links_lead_somewhere(readme):
    """Every relative link and picture is a file of the repository."""
    targets = {t for t in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in t}
    assert len(targets) > 15
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_continuous_integration_runs_the_readmes_test_command(readme):
    """`.ci/run` takes the test command out of the README with its own sed, and gets what stands there."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (extraction,) = re.findall(r"^test_command=\$\((.*)\)$", script, re.MULTILINE)
    done = subprocess.run(["bash", "-c", extraction], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == block(readme, "the test command")
    assert "pytest" in done.stdout


def test_the_run_command_names_what_exists(readme):
    """The README's first command installs this package and runs a study that is there."""
    command = block(readme, "the run command")
    (study,) = re.findall(r"ablate run (\S+)", command)
    assert (ROOT / study).is_file()
    assert "pip install" in command


def test_the_readmes_options_exist(make_place, readme):
    """Every verb and every long option in the README's table of commands is one that the program knows."""
    place = make_place()
    rows = re.findall(r"^\| `ablate (\w+)[^`]*` \|(.*)\|$", readme, re.MULTILINE)
    assert len(rows) > 9
    for verb, text in rows:
        usage = place.ablate(verb, "--help").out
        for option in re.findall(r"--[a-z-]+", text):
            assert re.search(rf"{option}\b(?!-)", usage), (verb, option)


def test_the_readme_names_every_verb(readme):
    """The table of commands has all that `ablate --help` lists, and each command shown anywhere is one of them."""
    from ablate.cli import app

    verbs = {command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"^\| `ablate (\w+)", readme, re.MULTILINE)) == verbs
    assert set(re.findall(r"^(?:\$ )?ablate (\w+)", readme, re.MULTILINE)) | verbs == verbs
    assert set(re.findall(r"`ablate (\w+)", readme)) | verbs == verbs


def fields_told(readme, marker):
    """The fields in the first column of the table that follows a marker."""
    rows = readme.partition(f"<!-- {marker} -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_readme_tells_every_setting_once(readme):
    """The two tables of settings have exactly the fields that files of settings may have."""
    from ablate.execution.resources import ResourceFields
    from ablate.settings_schema import LocalSettings

    assert sorted(fields_told(readme, "the fields of a request")) == sorted(ResourceFields.model_fields)
    assert sorted(fields_told(readme, "the local settings")) == sorted(LocalSettings.model_fields)


def test_the_readmes_settings_are_read_as_it_says(readme, studies, tmp_path, monkeypatch):
    """Its `.ablate.toml` fits the study shown beside it, options stand over it, and an empty one gives the default."""
    from ablate.settings import load_settings
    from ablate.study.load import load_study

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ablate.toml").write_text(block(readme, ".ablate.toml"), encoding="utf-8")
    study = load_study(studies / "simplevit.yaml", "imagenet-90ep")
    options = [option for span in re.findall(r"`--slurm ([^`]+)`", readme) for option in span.split(" --slurm ")]
    settings = load_settings(tmp_path)
    assert settings.unused_patterns(variant.name for variant in study.variants) == []
    told = settings.slurm_for("baseline"), settings.slurm_for("batch=4096")
    assert [(r.gpus, r.processes_in_all, r.time_min) for r in told] == [(4, 4, 1440), (8, 8, 1440)]
    asked = load_settings(tmp_path, options).slurm_for("baseline")
    assert (asked.gpus, asked.time_min, asked.setup, asked.sbatch) == (2, 240, (), {"mail-type": "END"})


def test_the_readmes_numbers_are_the_programs(readme):
    """What it says of how long and how often is what the program does."""
    from ablate.execution.cluster import driver, job
    from ablate.execution.resources import Resources
    from ablate.training import vision

    default = Resources()
    for words in (
        f"`checkpoint_s` before it ({Resources(time='24h').warning_s} s)",
        f"up to `requeues` ({default.requeues}) times",
        f"starts itself again; {default.requeues} |",
        f"from the last regular one (every {vision._INTERVAL_S:g} s, `${vision.INTERVAL_VARIABLE}`)",
        f"news; {default.poll_s:g} |",
        f"should take; {default.job_minutes:g} |",
        f"of a job; {default.time_min} minutes |",
    ):
        assert words in readme
    assert (job.MAX_DEATHS, driver.MAX_AGAIN) == (3, 5)  # "three times", "five times at most"


def test_the_architecture_page_names_what_exists():
    """Every module that ablate/README.md names is there, and its numbers on retries are the program's."""
    from ablate.execution.cluster import driver, job, watch

    package = ROOT / "ablate"
    text = (package / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text)) - {"__init__.py"}
    assert len(named) > 30
    there = [file.relative_to(package).as_posix() for file in package.rglob("*.py")]
    assert {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in there)} == set()
    for words in (
        f"process was killed {job.MAX_DEATHS} times",
        f"again, {driver.MAX_AGAIN} times without getting further",
        f"asks again, {driver.MAX_REFUSALS} rounds",
        f"listed it for {watch.GONE_S:g} s",
        f"touched every {job.HEARTBEAT_S:g} s",
    ):
        assert words in text


def test_the_readmes_training_code_for_several_processes_runs_alone(make_place, readme):
    """sums.py, copied as it stands, trains where nothing describes several processes (tests/slurm has several)."""
    study = (
        "study: sums\nquestion: Do all add up?\ntrainable: sums:train\nmetric: {name: total, direction: maximize}\n"
        "seeds: 2\nbase: {steps: 3}\nfactors: {steps: {reference: '3', levels: {'6': {steps: 6}}}}\n"
    )
    place = make_place(sums__py=block(readme, "sums.py"), sums__yaml=study)
    assert place.ablate("run", "sums.yaml").counts == (4, 0, 0)
    totals = {(r.recipe["steps"], r.seed): r.metrics["total"] for r in place.records().values()}
    assert totals == {(steps, seed): steps * (1 + seed) for steps in (3, 6) for seed in (0, 1)}


def test_the_readmes_table_is_the_committed_reports(readme):
    """The table that the README shows is the digits report's own, and the figure beside it exists."""
    report = ROOT / "reports" / "simplevit" / "digits"
    table = (report / "tables" / "comparison.md").read_text(encoding="utf-8").partition("\n\n")[0]
    assert f"<!-- the table -->\n{table}\n" in readme
    (figure,) = re.findall(r"!\[.*?\]\((reports/.*?\.svg)\)", readme)
    assert (ROOT / figure).is_file()


def test_the_readmes_teachers_fit_the_starter_study(place, readme):
    """The block on teachers, put into the starter study, plans a teacher for the Levels that learn from it."""
    from ruamel.yaml import YAML

    place.ablate("init")
    yaml = YAML(typ="safe")
    yaml.version = (1, 2)
    starter = yaml.load((place.root / "study.yaml").read_text(encoding="utf-8"))
    told = yaml.load(block(readme, "teachers"))
    starter["teachers"] = told["teachers"]
    starter["factors"] |= told["factors"]
    with (place.root / "study.yaml").open("w") as file:
        yaml.dump(starter, file)
    plan = place.plan("study.yaml")
    needs = {variant["name"] for variant in plan["variants"] if "distillation" in variant["name"]}
    assert needs == {"distillation=hard", "distillation=token"}
    (teacher,) = {need for trial in plan["trials"] for need in trial.get("needs", ())}
    assert [(trial["variant"], trial["id"]) for trial in plan["teachers"]] == [("teacher:convnet", teacher)]


def test_the_readmes_designs_are_a_study(tmp_path, readme):
    """The block on designs, put behind some Factors, is read as it says: its union, without what it excludes."""
    (tmp_path / "mine.py").write_text("def train(recipe, seed, report, folder):\n    return {'score': 1.0}\n")
    (tmp_path / "study.yaml").write_text(
        "study: s\nquestion: q\ntrainable: mine:train\nmetric: {name: score, direction: maximize}\nseeds: 2\n"
        "base: {posemb: sincos, pool: gap, head: mlp, dropout: 0.0}\n"
        "factors:\n"
        "  posemb: {reference: sincos, levels: {learned: {posemb: learned}, none: {posemb: none}}}\n"
        "  pool: {reference: gap, levels: {cls: {pool: cls}}}\n"
        "  head: {reference: mlp, levels: {linear: {head: linear}}}\n"
        "  dropout: {reference: off, levels: {'on': {dropout: 0.1}}}\n" + block(readme, "designs")
    )
    study = load_study(tmp_path / "study.yaml")
    assert [b.design for b in study.blocks] == ["one_at_a_time", "ladder", "pairs"]
    names = {variant.name for variant in study.variants}
    assert {"posemb=learned,pool=cls,head=linear", "posemb=learned,pool=cls"} <= names
    assert not {"posemb=none,pool=cls", "dropout=on"} & names


def test_the_readmes_python_runs(tmp_path, readme):
    """Its lines on Python, copied as they stand, run in a clone in which nothing was trained, without torch."""
    for name in ("studies", "reports/simplevit"):
        shutil.copytree(ROOT / name, tmp_path / name)
    code = block(readme, "python") + "\nimport sys\nassert 'torch' not in sys.modules\nprint(results.effects().shape)\n"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/none.db"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(14, ")
