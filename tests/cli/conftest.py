# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Files to stream."""

import random
from pathlib import Path

import pytest

SMALL = 3 * 1024 * 1024 + 4097


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 MiB of noise, with a block at the end that is neither full nor a multiple of four."""
    path = tmp_path_factory.mktemp("input") / "small"
    path.write_bytes(random.Random(1).randbytes(SMALL))
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A sparse file that takes minutes."""
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.truncate(64 << 30)
    return path
