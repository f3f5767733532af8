"""A study file, its profiles and the options of the command line, resolved to Variants and Trials."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.recipe import Recipe
from ablate.study.load import load_study
from ablate.study.study import VISION, Study

Loader = Callable[..., Study]
STUDIES = Path(__file__).parents[2] / "studies"


def test_variants_are_those_of_the_design_and_the_list(load: Loader) -> None:
    """Baseline first, then each Level alone, then the listed ones, each with what it changes."""
    study = load()
    assert {v.name: dict(v.changes) for v in study.variants} == {
        "baseline": {},
        "posemb=learned": {"model.position": ("sincos2d", "learned")},
        "posemb=none": {"model.position": ("sincos2d", "none")},
        "batch=128": {"schedule.batch_size": (32, 128)},
        "batch=64": {"schedule.batch_size": (32, 64)},
        "randaug=off": {"augment.randaug": ({"layers": 2, "level": 10.0, "probability": 1.0}, "off")},
        "original": {"model.position": ("sincos2d", "learned"), "schedule.batch_size": (32, 128)},
    }
    assert study.variants[0] is study.baseline
    assert study.variants[-1].levels == {"posemb": "learned", "batch": "128", "randaug": "10"}
    assert study.variants[-1].note == "Both."


def test_a_profile_changes_base_factors_and_seeds(load: Loader) -> None:
    """Overrides of the base, another reference, a Level added, another label, other seeds."""
    small, paper = load(), load(profile="paper")
    assert small.baseline.recipe["schedule"]["epochs"] == 3
    assert small.factors["batch"].reference == "32"
    assert list(small.factors["batch"].levels) == ["128", "64"]
    assert [f.label for f in small.factors.values()] == ["posemb", "batch size", "RandAugment"]
    assert small.seeds == (0, 1, 2)
    assert paper.baseline.recipe["schedule"]["epochs"] == 30
    assert paper.factors["batch"].reference == "64"
    assert paper.seeds == (0, 1, 2, 3, 4)


def test_a_profile_takes_out_levels_and_listed_variants(example: str, load: Loader) -> None:
    """`null` removes what the study has."""
    text = example.replace("          64: {schedule.batch_size: 64}", "          128: null")
    text = text.replace("  paper:\n", "    variants: {original: null}\n  paper:\n")
    assert [v.name for v in load(text).variants] == ["baseline", "posemb=learned", "posemb=none", "randaug=off"]


def test_a_study_without_profiles_runs_as_it_is(example: str, load: Loader) -> None:
    """Its profile is then called `default`."""
    text = example.partition("published:")[0].replace("profile: small\n", "")
    assert load(text).slug == "example/default"


def test_trials_are_variants_times_seeds_with_seeds_outermost(load: Loader) -> None:
    """Early results cover all Variants; every id is its own."""
    study = load()
    order = [(seed, v.name) for seed in study.seeds for v in study.variants]
    assert [(t.seed, t.variant) for t in study.trials] == order
    assert len({t.id for t in study.trials}) == len(order)


def test_every_recipe_is_resolved_and_valid(load: Loader) -> None:
    """A Trial's Recipe spells out every default, and the vision trainer's model takes it and gives it back."""
    for variant in load().variants:
        assert Recipe.model_validate(variant.recipe).resolved() == variant.recipe
    recipe = load().baseline.recipe
    assert recipe["model"]["position"] == {"name": "sincos2d", "temperature": 10_000.0}
    assert recipe["augment"]["mixup"] == {"alpha": 0.2, "draw": "image"}
    assert recipe["schedule"]["warmup_epochs"] is None


def test_overrides_reach_defaults_that_the_base_does_not_spell_out(example: str, load: Loader) -> None:
    """Options of parts and fields of sections have values before anyone writes them."""
    text = example.replace("{model.position: none}", "{model.position.temperature: 7, augment.mixup.draw: batch}")
    changes = load(text, only=["posemb=none"]).variants[1].changes
    assert changes == {"model.position.temperature": (1e4, 7.0), "augment.mixup.draw": ("image", "batch")}


def test_only_selects_by_pattern_and_keeps_the_baseline(load: Loader) -> None:
    """Patterns add up, the order stays the study's, and ids are those of the whole study."""
    whole = {(t.variant, t.seed): t.id for t in load().trials}
    study = load(only=["original", "posemb=*"])
    assert [v.name for v in study.variants] == ["baseline", "posemb=learned", "posemb=none", "original"]
    assert all(whole[t.variant, t.seed] == t.id for t in study.trials)
    assert [v.name for v in load(only=["baseline"]).variants] == ["baseline"]
    assert study.selection == "--only original --only posemb=*"


