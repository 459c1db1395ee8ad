from __future__ import annotations

import pytest

from tests.reclaim.children import nursery


@pytest.fixture
def children(tmp_path):
    with nursery(tmp_path) as made:
        yield made
