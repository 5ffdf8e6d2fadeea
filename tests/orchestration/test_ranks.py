"""One run that several processes compute. Real processes, with gloo between them."""

import signal
import threading
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from intelbench.orchestration import team
from intelbench.orchestration.process import FreshPython, Started
from intelbench.profiling.processors import num_processors
from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.command import Command, Servers, start, wait_until_ended
from tests.reading import read_runs

NETWORKS = '''
"""Small networks, of which some misbehave in one of the processes."""

import os
import signal
from pathlib import Path

import torch
from torch import nn

from intelbench.architectures.registry import architecture


class Block(nn.Module):
    """Two convolutions with batch norm around a shortcut, as in a ResNet."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )

    def forward(self, x):
        return torch.relu(self.body(x) + x)


class Small(nn.Module):
    """A ResNet of one block, with dropout before its head."""

    def __init__(self, num_classes, act=lambda calls, logits: logits):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block = Block(8)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3))
        self.fc = nn.Linear(8, num_classes)
        self.calls, self.act = 0, act

    def forward(self, images):
        logits = self.fc(self.pool(self.block(self.stem(images))))
        if self.training and images.device.type != "meta" and "RANK" in os.environ:
            self.calls += 1
            logits = self.act(self.calls, logits)
        return logits


@architecture("small")
def small(request):
    return Small(request.num_classes)


class Noisy(Small):
    """A network with random logits in evaluation, which notes how many images each process evaluates."""

    def forward(self, images):
        logits = super().forward(images)
        if self.training or images.device.type == "meta" or torch.is_grad_enabled():
            return logits
        with Path(__file__).with_name(f"evaluated-{os.environ.get('RANK')}").open("a") as file:
            file.write(f"{len(images)}\\n")
        return logits + torch.rand_like(logits)


@architecture("noisy")
def noisy(request):
    return Noisy(request.num_classes)


def misbehaving(name, act):
    architecture(name)(lambda request: Small(request.num_classes, act))


def die_once(calls, logits):
    flag = Path(__file__).with_name("died")
    if os.environ["RANK"] == "1" and calls == 4 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return logits


def raises_in(rank):
    def act(calls, logits):
        if os.environ["RANK"] == rank and calls == 3:
            raise ValueError("I give up")
        return logits

    return act


def diverges(calls, logits):
    return logits * float("nan") if os.environ["RANK"] == "1" and calls == 3 else logits


@architecture("unused")
def unused(request):
    network = Small(request.num_classes)
    network.spare = nn.Linear(2, 2)
    return network


misbehaving("dies_once", die_once)
misbehaving("raises_in_0", raises_in("0"))
misbehaving("raises_in_1", raises_in("1"))
misbehaving("diverges", diverges)
'''
LINE = NETWORKS[: NETWORKS.index("raise ValueError")].count("\n") + 1
SUITE = """
name = "shards"
architectures = ["small"]
seeds = [0]
image_size = 32
validation_fraction = 0.2
evaluation_points = 2
warmup_steps = 1
keep_weights = "all"
{top}
[budget]
{budget}
[recipe]
optimizer = "sgd"
learning_rate = 0.05
batch_size = 16
{recipe}
"""
ENGINE = Path(__file__).parents[1] / "plugins" / "engine.py"
Execute = Callable[..., StoredRun]


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in."""
    path = tmp_path_factory.mktemp("networks") / "networks.py"
    path.write_text(NETWORKS)
    return path


@pytest.fixture
def quick(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes after the first be copies of servers too, as many as there are processes."""
    lock = threading.Lock()

    def start_a_copy(self: FreshPython, module: str, stderr: int, inherit: Collection[int]) -> Started:
        with lock:
            for number in count():
                server = servers.server({**self.variables, "SPARE_SERVER": str(number)})
                if not server._has_fork:
                    return server.start(module, stderr, inherit)
        raise AssertionError

    monkeypatch.setattr(FreshPython, "start", start_a_copy)
    monkeypatch.setattr(team, "_PATIENCE_SECONDS", 0.5)