def test_seeds_takes_the_first(example: str, load: Loader) -> None:
    """Of a list the first so many; of a number as many as asked for."""
    assert load(example.replace("[0, 1, 2]", "[7, 5, 3]"), seeds=2).seeds == (7, 5)
    assert load(profile="paper", seeds=2).seeds == (0, 1)
    assert load(profile="paper", seeds=6).seeds == (0, 1, 2, 3, 4, 5)
    assert load(seeds=2).selection == "--seeds 2"


def test_set_changes_the_base_of_every_variant(load: Loader) -> None:
    """After the profile, before the Levels, in the values of YAML; and published numbers hold no longer."""
    study = load(profile="paper", sets=["schedule.epochs=2", "optimizer.learning_rate=1e-4", "augment.mixup=off"])
    for variant in study.variants:
        assert variant.recipe["schedule"]["epochs"] == 2
        assert variant.recipe["optimizer"]["learning_rate"] == 1e-4
        assert variant.recipe["augment"]["mixup"] == "off"
    assert study.published == ()
    assert study.selection.startswith("--set schedule.epochs=2 --set ")
    assert {t.id for t in study.trials}.isdisjoint(t.id for t in load(profile="paper").trials)


def test_combined_designs_have_each_variant_once(example: str, load: Loader) -> None:
    """A list of designs is their union."""
    text = example.replace("design: one_at_a_time", "design: [one_at_a_time, factorial]")
    text = text.replace("  paper:\n", "    variants: {original: null}\n  paper:\n")
    study = load(text)
    assert len(study.variants) == 3 * 3 * 2
    assert [len(v.changes) for v in study.variants[:6]] == [0, 1, 1, 1, 1, 1]


def test_a_combination_is_the_same_whatever_stands_before_it(example: str, load: Loader) -> None:
    """Of a factorial each Variant has the Recipe, the changes and the Trials that it has as the only one listed."""
    design, variants = "design: one_at_a_time", "variants:\n  original:\n    levels: {posemb: learned, batch: 128}\n"
    plain = "    variants: {original: null}\n  paper:\n"
    whole = load(example.replace(design, "design: factorial").replace("  paper:\n", plain))
    assert len(whole.variants) == 3 * 3 * 2
    for variant in whole.variants[1:]:
        levels = ", ".join(f"{factor}: {level}" for factor, level in variant.levels.items())
        alone = f"variants:\n  original:\n    levels: {{{levels}}}\n"
        study = load(example.replace(design, "design: listed").replace(variants, alone), only=["original"])
        assert study.variants[1].recipe == variant.recipe
        assert study.variants[1].changes == variant.changes
        assert [t.id for t in study.trials if t.variant == "original"] == [
            t.id for t in whole.trials if t.variant == variant.name
        ]


def test_two_factors_may_set_a_field_to_the_same_value(example: str, load: Loader) -> None:
    """Only different values contradict each other; sections that differ in their fields do not."""
    text = example.replace("off: {augment.randaug: off}", "off: {augment.randaug: off, schedule: {batch_size: 128}}")
    text = text.replace("{posemb: learned, batch: 128}", "{randaug: off, batch: 128, posemb: none}")
    assert load(text).variants[-1].recipe["schedule"]["batch_size"] == 128


