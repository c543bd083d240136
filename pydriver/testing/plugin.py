# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The pytest plugin: it adds the system of a test to its report, and ends machines.

pytest loads this module in every run. So it imports nothing of pydriver but the plugin itself, and
a test without its fixtures costs one look into the test's stash.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import pytest

from pydriver.testing import fixtures
from pydriver.testing.fixtures import SYSTEMS, SYSTEMS_FIXTURE, WATCHES, bug_check_fails
from pydriver.testing.marks import MARKER_HELP
from pydriver.testing.options import Settings, add_options, check_options, is_used

__all__ = ()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options and ini keys."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Adds the fixtures and the marker; refuses options that cannot work."""
    config.pluginmanager.register(fixtures, "pydriver-fixtures")
    config.addinivalue_line("markers", MARKER_HELP)
    check_options(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Names the QEMU, if the run is about drivers."""
    if not is_used(config):
        return []
    settings = Settings.of(config)
    return [f"pydriver: QEMU {settings.qemu}, {settings.accel}"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Notes the failure of a test that could not be set up."""
    __tracebackhide__ = True
    try:
        return (yield)
    except BaseException as error:
        _note_failure(item, error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test whose system has failed, or whose driver has broken rules."""
    __tracebackhide__ = True
    try:
        result = yield
    except BaseException as error:
        _note_failure(item, error)
        raise
    verdicts = filter(None, [watch.verdict() for watch in item.stash.get(WATCHES, ())])
    if verdict := "\n".join(verdicts):
        pytest.fail(verdict, pytrace=False)
    return result


def _note_failure(item: Any, error: BaseException) -> None:
    if not isinstance(error, pytest.skip.Exception):
        for watch in item.stash.get(WATCHES, ()):
            watch.test_failed(error)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Turns a bug check in a fixture, before or after the test, into a failure of the test.

    A :class:`BugCheck` is not an ``Exception``. pytest accepts one from a test, but not from a
    fixture: it would lose count of the fixtures that are set up, and the next tests would fail.
    """
    if SYSTEMS not in request.session.stash:
        return (yield)
    add = fixturedef.addfinalizer
    vars(fixturedef)["addfinalizer"] = lambda finalizer: add(
        partial(_finalize, request.node, finalizer)
    )
    try:
        with bug_check_fails():
            return (yield)
    except pytest.fail.Exception as error:
        if fixturedef.cached_result is None:
            key = fixturedef.cache_key(cast("Any", request))
            fixturedef.cached_result = (None, key, (error, error.__traceback__))
        raise
    finally:
        del vars(fixturedef)["addfinalizer"]


def _finalize(node: Any, finalizer: Callable[[], object]) -> None:
    try:
        with bug_check_fails():
            finalizer()
    except BaseException as error:
        _note_failure(node, error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attaches the sections about the system to the report of the test."""
    report = yield
    if call.when == "call" or report.failed:
        for watch in item.stash.get(WATCHES, ()):
            report.sections += watch.sections()
    return report


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: Any) -> None:
    """Opens the console. By now pytest-timeout has stopped its clock, if there is one."""
    if isinstance(node, pytest.Item) and node.config.option.pydriver_shell_on_fail:
        from pydriver.testing.shell import open_shell

        open_shell(node, call.excinfo, next(iter(node.stash.get(WATCHES, ())), None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, Any, Any]:
    """Ends the shared machine when the next test is in another module and does not use it.

    This way, tests that do not need it do not run beside it.
    """
    try:
        return (yield)
    finally:
        systems = item.session.stash.get(SYSTEMS, None)
        if systems is not None and not _keeps_machine(item, nextitem):
            systems.close()


def _keeps_machine(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    if nextitem is None:
        return False
    return nextitem.path == item.path or SYSTEMS_FIXTURE in getattr(nextitem, "fixturenames", ())