@pytest.fixture
def execute(tmp_path: Path, intelbench: Command, small_folder: Path, networks: Path) -> Execute:
    """Return a function that executes one run by some processes, and returns its record."""

    def run(
        gpus: int, recipe: str, *options: str, name: str = "small", budget: str = "steps = 6", top: str = ""
    ) -> StoredRun:
        suite = tmp_path / "shards.toml"
        suite.write_text(SUITE.format(recipe=recipe, budget=budget, top=top))
        out = tmp_path / f"out-{gpus}"
        done = intelbench(
            "run", name, "--suite", suite, "--data", small_folder, "--plugin", networks, "--threads", "1",
            "--device", "cpu", "--gpus", str(gpus), "--out", out, *options,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        ((stored,), problems) = read_runs(out / "runs")
        assert [] == problems
        assert (stored.record.failure is None) == (done.returncode == 0), done.stderr
        return stored

    return run


def weights(stored: StoredRun) -> dict[str, np.ndarray]:
    """Return the weights that a run has kept."""
    (file,) = (stored.path.parents[1] / "weights").rglob("*.safetensors")
    return dict(load_file(file))


def assert_equal_bits(one: StoredRun, other: StoredRun) -> None:
    """Assert that two runs have equal batches, losses, gradient norms, predictions, logits and weights."""
    assert one.record.stream_digests == other.record.stream_digests
    ours, theirs = one.traces(), other.traces()
    for name in (
        "step_loss",
        "gradient_norm",
        "learning_rate",
        "validation_predictions",
        "train_logits",
        "test_logits",
    ):
        np.testing.assert_array_equal(ours[name], theirs[name])
    kept = weights(other)
    assert all(np.array_equal(value, kept[name]) for name, value in weights(one).items())


RECIPES = {
    "plain": ("shards = 2", ""),
    "adamw-mixed": (
        "shards = 2\nmixup_alpha = 0.4\ncutmix_alpha = 1.0\nclip_grad_norm = 0.5\nema_decay = 0.9\n"
        'keep = "best"\ntransforms = ["trivial_augment_wide"]\nsampling = "balanced"\nschedule = "cosine"',
        "",
    ),
    "bf16": ("shards = 2", 'precision = "bf16"'),
    "unfrozen-on-features": ('shards = 2\naugmentation = "none"\nfrozen_fraction = 0.5', ""),
    "frozen-on-images": ('shards = 2\nfreeze_backbone = "always"', ""),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("recipe", "top"), RECIPES.values(), ids=RECIPES)
def test_two_processes_give_the_bits_of_two_shards_on_one(execute: Execute, recipe: str, top: str) -> None:
    """Batch norm, dropout, mixed images, averages of weights, bf16 and frozen backbones included."""
    one, two = (execute(gpus, recipe, "--workers", str(gpus - 1), top=top) for gpus in (1, 2))
    assert_equal_bits(one, two)
    assert one.record.run_id != two.record.run_id


@pytest.mark.usefixtures("quick")
def test_each_process_evaluates_some_of_the_batches(execute: Execute, networks: Path) -> None:
    """The batches are those of one process, each evaluated once, with equal logits, also if these are random."""
    one, two = (execute(gpus, "shards = 2\nema_decay = 0.9", name="noisy") for gpus in (1, 2))
    assert_equal_bits(one, two)
    traces = two.traces()
    numbers = [len(traces[f"{split}_ids"]) for split in ("validation", "validation", "train", "test")]
    sizes = [min(16, number - start) for number in numbers for start in range(0, number, 16)]
    ranks = [networks.with_name(f"evaluated-{rank}").read_text().split() for rank in (0, 1)]
    for of_rank in ranks:
        of_rank.remove("2")  # the check of what the network returns
    assert sorted(sizes) == sorted(int(size) for of_rank in ranks for size in of_rank)
    assert min(map(len, ranks)) >= 2


@pytest.mark.skipif(num_processors() < 2, reason="needs two processors")
@pytest.mark.parametrize("engine", ["slots", "nice"])
def test_an_engine_gives_each_run_its_processes(execute: Execute, engine: str) -> None:
    """One of this machine, and one of a plug-in that starts a worker, as a cluster does."""
    elsewhere = execute(2, "shards = 2", "--on", engine, "--plugin", ENGINE)
    here = execute(1, "shards = 2")
    assert_equal_bits(here, elsewhere)
    assert (2, 2 if engine == "nice" else num_processors() // 2) == (
        elsewhere.record.spec.execution.gpus, elsewhere.record.spec.execution.slots
    )  # fmt: skip


def test_a_record_of_two_processes_is_verified_by_one(execute: Execute, intelbench: Command, networks: Path) -> None:
    """The record has both processes, its peak memory is the larger one, and one process repeats its bits."""
    stored = execute(2, "shards = 2")
    measured = stored.record.measurements
    assert measured is not None
    assert ("gloo", 2, 2) == (measured.backend, len(measured.ranks), stored.record.spec.execution.gpus)
    assert {"cpu"} == {each.device for each in measured.ranks}
    peaks = [each.peak_memory.process_bytes or 0 for each in measured.ranks]
    assert max(peaks) == measured.peak_memory.process_bytes
    assert min(peaks) > 0
    verified = intelbench("verify", stored.path, "--plugin", networks)
    assert 0 == verified.returncode, verified.stderr
    assert "losses and gradient norms equal bit for bit" in verified.stdout
    assert "execution.gpus was 2, is 1" in verified.stdout


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("recipe", "numbers"), [("shards = 4", (1, 2, 4)), ("shards = 2\nmicro_batches = 2", (1, 2))], ids=str
)
def test_any_number_of_processes_has_the_same_batches_and_losses(
    execute: Execute, recipe: str, numbers: tuple[int, ...]
) -> None:
    """With more than two parts, sums of gradients are rounded differently, and nothing else is."""
    one, *others = (execute(gpus, recipe) for gpus in numbers)
    for other in others:
        assert one.record.stream_digests == other.record.stream_digests
        for name in ("step_loss", "gradient_norm"):
            np.testing.assert_allclose(other.traces()[name], one.traces()[name], rtol=1e-6)


