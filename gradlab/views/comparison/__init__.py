"""Runs side by side: `runs` reads them, `fold` makes a row of each configuration, `table` and `picture` show them."""
