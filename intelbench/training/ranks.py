"""The processes that compute one run together, each on its own device; they are numbered by their ranks, from 0.

Each of them trains its shards of every batch, and `DistributedDataParallel` averages their gradients. Each evaluates
some of the images. All decisions are those of rank 0, which alone saves and records.
"""

import os
import platform
import socket
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import psutil
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from intelbench.profiling.device import device_of
from intelbench.records.profiles import PeakMemory, RankFacts

_TIMEOUT = timedelta(days=365)
"""For one operation of all processes: the others wait while rank 0 computes features, for example. A process that dies
ends all others."""
_LOOPBACK = "127.0.0.1"

Value = TypeVar("Value")


class Ranks:
    """This process among those of a run. By default it is the only one, and nothing is exchanged."""

    def __init__(self, rank: int = 0, num: int = 1) -> None:
        self.rank = rank
        self.num = num

    @classmethod
    def join(cls, store: Path, rank: int, num: int, device: torch.device) -> "Ranks":
        """Wait for the other processes of the run, which are on this machine.

        The processes find each other by the file `store`, a new one for each start of the run.
        """
        if num == 1:
            return cls()
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())  # the host's own name may not be resolved
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(num))  # for plug-ins
        distributed.init_process_group(
            device_of(device).backends,
            store=distributed.FileStore(str(store), num),  # type: ignore[attr-defined] # not in its __all__
            rank=rank,
            world_size=num,
            timeout=_TIMEOUT,
        )
        return cls(rank, num)

    @property
    def leads(self) -> bool:
        """Return whether this process decides, saves and records."""
        return self.rank == 0

    def own(self, num: int) -> range:
        """Return which of `num` images or shards of a batch, or batches of an evaluation, this process computes."""
        return range(self.rank * num // self.num, (self.rank + 1) * num // self.num)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network, so that its backward pass averages the gradients of all processes.

        All processes get the weights and buffers of rank 0.
        """
        return network if self.num == 1 else DistributedDataParallel(network)

    def mean(self, loss: Tensor) -> Tensor:
        """Return the mean of the losses of all processes."""
        if self.num > 1:
            distributed.all_reduce(loss)
            loss /= self.num
        return loss

    def agree(self, value: float) -> float:
        """Return the number of rank 0, such as the share of the budget that is spent, or whether training ends."""
        if self.num > 1:
            said = torch.tensor(value, dtype=torch.float64)
            distributed.broadcast(said, 0)
            value = said.item()
        return value

    @torch.no_grad()
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors, such as the buffers of a network, the values that they have on rank 0."""
        if self.num > 1:
            for tensor in tensors:
                value = tensor.contiguous()
                distributed.broadcast(value, 0)
                tensor.copy_(value)

    def gather(self, own: Value) -> list[Value]:
        """Return the values of all processes, by rank; they are sent as bytes by `pickle`."""
        if self.num == 1:
            return [own]
        values: list[Value | None] = [None] * self.num
        distributed.all_gather_object(values, own)
        return [value for value in values if value is not None]

    def require_same(self, step: int) -> None:
        """Check that all processes resume after the same step.

        Raises:
            RuntimeError: the checkpoint of this process is not that of rank 0.
        """
        leaders = self.agree(step)
        if leaders != step:
            raise RuntimeError(f"resumes after step {step}, and rank 0 after step {leaders:.0f}")

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Run the block on rank 0, then on the other ranks, which can read what it has stored."""
        if not self.leads:
            self.agree(0.0)
        yield
        if self.leads:
            self.agree(0.0)

    def facts(self, device: torch.device, peak_memory: PeakMemory) -> tuple[RankFacts, ...]:
        """Return the facts of all processes, by rank; nothing if there is only one process."""
        own = RankFacts(host=platform.node(), device=str(device), peak_memory=peak_memory)
        return tuple(self.gather(own)) if self.num > 1 else ()


ALONE = Ranks()


def unsynchronized(network: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which backward passes of a network add up gradients without averaging them."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _loopback() -> str:
    """Return the name of the network interface for connections within this machine."""
    addresses = psutil.net_if_addrs().items()
    return next(
        name for name, each in addresses if (socket.AF_INET, _LOOPBACK) in [(a.family, a.address) for a in each]
    )
