from gradlab.views.markdown import aligned_markdown_table, markdown_table


def test_a_table_has_a_head_and_rows_with_bars_escaped():
    lines = list(markdown_table(["name", "what"], [["a|b", "c"], ["", "d"]]))
    assert lines == ["| name | what |", "|---|---|", "| a\\|b | c |", "|  | d |"]


def test_columns_line_up_also_where_characters_are_wide():
    lines = list(aligned_markdown_table(["n", "what"], [["10", "a|b"], ["1", "漢"]], [True, False]))
    assert lines == ["|  n | what |", "| -: | ---- |", "| 10 | a\\|b |", "|  1 | 漢   |"]
