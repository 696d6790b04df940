"""What cannot fit into memory is refused before it is made."""

import pytest

from gradlab.errors import UserError
from gradlab.memory import machine_memory, require_memory


def test_this_machine_has_some_memory():
    assert machine_memory() is None or 2**26 < machine_memory() < 2**50


def test_what_fits_passes_and_what_does_not_is_refused():
    require_memory(1000, "data", most=1000)
    with pytest.raises(UserError, match=r"model: wide needs at least 2 TB of memory; there are 64 GB\nBe modest"):
        require_memory(2e12, "model: wide", fix="Be modest.", most=64 * 10**9)


def test_where_the_memory_is_not_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("gradlab.memory.machine_memory", lambda: None)
    require_memory(1e30, "anything")
