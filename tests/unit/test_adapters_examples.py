"""The examples in the adapters' docstrings say what happens."""

import doctest
from types import ModuleType

import pytest

import processor.adapters
from processor.adapters import numbers, times
from processor.cli import graph_puller


@pytest.mark.parametrize(
    "module", [processor.adapters, numbers, times, graph_puller], ids=lambda module: module.__name__
)
def test_examples(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0
