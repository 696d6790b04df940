"""What a run is, and how it is read from a YAML file, a dict or the command line.

config.py      the frozen models
keys.py        what may stand in a config, and short keys for it
yaml.py        YAML text ─► plain data with the place of every key
files.py       a file and its overrides ─► Config
problems.py    validation errors ─► one sentence each; for the section `claim` of a sweep file too
starter.yaml   what `gradlab init` writes
"""

from gradlab.config.config import SCHEMA, Config, RecordConfig, TrainConfig

__all__ = ["SCHEMA", "Config", "RecordConfig", "TrainConfig"]
