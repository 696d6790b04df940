"""Tables ─► numbers: what rules, summaries, comparisons, claims and pictures measure on a run. Torch-free."""
