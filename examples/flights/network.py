"""The model: a small network over bins of numbers and embeddings of words, in torch.

Missing numbers are imputed with the training median and flagged. Each number enters twice: scaled, and as its
position in each of its training quantile bins, which lets the first layer bend at every bin's edge. Words enter as
codes, 0 for one that training did not see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BINS = 8
CLIP = 4.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the network knows of its numbers: `median`, `mean`, `deviation` [features]; `low`, `width` [features, BINS]."""

    median: NDArray[np.float32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    low: NDArray[np.float32]
    width: NDArray[np.float32]


def fit_scaling(numeric: NDArray[np.float32]) -> Scaling:
    """Scaling of training rows [rows, features]; NaN is missing. Empty bins get an endless width and so stay at 0."""
    edges = np.nanquantile(numeric, np.linspace(0, 1, BINS + 1), axis=0).T.astype(np.float32)
    median = np.nanmedian(numeric, axis=0).astype(np.float32)
    filled = np.where(np.isnan(numeric), median, numeric)
    low, high = np.quantile(filled, [0.005, 0.995], axis=0)
    kept = np.clip(filled, low, high)
    width = np.diff(edges, axis=1)
    return Scaling(
        median=median,
        mean=kept.mean(axis=0).astype(np.float32),
        deviation=np.maximum(kept.std(axis=0), 1e-6).astype(np.float32),
        low=edges[:, :-1],
        width=np.where(width > 0, width, np.float32(1e30)).astype(np.float32),
    )


class Network(nn.Module):
    """`forward(numeric [rows, features], codes [rows, words])` gives logits [rows]."""

    def __init__(self, scaling: Scaling, sizes: tuple[int, ...], hidden: tuple[int, int], dropout: float) -> None:
        """`sizes` is the number of codes of each word, 0 for unknown included."""
        super().__init__()
        for name in ("median", "mean", "deviation", "low", "width"):
            self.register_buffer(name, torch.from_numpy(getattr(scaling, name)))
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_width(size)) for size in sizes)
        wide = len(scaling.median) * (BINS + 2) + sum(embedding_width(size) for size in sizes)
        self.first, self.second, self.last = (
            nn.Linear(wide, hidden[0]),
            nn.Linear(hidden[0], hidden[1]),
            nn.Linear(hidden[1], 1),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """See the class."""
        words = [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
        hidden = self.dropout(torch.relu(self.first(torch.cat([self.prepared(numeric), *words], dim=1))))
        hidden = self.dropout(torch.relu(self.second(hidden)))
        return self.last(hidden).squeeze(1)

    def prepared(self, numeric: Tensor) -> Tensor:
        """[rows, features * (BINS + 2)]: bins, scaled values, flags of missing ones."""
        missing = torch.isnan(numeric)
        filled = torch.where(missing, self.median, numeric)
        bins = ((filled.unsqueeze(2) - self.low) / self.width).clamp(0, 1).flatten(1)
        scaled = ((filled - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        return torch.cat([bins, scaled, missing.float()], dim=1)


def embedding_width(size: int) -> int:
    """Length of an embedding for so many codes."""
    return min(12, 2 + size // 8)


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to fit. `views` has the view of each feature: a view is hidden as a whole from a share `hide` of rows."""

    views: tuple[int, ...]
    hidden: tuple[int, int] = (96, 32)
    dropout: float = 0.25
    epochs: int = 4
    batch: int = 2048
    rate: float = 3e-3
    decay: float = 0.02
    hide: float = 0.02
    seed: int = 2013


def fit(
    network: Network, numeric: Tensor, codes: Tensor, late: Tensor, fitting: Fitting, checkpoint: Path | None = None
) -> Iterator[int]:
    """Fits in place, deterministically by `fitting.seed`, and yields after each epoch its number from 1.

    `checkpoint` is written after each epoch. A run that finds one of the same rows and `fitting` goes on from there, to the same
    weights as one that was never broken off.
    """
    generator = torch.Generator().manual_seed(fitting.seed)
    steps = -(-len(late) // fitting.batch) * fitting.epochs
    optimizer = torch.optim.AdamW(network.parameters(), lr=fitting.rate, weight_decay=fitting.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fitting.rate, total_steps=steps, pct_start=0.2)
    views = torch.tensor(fitting.views)
    work = _work(fitting, numeric, codes, late)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    done = 0 if checkpoint is None else _resumed(checkpoint, work, parts, generator)
    for epoch in range(done + 1, fitting.epochs + 1):
        network.train()
        for rows in torch.randperm(len(late), generator=generator).split(fitting.batch):
            # Hidden views and words teach the network to answer without them: unknown planes, airlines, a store that is down.
            gone = torch.rand(len(rows), int(views.max()) + 1, generator=generator) < fitting.hide
            unknown = torch.rand(len(rows), codes.shape[1], generator=generator) < fitting.hide
            shown = numeric[rows].masked_fill(gone[:, views], torch.nan)
            logits = network(shown, codes[rows].masked_fill(unknown, 0))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, late[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        if checkpoint is not None:
            _keep(checkpoint, work, epoch, parts, generator)
        yield epoch


def _work(fitting: Fitting, *rows: Tensor) -> str:
    """Differs whenever what is to be done does."""
    digest = hashlib.sha256(repr(fitting).encode())
    for each in rows:
        digest.update(each.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _keep(path: Path, work: str, epoch: int, parts: dict[str, Any], generator: torch.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in parts.items()}
    chance = {"rows": generator.get_state(), "dropout": torch.get_rng_state()}
    # Replaced as a whole, so that a run which is broken off here leaves the one of before.
    scratch = path.with_suffix(".new")
    torch.save({"work": work, "epoch": epoch, "states": states, "chance": chance}, scratch)
    scratch.replace(path)


def _resumed(path: Path, work: str, parts: dict[str, Any], generator: torch.Generator) -> int:
    """The epochs that are done, with everything set as it was after them; 0 without a checkpoint of this work."""
    if not path.is_file():
        return 0
    found = torch.load(path, weights_only=True)
    if found["work"] != work:
        return 0
    for name, part in parts.items():
        part.load_state_dict(found["states"][name])
    generator.set_state(found["chance"]["rows"])
    torch.set_rng_state(found["chance"]["dropout"])
    return int(found["epoch"])


@torch.no_grad()
def logits_of(network: Network, numeric: Tensor, codes: Tensor) -> NDArray[np.float64]:
    """Logits [rows], in pieces so that bins of a whole year need no memory."""
    network.eval()
    pieces = zip(numeric.split(16384), codes.split(16384), strict=True)
    return np.asarray(torch.cat([network(*piece) for piece in pieces]).double().numpy())
