"""What a run is, and how it is read from a YAML file, a dict or the command line.

config.py      the frozen models
yaml.py        YAML text ─► plain data with the place of every key
files.py       a file and its overrides ─► Config
problems.py    validation errors ─► one sentence each, with file and line
"""

from gradlab.config.config import Config, ModelConfig, RecordConfig, TrainConfig

__all__ = ["Config", "ModelConfig", "RecordConfig", "TrainConfig"]
