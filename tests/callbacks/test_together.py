"""All callbacks in one training."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCN

from app.engine import load_program
from callbacks import ExportInt8, MaskSchedule, ModelSize, PercentileSampling, RangeMonitor, RangeSync, RangeTracker
from models import prepare
from models.quantization.control import quantizers


def test_all_callbacks_together_leave_training_as_it_is(make_task, fit):
    """None of them draws random numbers or touches a weight."""
    states = []
    for callbacks in ([], [RangeTracker(), RangeSync(), PercentileSampling(), RangeMonitor(1), ModelSize()]):
        torch.manual_seed(5)
        task = make_task("dq")
        fit(task, callbacks, epochs=3, log=bool(callbacks))
        states.append(task.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class OfSomebody(pl.LightningModule):
    """A LightningModule that knows nothing of this project but `prepare`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = prepare(GCN(100, 8, 2, 3, dropout=0.5), "dq_int8")

    def training_step(self, batch, batch_idx):
        mask = batch.train_mask
        return cross_entropy(self.encoder(batch.x, batch.edge_index)[mask], batch.y[mask])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


def test_callbacks_serve_any_module_with_a_prepared_network(fit, data, tmp_path):
    """Ranges are tracked and frozen, masks scheduled, samples sized; the program is that of the network inside."""
    module = OfSomebody()
    program = str(tmp_path / "program")
    callbacks = [RangeTracker(2), RangeSync(), PercentileSampling(50, 50), RangeMonitor(1), ModelSize()]
    callbacks += [MaskSchedule(0.0, 0.5, start_epoch=0, end_epoch=2), ExportInt8(program)]
    fit(module, callbacks, epochs=3, log=True)
    assert not any(quantizer.observing for quantizer in quantizers(module))
    assert all(quantizer.observer.sample == 50 for quantizer in quantizers(module))
    assert module.encoder.protection.p_max == 0.5
    batch = next(iter(data.predict_dataloader()))
    expected = module.encoder.eval()(batch.x, batch.edge_index).detach().numpy()
    executable = load_program(program)
    assert executable.manifest["architecture"] == "GCN"
    np.testing.assert_allclose(
        executable.run(batch.x, batch.edge_index), expected, atol=module.encoder.output_site.grid().scale
    )
