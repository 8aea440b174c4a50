"""Without Lava, everything that needs it is skipped, and says so."""

from __future__ import annotations

import importlib.util

import pytest

HAS_LAVA = importlib.util.find_spec("lava") is not None
# these import Lava's own classes to test against them
collect_ignore = [] if HAS_LAVA else ["lava_runtime/test_fused.py", "lava_runtime/test_session.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_LAVA:
        for item in items:
            if item.get_closest_marker("lava"):
                item.add_marker(pytest.mark.skip(reason="lava-nc is not installed: make setup installs it"))


def pytest_report_header() -> str:
    return "lava: installed" if HAS_LAVA else f"lava: not installed, not collected: {', '.join(collect_ignore)}"
