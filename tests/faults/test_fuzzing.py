"""The inputs that the fuzzer begins with, and those that once broke a promise; `fuzzing.py` tries many more."""

import pytest

from tests.faults.fuzzing import CORPUS, TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_of_the_corpus_keep_the_promises(tmp_path, target):
    files = sorted((CORPUS / target).iterdir())
    assert files
    for number, file in enumerate(files):
        place = tmp_path / str(number)
        place.mkdir()
        try:
            TARGETS[target](file.read_bytes(), place)
        except BaseException as error:
            error.add_note(file.name)
            raise
