"""Failures of a rank that have a known cause."""

from rfdetr_train.training.failures import killed_loader

WORD = "DataLoader worker (pid 7) is killed by signal: Killed. "


def test_death_of_a_loader_is_found_behind_the_error_of_what_it_interrupted():
    cause = RuntimeError(WORD)
    try:
        try:
            raise cause
        except RuntimeError as interrupted:
            raise ValueError("<built-in> is not a supported callable") from interrupted
    except ValueError as error:
        assert killed_loader(error) is cause
    assert killed_loader(cause) is cause


def test_another_failure_is_not_taken_for_one_of_the_loader():
    assert killed_loader(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
