import io

from rich.console import Console

from gradlab.views.terminal import paragraph, plain_table, print_parts


def test_a_paragraph_is_broken_at_blanks_and_not_at_hyphens():
    text = paragraph("the rule vanishing-gradient is about what shrinks", 24, first="- ", rest="  ")
    assert text.plain == "- the rule\n  vanishing-gradient is\n  about what shrinks"


def test_tables_are_fitted_and_texts_are_left_alone():
    table = plain_table(gap=2)
    for name in ("a", "b"):
        table.add_column(name)
    table.add_row("1", "[red]")
    console = Console(file=io.StringIO(), width=10)
    print_parts([table, paragraph("x" * 30, 100)], console)
    lines = console.file.getvalue().splitlines()
    assert [line.rstrip() for line in lines[:1]] == ["a  b"]
    assert lines[-1] == "x" * 30
