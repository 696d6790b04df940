"""The notebooks of the documentation run from top to bottom, and what they show is to be seen."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="pip install ipykernel")
from nbclient import NotebookClient  # noqa: E402
from traitlets.config import Config  # noqa: E402

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
SHOWN = {
    "lecture": ["vanishing-gradient", "image/png", "report.html"],
    "my_model_does_not_learn": ["vanishing-gradient", "image/png", "What to try"],
}
"""What must be among the outputs of a notebook."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_and_shows_its_results(file, tmp_path):
    notebook = nbformat.read(file, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is stored without outputs"
    with TemporaryDirectory() as sockets:  # a short path, and not relative: the kernel runs in another folder
        ipc = Config(AsyncKernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        options = {"timeout": 240, "startup_timeout": 240, "resources": {"metadata": {"path": str(tmp_path)}}}
        NotebookClient(notebook, config=ipc, kernel_name="python3", **options).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = "".join(str(output.get("data", output)) for output in outputs)
    for words in SHOWN[file.stem]:
        assert words in shown
    assert "<script" not in shown


def test_every_notebook_has_a_list_of_what_it_shows():
    assert {file.stem for file in NOTEBOOKS} == set(SHOWN)
