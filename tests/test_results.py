import pytest
from matplotlib.figure import Figure

import gradlab
from gradlab.errors import RunFolderError, UserError
from gradlab.views.pictures import PICTURES

SMALL = {
    "model": {"depth": 6, "width": 12, "activation": "sigmoid", "initializer": "glorot_uniform"},
    "data": {"name": "wine", "batch_size": 32},
    "train": {"steps": 60},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gradlab.run(SMALL, runs=tmp_path_factory.mktemp("runs"), plots=False)


def test_a_loaded_run_is_the_run(run):
    loaded = gradlab.load_run(run.path)
    for table in ("layers", "steps", "evaluations", "histograms", "theory"):
        assert getattr(loaded, table).equals(getattr(run, table)), table
    assert loaded.findings == run.findings
    assert (loaded.config, loaded.summary, loaded.status) == (run.config, run.summary, "completed")
    assert loaded.environment["device"] == "cpu"
    assert repr(loaded) == f"Run({str(run.path)!r}, completed, {run.verdict})"


def test_findings_are_in_the_summary_and_the_worst_one_is_the_verdict(run):
    assert [finding.to_json() for finding in run.findings] == run.summary["findings"]
    assert run.verdict == run.findings[0].rule == "vanishing-gradient"


def test_figures_and_files(run, tmp_path):
    assert isinstance(run.figure("gradient_flow"), Figure)
    with pytest.raises(UserError, match="gradient_flow"):
        run.figure("gradient_folw")
    assert {path.stem for path in run.save_plots("svg")} == set(PICTURES)
    (run.path / "plots" / "overview.svg").unlink()
    folder = run.path / "plots"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(RunFolderError, match="cannot write"):
        run.save_plots()
    folder.unlink()


def test_what_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run"):
        gradlab.load_run(tmp_path / "nothing")


def test_public_names_are_there_and_others_are_not():
    assert set(gradlab.__all__) <= set(dir(gradlab))
    for name in gradlab.__all__:
        assert getattr(gradlab, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = gradlab.nothing
