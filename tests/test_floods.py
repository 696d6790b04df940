"""Configs, sweeps and data files that would take all memory or all time: one message, at once, and nothing written."""

import os
import struct
import sys
import zipfile
from time import perf_counter, process_time

import numpy as np
import polars as pl
import pytest

from gradlab.choices import File
from gradlab.config.files import load_config
from gradlab.datasets import load
from gradlab.errors import ConfigError, DatasetError, UserError
from gradlab.experiment import run
from gradlab.sweeps.command import show_plan
from gradlab.sweeps.grid import load_plan
from gradlab.views.comparison.expression import parse

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12)
)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_aliases_that_stand_for_too_much(config):
    with pytest.raises(ConfigError, match="at most 100,000 values") as caught:
        load_config(config(BOMB))
    assert len(caught.value.problems) == 1
    with pytest.raises(ConfigError, match="at most 100,000 values"):
        load_config({}, [f"tags={{{BOMB.replace(chr(10), ', ').removesuffix(', ')}}}"])


def test_a_few_aliases_are_fine(config):
    text = "model: {depth: 3, width: [&w 7, *w, *w]}\n"
    assert load_config(config(text)).model.width == 7


def test_a_config_that_is_no_text_of_a_person(config):
    with pytest.raises(ConfigError, match=r"has 1,\d+,\d+ bytes; 1,048,576 are the most"):
        load_config(config("# " + "x" * 2**20))


@unix
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_configs_and_bases_that_are_no_files(tmp_path, config, kind):
    path = tmp_path / "pipe.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=f"it is a {kind} and not a file"):
        load_config(path)
    with pytest.raises(ConfigError, match=f"base: .*it is a {kind} and not a file"):
        load_plan(config("base: pipe.yaml\ngrid: {seed: [0, 1]}\n"))


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("model.depth", 10**5), ("model.width", 10**6), ("train.steps", 10**9), ("train.epochs", 10**9),
        ("record.every", 10**9), ("record.histograms", 10**6), ("record.dead_units", 10**6), ("data.batch_size", 10**9),
    ],
)  # fmt: skip
def test_sizes_that_nobody_can_mean(key, most):
    for more in (most + 1, 10**12):
        with pytest.raises(ConfigError, match=f"{key}: must be at most {most}, not {more}"):
            load_config({}, {key: more})
    assert load_config({}, {key: most})


def test_sizes_that_somebody_may_mean_are_refused_where_they_do_not_fit(tmp_path):
    start = perf_counter()
    with pytest.raises(UserError, match=r"model: a network of [\d,]+ weights needs at least \d+ [TP]B of memory"):
        run({"model": {"width": 10**6}}, runs=tmp_path / "runs", plots=False)
    with pytest.raises(UserError, match=r"data.samples: 100,000,000 of 1,000,000 features needs at least 1.6 PB"):
        run({"data": {"name": "gaussian", "samples": 10**8, "features": 10**6}}, runs=tmp_path / "runs", plots=False)
    with pytest.raises(UserError, match=r"data.samples: 100,000,000 images needs at least 1.64 TB"):
        run({"data": {"name": "shapeset", "samples": 10**8}}, runs=tmp_path / "runs", plots=False)
    assert perf_counter() - start < 60
    assert not (tmp_path / "runs").exists()


def array_header(shape, dtype):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def test_an_array_that_promises_more_than_it_has(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", array_header((10**12,), "<f8") + bytes(80))
        archive.writestr("target.npy", array_header((10,), "<i8") + bytes(80))
    with pytest.raises(DatasetError, match=r"array 'x' should have the shape \(1000000000000,\), but its file ends"):
        load(File(path=path), 0)


def test_an_archive_that_swells(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)), target=np.zeros(1000, dtype=int))
    assert path.stat().st_size < 10**5
    monkeypatch.setattr("gradlab.memory.machine_memory", lambda: 10**6)
    with pytest.raises(UserError, match=r"data.path: what is in .*data.npz needs at least 8.01 MB of memory"):
        load(File(path=path), 0)


def test_a_table_that_swells(tmp_path, monkeypatch):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"x": np.zeros(10**6), "target": np.zeros(10**6, dtype=int)}).write_parquet(path)
    assert path.stat().st_size < 10**5
    monkeypatch.setattr("gradlab.memory.machine_memory", lambda: 10**6)
    with pytest.raises(UserError, match=r"needs at least 16 MB of memory"):
        load(File(path=path), 0)


def test_a_table_of_too_many_columns(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("target" + ",x" * 10**5 + "\n", encoding="ascii")
    with pytest.raises(DatasetError, match="more than 100,000 columns"):
        load(File(path=path), 0)


@unix
@pytest.mark.parametrize(
    ("name", "reason"), [("/dev/zero", "a device"), ("pipe.csv", "a pipe"), ("a\0b.csv", "null byte")]
)
def test_data_that_is_no_file(tmp_path, name, reason):
    os.mkfifo(tmp_path / "pipe.csv")
    data = {"data": {"name": "file", "path": str(tmp_path / name)}}
    with pytest.raises(DatasetError, match=reason):
        _ = load_config(data).id
    with pytest.raises(DatasetError, match=reason):
        run(data, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_sweep_of_too_many_axes(config):
    axes = "".join(f"  model.activation.a{n}: [1]\n" for n in range(3000))
    with pytest.raises(ConfigError, match="a sweep has at most 50 axes; this one has 3000"):
        load_plan(config(f"base: {{}}\ngrid:\n{axes}"))


def test_a_sweep_with_many_problems_lists_the_first_and_counts_the_others(config):
    with pytest.raises(ConfigError) as caught:
        load_plan(config("base: {}\ngrid: {model.depth: 'range(-3000, 0)'}\n"))
    assert len(caught.value.problems) == 20
    assert "2980 more" in caught.value.fix


def test_points_share_what_they_have_in_common(config):
    points = load_plan(config("base: {model: {depth: 3}}\ngrid: {seed: range(50), model.width: [5, 6]}\n")).points
    assert len({point.config.id for point in points}) == 100
    assert len({id(point.config.model) for point in points}) == 2
    alone = [load_config({"name": "config", "model": {"depth": 3}}, point.settings) for point in points]
    assert [point.config for point in points] == alone
    assert [point.config.id for point in points] == [config.id for config in alone]


def test_numbers_of_twenty_thousand_digits():
    digits = "9" * 20_000
    for key in ("seed", "model.depth", "train.learning_rate"):
        with pytest.raises(ConfigError) as caught:
            load_config({}, [f"{key}={digits}"])
        assert len(caught.value.message) < 1000
    with pytest.raises(UserError, match="at most 2000 characters"):
        parse(f"seed == {digits}")


def test_a_hundred_thousand_widths(config):
    text = f"model: {{depth: 3, width: [{', '.join(['7'] * 99_000)}]}}\n"
    with pytest.raises(ConfigError) as caught:
        load_config(config(text))
    assert len(caught.value.message) < 1000


@pytest.mark.slow
def test_a_sweep_of_as_many_points_as_there_may_be(config, tmp_path, capsys):
    """Takes 3 seconds of a processor; it once took more than 300."""
    start = process_time()
    show_plan(config("model: {depth: 3}"), ["seed=range(100000)"], tmp_path / "runs")
    assert process_time() - start < 60
    assert "100000 points: 100000 pending" in capsys.readouterr().out
