"""Pages of claims, made of their sweep files and of the numbers that `scripts.claims` has written down."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gradlab.claims.claim import Claim
from gradlab.text import duration, settings_text
from gradlab.views.claims.report import in_words
from gradlab.views.markdown import markdown_table
from scripts.claims import ROOT, fingerprint, load, results_file, sources

TITLES: Mapping[str, tuple[str, str]] = {
    "chapter11": (
        "Chapter 11, measured",
        "Lecture notes and textbook chapters on training deep networks state rules. Here each of them is an experiment "
        "that anyone can run: the sentence, the command, the picture, what was measured, and whether that confirms it.",
    ),
    "glorot2010": (
        "Glorot & Bengio 2010, measured again",
        "X. Glorot and Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*, "
        "AISTATS 2010, drew how activations and gradients are distributed in each layer of a tanh network, with the "
        "standard initialization and with the normalized one that now bears Glorot's name. These are their Figures 6 "
        "and 7 on their data, Shapeset-3×2, with what the paper says of them beside our numbers.",
    ),
}
"""Title and first words of each page."""
READING = """\
An expectation is about one configuration, or about several, of which the table shows the one nearest to failing. Its
number is the mean over seeds, with the 95 % interval (Student's t); differences and ratios are paired by seed. It
**holds** where the whole interval lies within the bounds, for every configuration; it **fails** where one lies wholly
outside. Bounds are those of the notes, the paper or theory where these give any; the others are round numbers. Depths,
rates and lengths, what is a limit, and some of the round numbers were settled after exploratory runs. A *limit* is not
part of the claim: where it holds, the claim is confirmed with that condition. A run that has no such number, because it
diverged, is left out and counted.
`python -m scripts.claims` makes all runs again, and `python -m scripts.docs --fix` makes this page of them; every sweep
file says in its header what decides."""

WORD = ("Ll", "Lu", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Pc")
"""Categories of the characters that are left of a heading; ² is not among them."""


class Stale(Exception):
    """The numbers are not of today's sweep files."""


def entries(page: str) -> dict[str, tuple[Claim, dict[str, Any]]]:
    """Each sweep's claim and its numbers.

    Raises:
        Stale: a sweep has changed, or has never been measured.
    """
    file = results_file(page)
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    found = {}
    for source in sources(page):
        plan = load(source)
        if plan.claim is None:
            raise Stale(f"{source.relative_to(ROOT)} makes no claim")
        entry = results.get(source.stem, {})
        if entry.get("fingerprint") != fingerprint(plan):
            raise Stale(f"{source.relative_to(ROOT)} is not what was measured: run python -m scripts.claims {page}")
        found[source.stem] = plan.claim, entry
    return found


def claims_page(page: str) -> Iterator[str]:
    """The lines of a page."""
    found = entries(page)
    title, words = TITLES[page]
    yield f"# {title}\n"
    yield words + "\n"
    yield from claims_table(page, "#")
    yield f"\n{_total(found)}\n"
    yield READING
    for name, (claim, entry) in found.items():
        yield from _section(page, name, claim, entry)


def claims_table(page: str, link: str) -> Iterator[str]:
    """A row a claim, with its verdict.

    Args:
        page: which page.
        link: what sections are linked by: `#`, or the page's path and `#`.
    """
    rows = (
        [_number(name), f"[{claim.title}]({link}{_anchor(name, claim)})", _verdict(entry)]
        for name, (claim, entry) in entries(page).items()
    )
    yield from markdown_table(["", "claim", "verdict"], rows)


def _section(page: str, name: str, claim: Claim, entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## {_heading(name, claim)}\n"
    yield f"> {' '.join(claim.sentence.split())}\n"
    verdict = _verdict(entry)
    limits = entry.get("conditions", ()) if entry.get("verdict", "").startswith("confirmed") else ()
    said = in_words(verdict, limits, entry.get("failing", ()))
    yield f"**{verdict[0].upper()}{verdict[1:]}**{said[len(verdict) :]}.\n"
    yield f"    gradlab sweep configs/{page}/{name}.yaml\n"
    if "not_run" in entry:
        yield f"It was not run for this page: {entry['not_run'].rstrip('.')}.\n"
    else:
        yield f"![{claim.title}](images/{page}/{name}.png)\n"
        yield from markdown_table(["expected", "bound", "measured", ""], map(_expectation, entry["expectations"]))
    if claim.note and "not_run" not in entry:  # it tells what came out
        yield f"\n{claim.note.strip()}"
    if "run_seconds" in entry:
        yield f"\n{entry['runs']} runs, {_minutes(entry)}."


def _expectation(one: Mapping[str, Any]) -> list[str]:
    limit = "*limit:* " if one["role"] == "condition" else ""
    what = f"{limit}{one['says']}<br><sub>{one['measure']}</sub>"
    outcome = one["outcome"] if one["outcome"] == "holds" else f"**{one['outcome']}**"
    return [what, one["expected"], _measured(one), outcome]


def _measured(one: Mapping[str, Any]) -> str:
    some = f"{one['runs']} of " if one["runs"] < one["seeds"] else ""
    where = settings_text(one["settings"], ", ")
    return f"{one['measured']}, {some}{one['seeds']} seeds" + (f" ({where})" if one["configurations"] > 1 else "")


def _total(found: Mapping[str, tuple[Claim, Mapping[str, Any]]]) -> str:
    ran = [entry for _, entry in found.values() if "run_seconds" in entry]
    runs, seconds = sum(entry["runs"] for entry in ran), sum(entry["run_seconds"] for entry in ran)
    words = f"{runs} runs, {duration(seconds)} of one core's time."
    if ran and all("wall_seconds" in entry for entry in ran):
        wall = sum(entry["wall_seconds"] for entry in ran)
        words += f" All sweeps, one after the other, took {duration(wall)} on two cores."
    return words


def _minutes(entry: Mapping[str, Any]) -> str:
    seconds = entry.get("wall_seconds")
    return f"{duration(seconds)} on two cores" if seconds else f"{duration(entry['run_seconds'])} of one core's time"


def _verdict(entry: Mapping[str, Any]) -> str:
    return str(entry.get("verdict", "not run"))


def _number(name: str) -> str:
    number = name.partition("_")[0]
    return number.lstrip("0") if number.isdigit() else ""


def _heading(name: str, claim: Claim) -> str:
    return f"{_number(name)}. {claim.title}" if _number(name) else claim.title


def _anchor(name: str, claim: Claim) -> str:
    """As GitHub makes them of headings: of σ² = 1 nothing is left but letters, digits and a hyphen for each blank."""
    kept = (
        letter for letter in _heading(name, claim).lower() if letter in " -" or unicodedata.category(letter) in WORD
    )
    return "".join(kept).replace(" ", "-")


def page_path(page: str) -> Path:
    """Where a page is."""
    return ROOT / "docs" / f"{page}.md"
