"""Settings beside the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.settings import load_settings
from ablate.study.errors import StudyError


class Places:
    """A user's file, and a project with a folder of studies in it."""

    def __init__(self, root: Path) -> None:
        self.user = root / "home" / "ablate" / "config.toml"
        self.studies = root / "project" / "studies" / "deep"
        self.project = root / "project" / ".ablate.toml"
        for folder in (self.user.parent, self.studies):
            folder.mkdir(parents=True)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Places(tmp_path)


def test_without_any_file_the_defaults_hold(places: Places) -> None:
    """Nobody has to write settings."""
    settings = load_settings(places.studies)
    assert settings.files == ()
    assert settings.slurm.time_min == 60
    assert settings.slurm_for("baseline") == settings.slurm
    assert settings.local.processes == 1


def test_the_project_stands_over_the_user_and_options_over_both(places: Places) -> None:
    """Each key comes from the nearest place that has it, and a table of flags is joined key by key."""
    places.user.write_text(
        '[executors.slurm]\npartition = "u"\naccount = "lab"\ntime = "1h"\nsbatch = { nice = 1, mail-type = "END" }\n'
        "[executors.local]\nslots = 3\n"
    )
    places.project.write_text('[executors.slurm]\npartition = "p"\ntime = "2h"\nsbatch = { nice = 7 }\n')
    settings = load_settings(places.studies, ["time=3h", "gpus=2", "sbatch.mail-type=FAIL", "setup=module load cuda"])
    asked = settings.slurm
    assert (asked.partition, asked.account, asked.time_min, asked.gpus) == ("p", "lab", 180, 2)
    assert asked.sbatch == {"nice": 7, "mail-type": "FAIL"}
    assert asked.setup == ("module load cuda",)
    assert settings.local.slots == 3
    assert settings.files == (places.user, places.project)


