"""Configs, sweeps, conditions and data files that nobody meant; `python -m scripts.reliability` tries many more."""

import pytest

from tests.faults.commands import gradlab, orderly
from tests.faults.folders import ESCAPES
from tests.faults.texts import TRIES


@pytest.mark.parametrize(("kind", "act"), TRIES, ids=[kind for kind, _ in TRIES])
def test_each_is_understood_or_refused_with_one_message(tmp_path, kind, act):
    for seed in range(60):
        place = tmp_path / str(seed)
        place.mkdir()
        act(place, seed)


@pytest.mark.parametrize("word", [word for word in ESCAPES if word.isascii() or word.encode("utf-8", "ignore")])
def test_words_of_a_data_file_command_no_terminal(tmp_path, word):
    name = word.replace("\r", "").replace("\n", "").encode("utf-8", "ignore").decode()
    (tmp_path / "data.csv").write_text(f'"{name}","b"\n1,2\n3,4\n', encoding="utf-8")
    (tmp_path / "config.yaml").write_text("{model: {depth: 2, width: 4}, train: {steps: 2}}")
    file = f"data={{name: file, path: {tmp_path / 'data.csv'}, target: nobody}}"
    for words in (["run", tmp_path / "config.yaml", file], ["sweep", tmp_path / "config.yaml", file, "seed=0,1"]):
        ended = gradlab(*words, "--runs", tmp_path / "runs")
        orderly(ended, (2,))
        assert name.isascii() or "no column" in ended.err
