from __future__ import annotations

import pytest

from callbacks import PercentileSampling
from models.quantization.control import quantizers
from models.quantization.qconfig import ObserverConfig


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"first": 0}, "PercentileSampling: all arguments must be at least 1, got 0"),
        ({"first": 10, "last": 0}, "PercentileSampling: .* got 10, 0"),
        ({"first": 10, "last": 10, "epochs": 0}, "PercentileSampling: .* got 10, 10, 0"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        PercentileSampling(**arguments)


def test_percentile_sampling_is_geometric_between_its_ends():
    sampling = PercentileSampling(100, 10_000, 4)
    assert [sampling.sample_in(epoch) for epoch in (0, 1, 2, 3, 4, 40)] == [100, 316, 1000, 3162, 10_000, 10_000]


def test_percentile_sampling_sets_all_trackers(make_task, fit, diary):
    task = make_task("dq")
    notes = diary(lambda model: {site.observer.sample for site in quantizers(model)})
    fit(task, [PercentileSampling(100, 400, 2), notes], epochs=4)
    assert notes.entries == [{100}, {200}, {400}, {400}]


def test_a_sample_of_the_settings_stays(make_task, fit, diary):
    task = make_task("dq", observer=ObserverConfig("percentile", sample=7))
    notes = diary(lambda model: {(site.observer.sample, site.observer.config.sample) for site in quantizers(model)})
    fit(task, [PercentileSampling(100, 400, 2), notes], epochs=2)
    assert notes.entries == [{(7, 7), (100, 100_000)}, {(7, 7), (200, 100_000)}]