@pytest.mark.usefixtures("quick")
def test_a_run_with_a_killed_process_resumes_to_the_same_bits(execute: Execute, networks: Path, tmp_path: Path) -> None:
    """The record names the process, all others have ended, and the repeated run resumes from its checkpoint."""
    networks.with_name("died").unlink(missing_ok=True)
    killed = execute(2, "shards = 2", "--checkpoint", "0.001 s", name="dies_once").record.failure
    assert killed is not None
    assert "killed" == killed.cause
    assert "the process of rank 1 was killed by SIGKILL while training" == killed.message
    (left,) = workspaces(tmp_path / "out-2" / "runs")
    assert not left.locked
    resumed = execute(2, "shards = 2", "--checkpoint", "0.001 s", "--rerun", "failed", name="dies_once")
    assert resumed.record.measurements is not None
    assert (3,) == resumed.record.measurements.resumed_after
    assert_equal_bits(execute(1, "shards = 2", name="dies_once"), resumed)
    assert [] == workspaces(tmp_path / "out-2" / "runs")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        ("raises_in_0", "error", f"the process of rank 0: ValueError: I give up (networks.py:{LINE}) while training"),
        ("raises_in_1", "error", f"the process of rank 1: ValueError: I give up (networks.py:{LINE}) while training"),
        ("diverges", "diverged", "the training loss of step 3: not finite"),
    ],
)
def test_what_happens_in_one_process_ends_the_run(execute: Execute, name: str, cause: str, message: str) -> None:
    """The record says what it was, and a loss that is not finite in one shard is that of the step."""
    stored = execute(2, "shards = 2", name=name)
    failure = stored.record.failure
    assert failure is not None
    assert (cause, message) == (failure.cause, failure.message)
    if cause == "diverged":
        assert (2,) == stored.traces()["step_loss"].shape
    assert ("networks.py" in failure.details) == (cause == "error")


@pytest.mark.usefixtures("quick")
def test_parameters_without_a_gradient_are_named(execute: Execute) -> None:
    """With what to do; one process does not mind."""
    failure = execute(2, "shards = 2", name="unused").record.failure
    assert failure is not None
    said = "--gpus 2: in step 1 these parameters got no gradient: `spare.weight`, `spare.bias`. Expected one for each."
    assert f"{said} Try requires_grad = False for those that the network never uses, or --gpus 1" in failure.message
    assert execute(1, "shards = 2", name="unused").record.failure is None


@pytest.mark.usefixtures("quick")
def test_a_budget_in_seconds_ends_for_all_processes_at_once(execute: Execute) -> None:
    """Rank 0 decides by its clock; learning rates follow it, so that the steps can be repeated."""
    stored = execute(2, 'shards = 2\nschedule = "cosine"', budget="seconds = 1")
    measured = stored.record.measurements
    assert measured is not None
    assert measured.training_seconds >= 1
    assert measured.num_steps == len(stored.traces()["step_loss"]) == max(stored.record.stream_digests)


def test_a_run_of_several_processes_that_is_terminated_resumes(
    tmp_path: Path, small_folder: Path, networks: Path
) -> None:
    """With a checkpoint of rank 0, no record, and no process left."""
    suite = tmp_path / "shards.toml"
    suite.write_text(SUITE.format(recipe="shards = 2", budget="steps = 100_000", top=""))
    command = [
        "run", "small", "--suite", suite, "--data", small_folder, "--plugin", networks, "--threads", "1", "--device",
        "cpu", "--gpus", "2", "--cache-dir", tmp_path / "cache",
    ]  # fmt: skip
    with start(command, tmp_path, {}) as process:
        assert process.stderr is not None
        while "small, seed 0: step" not in process.stderr.readline():
            assert process.poll() is None
        children = [each.pid for each in psutil.Process(process.pid).children(recursive=True)]
        assert 3 == len(children)  # the server and two processes of the run
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert 75 == process.wait(60)
    wait_until_ended(*children)
    (left,) = workspaces(tmp_path / "results" / "runs")
    checkpoint = left.checkpoint()
    assert checkpoint is not None
    assert checkpoint.step >= 1
    assert not left.target.exists()


def test_a_number_of_gpus_that_does_not_divide_the_shards_is_refused(
    intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Before anything runs, with what to change."""
    options = "run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin
    refused = intelbench(*options, "--device", "cpu", "--gpus", "2")
    assert 2 == refused.returncode
    said = "--gpus 2: `recipe.shards` is 1. Expected a number of GPUs that divides it. Try `shards = 2`"
    assert said in refused.stderr
    sharded = small_suite.with_name("sharded.toml")
    sharded.write_text(small_suite.read_text().replace("[recipe]", "[recipe]\nshards = 2"))
    refused = intelbench(*options, "--suite", sharded, "--device", "cpu", "--gpus", "3")
    assert "which is another experiment than `shards = 2`, or --gpus 2" in refused.stderr
    no_gpu = intelbench(*options, "--gpus", "2")
    assert 2 == no_gpu.returncode
    assert "--gpus 2: PyTorch sees no CUDA device. Expected 2 of them. Try --device cpu" in no_gpu.stderr
