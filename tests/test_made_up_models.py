"""A made-up kind of network and a made-up normalization, each added by the touches of the design and no other."""

import json

import pytest

from tests.patched import patched, run

KIND = {
    "gradlab/choices/models.py": [
        (
            "MODELS: Mapping[str, type[Model]] = by_name(",
            'class Pairs(Model):\n    """Two Linear layers with a product between them."""\n\n'
            '    kind: Literal["pairs"] = "pairs"\n    """The kind."""\n'
            '    units: Size = 8\n    """Units of each."""\n\n\n'
            "MODELS: Mapping[str, type[Model]] = by_name(Pairs, ",
        )
    ],
    "gradlab/networks/pairs.py": (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, units, features, classes):\n        super().__init__()\n"
        "        self.left, self.right = nn.Linear(features, units), nn.Linear(features, units)\n"
        "        self.output = nn.Linear(units, classes)\n\n"
        "    def forward(self, x):\n        return self.output(self.left(x) * self.right(x))\n\n\n"
        "def build_pairs(model, *, features, classes, seed, dtype, device, batch=None):\n"
        "    with torch.random.fork_rng([]):\n        torch.manual_seed(seed)\n"
        "        return Net(model.units, features, classes).to(device=device, dtype=dtype)\n"
    ),
    "gradlab/networks/building.py": [
        ('    "mlp": build_mlp,\n', '    "mlp": build_mlp,\n    "pairs": build_pairs,\n'),
        ("import build_mlp\n", "import build_mlp\nfrom gradlab.networks.pairs import build_pairs\n"),
    ],
}
NORMALIZATION = {
    "gradlab/choices/normalizations.py": [
        (
            "NORMALIZATIONS: Mapping[str, type[Normalization]] = by_name(",
            'class Halving(Normalization):\n    """Half of it."""\n\n    name: Literal["halving"] = "halving"\n'
            '    traits = NormalizationTraits("Halving")\n    place: Place = "before"\n    """Where."""\n\n\n'
            "NORMALIZATIONS: Mapping[str, type[Normalization]] = by_name(Halving, ",
        )
    ],
    "gradlab/networks/normalizations.py": [
        ('    "batch_norm": lambda', '    "halving": lambda choice, units: Halving(),\n    "batch_norm": lambda'),
        (
            "_MODULES: Mapping",
            "class Halving(nn.Module):\n    def forward(self, x):\n        return x / 2\n\n\n_MODULES: Mapping",
        ),
    ],
}
CODE = """
import json, sys
import gradlab
from gradlab.diagnosis import examine
from gradlab.diagnosis.rule import NotApplicable
from typer.testing import CliRunner
from gradlab.cli import app
model, mlp, small, listed, asked = json.loads(sys.argv[1])
run = gradlab.run({"name": "new", "model": model, **small})
gradlab.run({"name": "usual", "model": mlp, **small}, plots=False)
again = gradlab.run({"name": "new", "model": model, **small})
not_judged = {rule: answer.reason for rule, answer in examine(run.tables).items() if isinstance(answer, NotApplicable)}
open("new.yaml", "w").write((run.path / "config.yaml").read_text())
commands = [["list", listed], ["show", str(run.path)], ["compare"], ["compare", "--where", asked], ["schema"],
            ["predict", "new.yaml"], ["export", str(run.path), "--to", "csv"], ["init", "-"]]
done = [CliRunner().invoke(app, command) for command in commands]
assert not any(one.exit_code for one in done), [(one.exit_code, one.output, one.exception) for one in done]
print(json.dumps({
    "loss": run.steps["loss"].to_list(), "again": again.path == run.path, "not_judged": not_judged,
    "remedies": [remedy for finding in run.findings for remedy in finding.remedies],
    "modules": run.layers["module"].unique().to_list(), "id": run.config.id,
    "output": {" ".join(command): " ".join(one.output.split()) for command, one in zip(commands, done)},
}))
"""
SMALL = {"data": {"name": "wine", "batch_size": 32}, "train": {"steps": 60}}


def tried(folder, changes, model, listed, asked):
    """What a run of a network says in a program with changes."""
    arguments = [model, {"depth": 2, "width": 8}, SMALL, listed, asked]
    return json.loads(run(patched(folder, changes), CODE, json.dumps(arguments)))


@pytest.mark.slow
def test_a_made_up_kind_of_network(tmp_path):
    said = tried(tmp_path, KIND, {"kind": "pairs", "units": 6}, "models", "model.units == 6")
    assert said["again"]
    assert said["loss"][-1] < said["loss"][0] / 2
    assert {"left", "right", "output"} <= set(said["modules"])
    assert said["not_judged"]["off-theory"] == "theory does not cover this network"
    assert not any("model." in remedy for remedy in said["remedies"]), "options that this kind does not have"
    output = said["output"]
    assert "pairs Two Linear layers with a product between them. units=8" in output["list models"]
    assert "its kind is pairs, and the formulas are those of an mlp" in output["predict new.yaml"]
    assert '"Pairs"' in output["schema"]
    assert "2 runs in 2 configurations" in output["compare"]
    assert "1 run in 1 configuration" in output["compare --where model.units == 6"]


@pytest.mark.slow
def test_a_made_up_normalization(tmp_path):
    model = {"depth": 2, "width": 8, "normalization": {"name": "halving", "place": "after"}}
    said = tried(tmp_path, NORMALIZATION, model, "normalizations", "model.normalization == 'halving'")
    assert said["again"]
    assert "hidden.0.norm" in said["modules"]
    assert said["not_judged"]["batch-norm-drift"] == "the network has no BatchNorm"
    output = said["output"]
    assert "halving Half of it. place=before" in output["list normalizations"]
    assert "there are no formulas for Halving after the activation" in output["predict new.yaml"]
    assert "2 × relu, width 8, he_normal, Halving after, on wine" in output["predict new.yaml"]
    assert "2 runs in 2 configurations" in output["compare"]
    assert "1 run in 1 configuration" in output["compare --where model.normalization == 'halving'"]
