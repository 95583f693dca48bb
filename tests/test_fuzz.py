"""The driver that fuzzes finds what there is to be found, and makes the same cases again."""

import os
import time

import fuzz
import pytest


def _fail(path):
    raise KeyError(path.name)


def _refuse(path):
    raise ValueError("no such file format")


def _compute(path):
    while True:
        pass


# What a target does, and what is told of it.
_FAULTS = {
    "ends": (lambda path: os.abort(), "ended with SIGABRT"),
    "fails": (_fail, "KeyError: 'case.bin'"),
    "refuses": (_refuse, "the seed .bin is refused by ValueError: no such file format"),
    "computes": (_compute, "ended with no end (it computes)"),
    "waits": (lambda path: time.sleep(60), "ended with no end (it waits)"),
    "takes": (lambda path: bytearray(90 << 20), "accepted, and took"),
}


def targets():
    for name, (read, _) in _FAULTS.items():
        seconds = 0.05 if name in ("computes", "waits") else 10.0
        yield fuzz.Target(name, {"seed.bin": b"seed"}, read, (ValueError,), memory=50 << 20, seconds=seconds)
    yield fuzz.Target("sound", {"a.bin": b"size 7", "b.bin": bytes(40)}, lambda path: None, ())


@pytest.mark.parametrize("name", _FAULTS)
def test_faults_are_found(name):
    with pytest.raises(AssertionError, match=r"4 bytes, made of seed\.bin") as caught:
        fuzz.check(__file__, name, count=1)
    assert _FAULTS[name][1] in str(caught.value)


def test_what_is_sound_is_none():
    fuzz.check(__file__, "sound")


def test_cases_are_made_again():
    (target,) = (target for target in targets() if target.name == "sound")
    cases = [fuzz.damaged(target, 0, number) for number in range(300)]
    assert cases[:2] == list(target.seeds.items())
    assert cases == [fuzz.damaged(target, 0, number) for number in range(300)]
    assert len({data for _, data in cases}) > 250
    assert cases[2:] != [fuzz.damaged(target, 1, number) for number in range(2, 300)]
