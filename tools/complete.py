"""A pytest plugin: where every package is installed, a test that skips itself for a missing one fails.

    python -m pytest -p tools.complete tests

`make check` leaves some packages out, and tests that need them skip themselves by `pytest.importorskip`. `make test`
has them all: there such a skip would be a test that nobody runs. Skips for other reasons, as for a browser, stay skips.
"""

import pytest

MISSING = "could not import"  # how the reasons of `importorskip` begin


def refuse(report):
    """The report of a test or of a file, failed if it was skipped for a missing package."""
    if report.skipped and MISSING in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing should be missing: {report.longrepr[2].removeprefix('Skipped: ')}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return refuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return refuse((yield))
