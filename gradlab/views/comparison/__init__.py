"""Runs side by side.

`runs` reads run folders, `comparison` folds the runs of one configuration into a row, `table`, `formats` and `picture`
show the rows.
"""
