"""Every claim of the pages, measured again on its small sweep: what comes out is what the page says."""

import json

import pytest

from gradlab.sweeps.grid import load_plan
from gradlab.views.claims.picture import save_picture
from gradlab.views.claims.report import as_json
from scripts.claims import PAGES, load, measure_reduced, results_file, sources
from scripts.claims_page import claims_page

SWEEPS = [(page, source) for page in PAGES for source in sources(page)]
OFFLINE = ("17_fashion_mnist",)
"""Sweeps that need a network."""
TOO_SMALL = {"17_exercise": ["the learning rate must be small; at ten times this one SELU hardly trains either"]}
"""What only the whole sweep shows: the larger learning rate is too large for a hundred layers, not for thirty."""


def name(value):
    return getattr(value, "stem", value)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "source"), [sweep for sweep in SWEEPS if sweep[1].stem not in OFFLINE], ids=name)
def test_the_small_sweep_says_what_the_page_says(page, source, tmp_path):
    verdict, observations = measure_reduced(source, tmp_path / "runs")
    entry = json.loads(results_file(page).read_text())[source.stem]
    again = as_json(verdict)
    assert len(again["expectations"]) == len(entry["expectations"])
    decided, decidable = 0, 0
    for judged, small, whole in zip(verdict.judgements, again["expectations"], entry["expectations"], strict=True):
        if str(judged.expectation.measure) == "step ms":
            continue  # speed is never tested: the machine may be busy
        opposite = {small["outcome"], whole["outcome"]} == {"holds", "fails"}
        expected = small["says"] in TOO_SMALL.get(source.stem, ())
        assert opposite == expected, f"{small['says']}: {small['measured']}, but the page has {whole['measured']}"
        decidable += whole["outcome"] != "undecided"
        decided += whole["outcome"] != "undecided" and small["outcome"] != "undecided"
    assert decided >= decidable / 2, "the small sweep decides too little of what the page decides"
    save_picture(verdict, observations, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize(("page", "source"), SWEEPS, ids=name)
def test_header_gives_purpose_command_and_what_decides(page, source):
    text = source.read_text()
    header = text[: text.index("\n\n")].splitlines()
    assert all(line.startswith("#") for line in header)
    assert len(header) <= 12
    assert f"#   gradlab sweep configs/{page}/{source.name}" in header
    assert any(line.startswith("# Decided by: ") for line in header)
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(("page", "source"), SWEEPS, ids=name)
def test_every_claim_is_judged_on_several_seeds_and_has_a_small_sweep(page, source):
    plan = load_plan(source)
    assert plan.claim is not None
    assert len({point.config.seed for point in plan.points}) >= 3
    assert any(one.role == "claim" for one in plan.claim.expect)
    small = load(source, reduced=True)
    assert small.claim is not None, small.not_judged
    assert len({point.config.seed for point in small.points}) >= 2


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_every_claim_with_picture_and_verdict(page):
    text = "\n".join(claims_page(page))
    for source in sources(page):
        assert f"    gradlab sweep configs/{page}/{source.name}" in text
        if source.stem not in OFFLINE:
            assert f"(images/{page}/{source.stem}.png)" in text
            assert (results_file(page).parent / "images" / page / f"{source.stem}.png").is_file()


def test_the_seventeen_claims_are_there():
    numbers = {int(source.stem.partition("_")[0]) for source in sources("chapter11")}
    assert numbers == set(range(1, 18))
    assert {source.stem for source in sources("glorot2010")} == {"figure6", "figure7"}
