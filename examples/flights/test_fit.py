"""`make train-check` runs this beside the training itself, in the environment that has torch."""

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from network import Fitting, Network, fit, fit_scaling

FITTING = Fitting((1, 2, 2), hidden=(8, 4), epochs=3, batch=64)


Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def work(rows: int = 300) -> tuple[Network, Rows]:
    """A network that knows nothing yet, and rows to fit it to."""
    rng = np.random.default_rng(7)
    numeric = rng.normal(size=(rows, 3)).astype(np.float32)
    numeric[::11, 1] = np.nan
    torch.manual_seed(FITTING.seed)
    network = Network(fit_scaling(numeric), (4,), FITTING.hidden, FITTING.dropout)
    codes = torch.from_numpy(rng.integers(0, 4, size=(rows, 1)))
    return network, (torch.from_numpy(numeric), codes, torch.from_numpy((numeric[:, 0] > 0).astype(np.float32)))


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """Bit for bit, dropout and the order of rows included."""
    whole, rows = work()
    assert list(fit(whole, *rows, FITTING)) == [1, 2, 3]
    checkpoint = tmp_path / "runs" / "model.pt"
    broken_off, rows = work()
    assert list(islice(fit(broken_off, *rows, FITTING, checkpoint), 2)) == [1, 2]
    taken_up, rows = work()
    torch.manual_seed(1)  # another process has had other chances
    assert list(fit(taken_up, *rows, FITTING, checkpoint)) == [3]
    for name, wanted in whole.state_dict().items():
        assert torch.equal(wanted, taken_up.state_dict()[name]), name


def test_a_checkpoint_of_other_work_is_not_taken_up(tmp_path: Path) -> None:
    """Neither of other rows nor of other settings."""
    checkpoint = tmp_path / "model.pt"
    network, rows = work()
    list(fit(network, *rows, FITTING, checkpoint))
    other, rows = work(rows=200)
    assert list(fit(other, *rows, FITTING, checkpoint)) == [1, 2, 3]
    slower = Fitting(FITTING.views, hidden=FITTING.hidden, epochs=3, batch=64, rate=1e-3)
    again, rows = work(rows=200)
    assert list(fit(again, *rows, slower, checkpoint)) == [1, 2, 3]