def test_data_of_another_source_gives_other_trials(example: str, load: Loader, folder: Path) -> None:
    """Where a Level changes the folder that is read, the folder's content tells its Trials apart."""
    for name, content in (("a", b"1"), ("b", b"22")):
        (folder / name / "train").mkdir(parents=True)
        (folder / name / "train" / "x.png").write_bytes(content)
    text = example.replace("source: digits", f"source: imagefolder:{folder}/a")
    text = text.replace("{model.position: none}", f"{{data.source: 'imagefolder:{folder}/b'}}")
    study = load(text, seeds=1)
    assert len({t.id for t in study.trials}) == len(study.trials)


def test_the_path_of_the_data_is_no_part_of_an_id(example: str, load: Loader, folder: Path) -> None:
    """The same images elsewhere are the same Trials; other images in the same place are not."""

    def ids(name: str) -> list[str]:
        return [t.id for t in load(example.replace("digits", f"imagefolder:{folder / name}", 1)).trials]

    (folder / "a" / "train").mkdir(parents=True)
    (folder / "a" / "train" / "x.png").write_bytes(b"1")
    first = ids("a")
    shutil.copytree(folder / "a", folder / "b")
    assert ids("b") == first
    (folder / "a" / "train" / "y.png").write_bytes(b"1")
    assert set(ids("a")).isdisjoint(first)


def test_names_texts_and_places_of_the_study_are_no_part_of_an_id(example: str, load: Loader) -> None:
    """Renaming the study, a Factor or a Level trains nothing anew."""
    renamed = (
        example.replace("study: example", "study: other").replace("posemb", "where").replace("learned:", "taught:")
    )
    renamed = renamed.replace("{where: learned", "{where: taught").replace("where=learned", "where=taught")
    assert [t.id for t in load(renamed).trials] == [t.id for t in load(example).trials]


def test_the_studies_of_this_repository_load(folder: Path) -> None:
    """Every study at every profile."""
    shutil.copytree(STUDIES, folder / "studies")
    for path in sorted((folder / "studies").glob("*.yaml")):
        default = load_study(path)
        assert default.trainable == VISION
        for line in path.read_text(encoding="utf-8").partition("\nprofiles:")[2].splitlines():
            name = line.strip().rstrip(":")
            if line.startswith("  ") and not line.startswith("   ") and line.endswith(":"):
                assert load_study(path, name).variants


def test_simplevit_has_its_published_numbers(folder: Path) -> None:
    """At the published scale, and there alone, Table 1 stands beside the Variants that it has rows for."""
    shutil.copytree(STUDIES, folder / "studies")
    path = folder / "studies" / "simplevit.yaml"
    table, *_ = load_study(path, "imagenet-90ep").published
    assert (table.values["baseline"], table.values["head=linear"], table.values["posemb=learned"]) == (76.5, 76.7, 75.0)
    assert load_study(path, "digits").published == ()


def test_loading_imports_neither_torch_nor_mlflow(folder: Path, load: Loader) -> None:
    """Planning a study stays quick: in a fresh process, loading brings in none of the heavy packages."""
    load()
    code = (
        "import sys, json, pathlib\n"
        "from ablate.study.load import load_study\n"
        "from ablate.study import schema, starter\n"
        "load_study(pathlib.Path(sys.argv[1])); schema.json_schema()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'mlflow', 'pandas', 'sklearn', 'mlxtend', 'submitit', 'optuna'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    command = [sys.executable, "-c", code, str(folder / "study.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("elsewhere", ["/", "."])
def test_a_study_is_found_from_any_folder(
    load: Loader, folder: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    """Files that the study names lie beside it, not in the working folder."""
    load()
    monkeypatch.chdir(elsewhere)
    assert load_study(folder / "study.yaml", "paper").published[0].values["baseline"] == 76.5


def test_a_file_beside_the_study_shadows_no_module_of_pythons_own(load: Loader, folder: Path) -> None:
    """The study's folder is searched last: its own modules are found, `colorsys` stays Python's."""
    (folder / "colorsys.py").write_text("raise RuntimeError\n")
    (folder / "only_beside_this_study.py").write_text("")
    load()
    shadowed, own = (importlib.util.find_spec(name) for name in ("colorsys", "only_beside_this_study"))
    assert shadowed is not None
    assert shadowed.origin != str(folder / "colorsys.py")
    assert own is not None
    assert own.origin == str(folder / "only_beside_this_study.py")
