from __future__ import annotations

import pytest

from app.config.cells import available
from app.data.datasets import DATASETS, PUBLISHED, select_datasets
from app.errors import UserError


def test_every_data_set_with_a_config_is_listed():
    assert set(available("dataset")) - {"tudataset", "graph", "images"} <= DATASETS.keys()


def test_published_counts_belong_to_data_sets():
    assert PUBLISHED.keys() <= DATASETS.keys()


def test_no_names_select_all_data_sets_of_ours():
    assert select_datasets(["zinc", "graph"]) == ["zinc", "graph"]
    assert select_datasets([]) == list(DATASETS)


def test_a_name_like_no_other_is_answered_with_all():
    with pytest.raises(UserError, match=r"no data set 'xyz'; there are .*cora"):
        select_datasets(["xyz"])
