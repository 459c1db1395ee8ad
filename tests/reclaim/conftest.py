from __future__ import annotations

import pytest

from tests.reclaim.children import nursery


@pytest.fixture
def children(tmp_path):
    with nursery(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
