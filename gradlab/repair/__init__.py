"""Repairs that are proven: the remedies of a run's findings, tried on the same seeds.

    config ─► runs on N seeds ─► findings ─► a trial for each remedy, on the same seeds ─► proof ─► the repaired config

Trials are points of a sweep: they are run by its engine, into run folders that `compare` and `report` read.
"""
