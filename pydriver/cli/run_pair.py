# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run --device ... --driver ...`: from its options to its exit code."""

import click

from pydriver.cli.jobs.pair import PairJob, PairOptions
from pydriver.cli.jobs.supervise import Watch, conclude, say_interrupted
from pydriver.cli.options import check_kvm
from pydriver.cli.signals import Signals
from pydriver.cli.tracing import Tracing
from pydriver.errors import ConfigurationError

__all__ = ("run_pair",)

COMMAND = "pydriver run"


def run_pair(options: PairOptions) -> int:
    """Runs the job that the options describe.

    :return: exit code
    :raises click.UsageError: it cannot be run
    """
    if options.accel == "kvm":
        check_kvm()
    with Tracing(options.trace, COMMAND) as tracing:
        with Signals() as signals:
            try:
                job = PairJob(options, signals.wake)
            except ConfigurationError as error:
                raise click.UsageError(str(error)) from error
            job.trace = tracing.capture
            stall = Watch(job, signals).run()
        if signals.received is not None:
            return say_interrupted(COMMAND, signals.received)
        return tracing.write() | conclude(
            COMMAND, job, stall, None, as_json=options.as_json, commit=None
        )
