"""A new option with a default changes no id and makes no page of claims stale."""

import json

import pytest

from tests.patched import ROOT, patched, run

IDENTITIES = """
import json
from scripts import claims
from scripts.claims import PAGES, fingerprint, load, sources
from gradlab.config.files import load_config
changed = [["model.activation=elu", "model.normalization=batch_norm"], ["train.optimizer={name: sgd, momentum: 0.9}"],
           ["train.epochs=3", "record.every=2", "data=wine"]]
ids = [load_config({}, change).id for change in [[], *changed]]
ids += [load_config(claims.ROOT / "configs" / f"{name}.yaml").id for name in ("vanishing", "batch_norm", "selu")]
pages = {f"{page}/{source.stem}": fingerprint(load(source)) for page in PAGES for source in sources(page)}
print(json.dumps([ids, pages]))
"""
CHANGES = {
    "gradlab/config/config.py": [
        ('    notes: str = ""\n', '    colour: str = "blue"\n    """Its colour."""\n    notes: str = ""\n'),
        ("    epochs: Coun", '    pace: str = "constant"\n    """How fast."""\n    epochs: Coun'),
        ("    every: Coun", '    sharpness: int = 0\n    """How often."""\n    every: Coun'),
    ],
    "gradlab/choices/models.py": [
        ("    width: Size", '    gates: bool = False\n    """Gates."""\n    width: Size'),
    ],
    "gradlab/choices/normalizations.py": [
        ("    place: Place = ", '    rounds: int = 1\n    """How many."""\n    place: Place = ')
    ],
    "gradlab/choices/datasets.py": [
        ("    standardize: bool = True\n", '    shuffle: bool = True\n    """Order."""\n    standardize: bool = True\n')
    ],
    "gradlab/choices/optimizers.py": [
        (
            "    dampening: float = 0.0\n",
            '    fused: bool = False\n    """In one kernel."""\n    dampening: float = 0.0\n',
        )
    ],
    "gradlab/choices/activations.py": [
        ("    init: float = 0.25\n", '    each: bool = False\n    """One a unit."""\n    init: float = 0.25\n')
    ],
    "gradlab/claims/claim.py": [
        (
            "    above: float | None = None\n",
            '    weight: float = 1.0\n    """Weight."""\n    above: float | None = None\n',
        ),
        ("    layers: Over\n", '    layers: Over\n    """How."""\n    unit: str = ""\n'),
        ("    onset: bool = False\n", '    last: bool = False\n    """The last."""\n    onset: bool = False\n'),
    ],
}


@pytest.mark.slow
def test_a_new_option_with_a_default_changes_no_id_and_makes_no_page_stale(tmp_path):
    before = json.loads(run(ROOT, IDENTITIES))
    after = json.loads(run(patched(tmp_path, CHANGES), IDENTITIES))
    assert after == before
    ids, pages = before
    assert len(set(ids)) == len(ids)
    assert len(pages) == len(set(pages.values())) > 10