def test_the_working_folders_project_file_is_taken_where_the_studys_has_none(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study that lies elsewhere is run with the settings of the folder it is run in; its own come first."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".ablate.toml").write_text('[executors.slurm]\npartition = "here"\n')
    monkeypatch.chdir(elsewhere)
    assert load_settings(places.studies).slurm.partition == "here"
    places.project.write_text('[executors.slurm]\npartition = "study"\n')
    assert load_settings(places.studies).slurm.partition == "study"


def test_shapes_change_what_their_variants_ask_for(places: Places) -> None:
    """A shape fits by patterns as ``--only`` takes them; a later one wins over an earlier, an option over all."""
    places.project.write_text(
        '[executors.slurm]\ngpus = 1\ntime = "1h"\n'
        '[[executors.slurm.shapes]]\nvariants = "batch_size=*"\ngpus = 4\ntime = "2h"\n'
        '[[executors.slurm.shapes]]\nvariants = ["*=4096", "depth=?"]\ntime = "8h"\n'
    )
    settings = load_settings(places.studies)
    asked = {name: settings.slurm_for(name) for name in ("baseline", "batch_size=512", "batch_size=4096", "depth=9")}
    assert {n: (r.gpus, r.time_min) for n, r in asked.items()} == {
        "baseline": (1, 60),
        "batch_size=512": (4, 120),
        "batch_size=4096": (4, 480),
        "depth=9": (1, 480),
    }
    assert settings.with_options(["time=5h"]).slurm_for("depth=9").time_min == 300
    assert settings.unused_patterns(["baseline", "depth=12"]) == ["batch_size=*", "*=4096", "depth=?"]
    assert list(settings.requests()) == ["", "batch_size=*", "*=4096, depth=?"]


def test_a_projects_shapes_replace_the_users(places: Places) -> None:
    """Patterns on names of Variants belong to one project's studies, so lists of them are not joined."""
    places.user.write_text('[[executors.slurm.shapes]]\nvariants = "*"\ngpus = 4\n')
    assert load_settings(places.studies).slurm_for("x").gpus == 4
    places.project.write_text('[[executors.slurm.shapes]]\nvariants = "y"\ntime = 5\n')
    assert load_settings(places.studies).slurm_for("x").gpus == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[executors.slurm]\ngpus = 1\npartiton = "a"\n', ":3:1: unknown key 'partiton' in 'executors.slurm'"),
        ('[executors.slurm]\npartiton = "a"\n', "did you mean 'partition'?"),
        (
            "[executors.slurn]\n",
            ":1:1: unknown key 'slurn' in 'executors'; allowed: local, slurm; did you mean 'slurm'?",
        ),
        ("[executors.slurm]\n\ngpus = true\n", ":3:1: executors.slurm.gpus: must be a whole number, not true"),
        ("[executors.slurm]\naccount = 12\n", ":2:1: executors.slurm.account: must be text, not 12"),
        ('[executors.slurm]\ntime = "soon"\n', ":2:1: executors.slurm.time: 'soon' is no time; write '4h'"),
        ('[executors.slurm]\nsetup = "x"\n', ":2:1: executors.slurm.setup: must be a list, not 'x'"),
        ("[[executors.slurm.shapes]]\ngpus = 1\n", "'variants' is missing"),
        (
            '[[executors.slurm.shapes]]\nvariants = "*"\ngpu = 1\n',
            ":3:1: unknown key 'gpu' in 'executors.slurm.shapes.0'",
        ),
        ("[executors.slurm]\ngpus = 2\nprocesses = 3\n", ":3:1: executors.slurm.processes: 3 processes cannot share"),
        (
            '[executors.slurm]\ngpus = 1\n[[executors.slurm.shapes]]\nvariants = "*"\nprocesses = 2\n',
            ":5:1: executors.slurm.processes: 2 processes cannot share 1 GPUs",
        ),
        ("[executors.local]\ngpu_memory_gb = 0\n", ":2:1: executors.local.gpu_memory_gb"),
    ],
)
def test_a_mistake_is_told_with_file_line_choices_and_the_nearest_name(places: Places, text: str, told: str) -> None:
    """Wrong keys and values are answered as those of a study are."""
    places.project.write_text(text)
    with pytest.raises(StudyError) as error:
        load_settings(places.studies)
    assert str(error.value).startswith(str(places.project))
    assert told in str(error.value)


def test_a_contradiction_between_files_points_at_the_one_that_has_the_field(places: Places) -> None:
    """Both files may be right each by itself; the place is that of the field which cannot hold."""
    places.user.write_text("[executors.slurm]\nprocesses = 3\n")
    places.project.write_text("[executors.slurm]\ngpus = 2\n")
    with pytest.raises(StudyError, match=r"config\.toml:2:1: executors\.slurm\.processes: 3 processes"):
        load_settings(places.studies)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("partition", "takes field=value"),
        ("partiton=x", "there is no field 'partiton'; allowed: partition,"),
        ("gpus=many", "gpus: must be a whole number, not 'many'"),
        ("time=soon", "'soon' is no time"),
        ("sbatch=x", "write sbatch.FLAG=VALUE"),
        ("sbatch.time=5", "'time' is set by the field 'time'"),
        ("gpu_type=a100", "say how many"),
    ],
)
def test_a_wrong_option_is_answered_with_its_own_text(places: Places, option: str, told: str) -> None:
    """A mistake on the command line repeats what was given."""
    with pytest.raises(StudyError) as error:
        load_settings(places.studies, [option])
    assert f"--slurm {option}" in str(error.value) or "takes field=value" in str(error.value)
    assert told in str(error.value)


def test_an_option_without_a_value_puts_the_default_back(places: Places) -> None:
    """``--slurm partition=`` asks for the cluster's default, whatever the files say; text stays text."""
    places.user.write_text('[executors.slurm]\npartition = "p"\ngpus = 2\n')
    settings = load_settings(places.studies, ["partition=", "gpus=", "account=123"])
    assert (settings.slurm.partition, settings.slurm.gpus, settings.slurm.account) == (None, 0, "123")
