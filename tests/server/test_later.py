"""The application that is made while the server answers already."""

import asyncio
import gc
import threading

import pytest

from pipeline.predict.server import memory
from pipeline.predict.server.later import Later


async def noted(scope, _, send):
    send(scope)


def test_who_asks_early_waits_and_who_loses_patience_takes_nothing_from_the_others():
    may_finish, calls, answered = threading.Event(), [], []

    def make():
        calls.append(threading.current_thread())
        may_finish.wait(30)
        return noted

    async def ask_twice():
        later = Later(make, pytest.fail)
        impatient, patient = (asyncio.ensure_future(later(name, None, answered.append)) for name in ("one", "two"))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        assert (impatient.cancelled(), patient.done()) == (True, False)
        may_finish.set()
        await patient
        await later("three", None, answered.append)

    asyncio.run(ask_twice())
    assert answered == ["two", "three"]
    assert calls != [threading.current_thread()]
    assert len(calls) == 1


def test_what_cannot_be_made_is_said_once_and_fails_each_request():
    said = []

    def make():
        raise ImportError("no module of that name")

    async def ask_twice():
        later = Later(make, said.append)
        for _ in range(2):
            with pytest.raises(ImportError):
                await later({}, None, None)

    asyncio.run(ask_twice())
    assert said == ["no pages: ImportError: no module of that name"]


def test_what_is_imported_is_left_alone_by_the_collector_which_works_again_afterwards():
    before = gc.get_freeze_count()
    try:
        with memory.imports():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()
    assert gc.isenabled()
