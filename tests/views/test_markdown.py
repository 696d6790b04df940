from gradlab.views.markdown import aligned_markdown_table, markdown_table


def test_a_table_has_a_head_and_rows_with_bars_escaped():
    lines = list(markdown_table(["name", "what"], [["a|b", "c"], ["", "d"]]))
    assert lines == ["| name | what |", "|---|---|", "| a\\|b | c |", "|  | d |"]


def test_columns_line_up_also_where_characters_are_wide():
    lines = list(aligned_markdown_table(["n", "what"], [["10", "a|b"], ["1", "漢"]], [True, False]))
    assert lines == ["|  n | what |", "| -: | ---- |", "| 10 | a\\|b |", "|  1 | 漢   |"]


def test_what_others_have_written_is_no_markup():
    lines = list(aligned_markdown_table(["![x](http://y)"], [["<b>`a`\n|*c*"]], [False]))
    assert lines[0] == r"| !\[x\](http://y)     |"
    assert lines[2] == r"| \<b\>\`a\`\n\|\*c\* |".replace(r"\n", r"\\n")
