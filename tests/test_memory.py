"""What cannot fit into memory is refused before it is made."""

import pytest

from gradlab.errors import UserError
from gradlab.memory import bytes_text, machine_memory, require_memory


def test_this_machine_has_some_memory():
    assert machine_memory() is None or 2**26 < machine_memory() < 2**50


def test_what_fits_passes_and_what_does_not_is_refused():
    require_memory(1000, "data", most=1000)
    with pytest.raises(UserError, match=r"model: wide needs at least 2 TB of memory; there are 64 GB\nBe modest"):
        require_memory(2e12, "model: wide", fix="Be modest.", most=64 * 10**9)


def test_where_the_memory_is_not_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("gradlab.memory.machine_memory", lambda: None)
    require_memory(1e30, "anything")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999_999, "999,999 bytes"),
        (3.21e6, "3.21 MB"),
        (64e9, "64 GB"),
        (4e15, "4 PB"),
        (16e12, "16 TB"),
    ],
)
def test_bytes_as_one_says_them(size, text):
    assert bytes_text(size) == text
