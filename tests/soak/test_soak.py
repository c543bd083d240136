# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A few seconds of the soak; `make soak` runs it for ten minutes."""

import pytest

from pydriver.ke.status import STATUS_SUCCESS

from .soak import soak

SECONDS = 8.0


@pytest.mark.alone
def test_mixed_load_with_power_cycles_and_faults_ends_every_request_once() -> None:
    tally, _ = soak(SECONDS, seed=7, settle=SECONDS)
    assert tally.wrong == []
    assert tally.ended.total() == tally.sent
    assert tally.ended[STATUS_SUCCESS] > 0
    assert set(tally.events) == {"power_cycle", "rebalance", "remove_and_add", "fault"}
