"""What a forward does to its logits: the program does the same, or it is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from app.engine import load_program
from app.engine.program.io import save_program
from models import UnsupportedModel, prepare
from models.quantization.control import calibrate
from tests.models.conversion.test_faults import EDGES, X, net

ONE_COLUMN = [
    lambda s, x, e: s.m(s.c(x, e)).squeeze(),
    lambda s, x, e: s.m(s.c(x, e)).view(-1),
    lambda s, x, e: s.m(s.c(x, e)).reshape(-1, 1),
    lambda s, x, e: s.m(s.c(x, e)).flatten(),
    lambda s, x, e: torch.sigmoid(s.m(s.c(x, e)).squeeze(-1)),
    lambda s, x, e: s.end(s.m(s.c(x, e)).squeeze(dim=1)),
    lambda s, x, e: s.end(s.m(s.c(x, e))).flatten(),
]


@pytest.mark.parametrize("call", ONE_COLUMN, ids=range(len(ONE_COLUMN)))
def test_one_column_may_be_reshaped_and_have_a_sigmoid(call, tmp_path):
    network = net(call, m=nn.Linear(4, 1), end=nn.Sigmoid())
    prepared = prepare(network, "ptq_int8")
    calibrate(prepared, lambda: prepared(X, EDGES))
    out = prepared.eval()(X, EDGES)
    assert out.shape == network(X, EDGES).shape
    program = load_program(save_program(prepared.lower(), tmp_path))
    found = torch.from_numpy(program.run(X.numpy(), EDGES.numpy())).flatten()
    torch.testing.assert_close(found, out.detach().flatten(), rtol=1e-6, atol=0)
    torch.testing.assert_close(prepare(network)(X, EDGES), network(X, EDGES))


OF_COLUMNS = [
    lambda s, x, e: functional.log_softmax(s.c(x, e)),
    lambda s, x, e: functional.softmax(s.c(x, e)),
    lambda s, x, e: functional.softmax(input=s.c(x, e), dim=None),
    lambda s, x, e: s.end(s.c(x, e)),
]


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("call", OF_COLUMNS, ids=range(len(OF_COLUMNS)))
def test_without_a_dimension_it_is_taken_over_columns_as_torch_does_for_rows(call, tmp_path):
    network = net(call, end=nn.LogSoftmax())
    torch.testing.assert_close(prepare(network)(X, EDGES), network(X, EDGES))
    prepared = prepare(network, "ptq_int8")
    calibrate(prepared, lambda: prepared(X, EDGES))
    program = load_program(save_program(prepared.eval().lower(), tmp_path))
    found = torch.from_numpy(program.run(X.numpy(), EDGES.numpy()))
    torch.testing.assert_close(found, prepared(X, EDGES).detach(), rtol=1e-6, atol=1e-6)


REFUSED = [
    (lambda s, x, e: functional.softmax(s.c(x, e), dim=0), "takes softmax over another dimension"),
    (lambda s, x, e: functional.log_softmax(s.c(x, e), 0), "takes log_softmax over another dimension"),
    (lambda s, x, e: functional.softmax(s.m(s.c(x, e)).squeeze(-1), dim=-1), "takes softmax of reshaped rows"),
    (lambda s, x, e: functional.log_softmax(s.m(s.c(x, e)).view(-1), dim=-1), "takes log_softmax of reshaped rows"),
    (lambda s, x, e: s.over(s.m(s.c(x, e)).squeeze(-1)), "takes softmax of reshaped rows"),
    (lambda s, x, e: s.m(s.c(x, e)).view(-1, 3), "view makes more than one column of one"),
    (lambda s, x, e: s.m(s.c(x, e)).squeeze(0), "squeeze makes more than one column of one"),
    (lambda s, x, e: s.relu(s.m(s.c(x, e)).squeeze(-1)), "reshapes rows that others read; do it at the end"),
    (lambda s, x, e: s.m(s.c(x, e)).squeeze(-1).sigmoid().relu(), "reshapes rows that others read"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_the_program_would_not_do_is_refused(call, sentence):
    with pytest.raises(UnsupportedModel, match=sentence):
        prepare(net(call, m=nn.Linear(4, 1), over=nn.Softmax(-1), relu=nn.ReLU()))
