"""Certificates as tests want them."""

from __future__ import annotations

import pytest
from secrets_issue import Issued, issue


@pytest.fixture(scope="session")
def root() -> Issued:
    return issue()


@pytest.fixture(scope="session")
def intermediate(root: Issued) -> Issued:
    return issue(by=root)


@pytest.fixture(scope="session")
def shop(intermediate: Issued) -> Issued:
    return issue("Shop.example", "*.shop.example", by=intermediate)
