"""What README.md promises is what the program does."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

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
    assert len(rows) == 9
    for verb, text in rows:
        usage = place.ablate(verb, "--help").out
        for option in re.findall(r"--[a-z]+", text):
            assert option in usage, (verb, option)


def test_the_readmes_table_is_the_committed_reports(readme):
    """The table that the README shows is the digits report's own, and the figure beside it exists."""
    report = ROOT / "reports" / "simplevit" / "digits"
    table = (report / "tables" / "comparison.md").read_text(encoding="utf-8").partition("\n\n")[0]
    assert f"<!-- the table -->\n{table}\n" in readme
    (figure,) = re.findall(r"!\[.*?\]\((reports/.*?\.png)\)", readme)
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
