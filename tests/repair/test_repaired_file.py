"""The repaired config as a file: it is what was proven, says why each line changed, and replaces nobody's file."""

import pytest
import yaml

from gradlab.config.files import document_of, load_config
from gradlab.errors import UserError
from gradlab.repair.repaired_file import check_target, text, write
from gradlab.repair.search import search
from tests.repair.made_up import VANISHING, Laboratory, normalized

GIVEN = """
# my own words
model:
  depth: 20
  activation: sigmoid
  initializer: {name: normal, std: 0.2}
train: {steps: 100}
"""


def better_with_relu(config):
    return ([], 0.9) if config.model.activation.name == "relu" else ([VANISHING], 0.1)


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GIVEN)
    return path


def repaired(path, result=better_with_relu, overrides=()):
    original = document_of(path).overridden(overrides)
    return search(original.config(), 2, Laboratory(result)), original


@pytest.mark.parametrize("result", [better_with_relu, lambda c: ([], 0.9) if normalized(c) else ([VANISHING], 0.1)])
@pytest.mark.parametrize("overrides", [[], ["model.width=32", "seed=5"]])
def test_it_loads_as_the_config_that_was_proven(given, tmp_path, result, overrides):
    repair, original = repaired(given, result, overrides)
    target = tmp_path / "fixed.yaml"
    write(target, repair, original)
    loaded = load_config(target)
    assert loaded.id == repair.after.configs[0].id != load_config(given, overrides).id
    assert loaded.name == "mine"
    assert set(yaml.safe_load(target.read_text())["model"]) >= {"depth", "activation", "initializer"}


def test_each_changed_line_says_what_it_was_and_why(given):
    lines = text(*repaired(given)).splitlines()
    changed = [line for line in lines if "changed because of" in line]
    assert changed == [
        "  activation: relu  # was sigmoid, changed because of vanishing-gradient",
        "    name: he_normal  # was normal, changed because of vanishing-gradient",
    ]
    assert "#   vanishing-gradient: δ shrinks" in lines
    assert "#     model.activation=relu model.initializer=he_normal" in lines


def test_a_message_cannot_break_out_of_its_comment(given):
    evil = VANISHING.__class__("vanishing-gradient", "error", "a\nseed: 666\n\x1b[2J", remedies=VANISHING.remedies)
    repair, original = repaired(given, lambda c: ([], 0.9) if c.model.activation.name == "relu" else ([evil], 0.1))
    written = text(repair, original)
    assert "\x1b" not in written
    assert yaml.safe_load(written).get("seed") is None


def test_a_file_of_ones_own_is_not_replaced_and_one_that_was_written_before_is(given, tmp_path):
    repair, original = repaired(given)
    target = tmp_path / "fixed.yaml"
    write(target, repair, original)
    write(target, repair, original)
    target.write_text(target.read_text() + "# my change\n")
    changed = target.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write(target, repair, original)
    assert target.read_bytes() == changed
    with pytest.raises(UserError, match="exists already"):
        check_target(given)


def test_a_link_and_a_folder_that_is_not_there_are_refused(given, tmp_path):
    (tmp_path / "link.yaml").symlink_to(given)
    for target in (tmp_path / "link.yaml", tmp_path / "nowhere" / "fixed.yaml", tmp_path):
        with pytest.raises(UserError):
            check_target(target)
    assert given.read_text() == GIVEN


def test_paths_of_data_still_lead_there(tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "data.csv").write_text("a,b,label\n" + "\n".join(f"{i % 7},{i % 5},{i % 2}" for i in range(40)))
    (folder / "mine.yaml").write_text("data: {name: file, path: data.csv, target: label, batch_size: 8}\n")
    repair, original = repaired(folder / "mine.yaml", lambda c: ([], 0.9) if normalized(c) else ([VANISHING], 0.1))
    write(tmp_path / "fixed.yaml", repair, original)
    assert load_config(tmp_path / "fixed.yaml").data.path == folder / "data.csv"
