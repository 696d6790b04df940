"""What somebody else has written reaches a terminal as text, and never as a command to it."""

import ast
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from gradlab.errors import ConfigError, Problem, UserError
from gradlab.printing import complain, say
from gradlab.text import json_text, printable, strict_json
from gradlab.views import terminal
from tests.faults.commands import OBEYED

PACKAGE = Path(__file__).parents[1] / "gradlab"
ANY = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ÄÖÜ, 漢字, 👩\u200d🔬, a\u00a0b\u3000c", "plain text, ÄÖÜ, 漢字, 👩\u200d🔬, a\u00a0b\u3000c"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x07\r\x7f", "␛[31mred␇␍␡"),
        ("\x9b2J", "�2J"),
        ("a\u202eb\u2066c\u200bd\ufeff", "a�b�c�d�"),
        ("\ud800", "�"),
    ],
)
def test_what_a_terminal_obeys_is_shown(text, shown):
    assert printable(text) == shown


@given(ANY)
def test_no_text_commands_a_terminal(text):
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert len(shown) == len(text)
    assert printable(shown) == shown


@given(
    st.recursive(
        ANY | st.floats() | st.integers() | st.none(), lambda items: st.lists(items) | st.dictionaries(ANY, items)
    )
)
def test_json_commands_no_terminal_and_says_the_same(data):
    text = json_text(data)
    assert not OBEYED.search(text)
    assert json.loads(text) == strict_json(data)


def test_lines_and_complaints(capsys):
    say("a\x1b[2J\n")
    say("b\u202e", sys.stderr)
    complain("one\x1b[2J", "do\x9b")
    complain("two\nlines")
    printed = capsys.readouterr()
    assert printed.out == "a␛[2J\n"
    assert printed.err == "b�\nError: one␛[2J\ndo�\nError:\ntwo\nlines\n"


def test_errors_quote_safely():
    assert str(UserError("no \x1b[2J", fix="try \x07")) == "no ␛[2J\ntry ␇"
    assert ConfigError([Problem("a \x9b", "x\x1b.yaml")]).message == "x␛.yaml: a �"


def test_tables_and_styled_texts_hold_what_others_have_written(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    table = Table("head\x1b[2J")
    table.add_row(Text("a\x1b[31mb", "bold"))
    table.add_row("[red]c[/] \x9b")
    console = terminal.console()
    console.print(table)
    console.print(Text("name \x1b]0;x\x07 end", "yellow"), soft_wrap=True)
    console.print("plain \u202e [bold]")
    printed = out.getvalue()
    assert not OBEYED.search(printed), printed
    assert "head␛[2J" in printed
    assert "a␛[31mb" in printed
    assert "[red]c[/]" in printed
    assert "name ␛]0;x end" in printed
    assert "head␛[2J" in printed


def calls(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_everything_is_printed_in_one_way():
    """`printing.say`, and the console of `views.terminal`: nothing else in the package writes to a terminal."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        for function, call in calls(file):
            if (function == "print" and name != "printing.py") or function in ("Console", "rich.print"):
                found.append(f"{name}:{call.lineno} {function}")
            if function == "warnings.warn" and "printable" not in ast.unparse(call):
                found.append(f"{name}:{call.lineno} {function}")
    assert found == []
