"""`intelbench list` searches the networks of all libraries, and counts what intelbench does not know of them once."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
from msgspec.structs import replace
from torchvision import models

from intelbench.architectures import library, timm_library
from intelbench.architectures.catalogue import (
    OPEN_LICENCES,
    Offer,
    installed_version,
    measured_as,
    shipped,
)
from intelbench.architectures.registry import ModelRequest, find
from intelbench.errors import UserError
from intelbench.orchestration import catalogue
from intelbench.orchestration.catalogue import Search, search
from tests.command import REPOSITORY, Command
from tests.orchestration.regenerate_catalogues import encoded

ATTO = "timm:convnext_atto"


def ignore(_: str) -> None:
    """Listen to nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder, in which the searches of this module leave what they have counted."""
    return tmp_path_factory.mktemp("catalogues")


Names = Callable[..., list[str]]


@pytest.fixture
def names(folder: Path) -> Names:
    """Search, and return the names that are found."""
    return lambda **wanted: [offer.name for offer in search(Search(**wanted), folder, ignore)]


def test_a_pattern_is_a_part_of_a_name_or_fits_all_of_it(names: Names) -> None:
    """In any case, with or without the prefix; networks of intelbench come first, then torchvision's and timm's."""
    assert [ATTO, f"{ATTO}_ols", f"{ATTO}_rms"] == names(pattern="ConvNext_atto")
    assert [ATTO] == names(pattern="convnext_att?") == names(pattern="timm:convnext_att[o]")
    assert ["efficientnet_lite0", "timm:efficientnet_lite0"] == names(pattern="efficientnet_lite[0]")
    assert [] == names(pattern="no_such_network")


@pytest.mark.parametrize("pattern", ["wrn", "WR*"])
def test_an_alias_finds_its_network_and_is_said_to_be_one(folder: Path, pattern: str) -> None:
    """The built-in one, with and without a pattern for all of the alias; the name of a network needs no remark."""
    said: list[str] = []
    assert ["wide_resnet101_2"] == [offer.name for offer in search(Search(pattern=pattern), folder, said.append)]
    assert ["wrn is another name of wide_resnet101_2"] == said
    said.clear()
    assert search(Search(pattern="wide_resnet101_2"), folder, said.append)
    assert [] == said
    assert [] == search(Search(pattern="wrm"), folder, said.append)
    assert said[-1].endswith("Did you mean wrn?")


def test_a_search_that_finds_nothing_says_where_more_networks_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In timm, if it is not installed; of a licence too, since torchvision states none."""
    wanted = Search(pattern="convnext_atto")
    said: list[str] = []
    assert search(wanted, folder, said.append)
    assert [] == said
    monkeypatch.setitem(sys.modules, "timm", None)
    assert [] == search(wanted, folder, said.append)
    assert said[-1].endswith("More networks are in timm: pip install 'intelbench[timm]'")
    with pytest.raises(UserError, match=r"'mit': no weights have it\. .*pip install 'intelbench\[timm\]'"):
        search(Search(licence="mit"), folder, said.append)


@pytest.mark.parametrize("pattern", ["resnet18.a1_in1k", "timm:resnet18.a1_in1k", "RESNET18.a1*"])
def test_the_name_of_weights_finds_them(names: Names, pattern: str) -> None:
    """No network has a tag in its name, so files of weights are searched."""
    assert ["timm:resnet18.a1_in1k"] == names(pattern=pattern)


def test_each_file_of_weights_has_a_row_if_asked_for(names: Names) -> None:
    """Timm's under the name with the tag; networks without weights are left out."""
    assert [f"{ATTO}.d2_in1k", f"{ATTO}_ols.a2_in1k"] == names(pattern="convnext_atto", pretrained=True)
    assert ["torchvision:resnet50", "torchvision:resnet50"] == names(pattern="torchvision:resnet50", pretrained=True)


def test_a_pattern_for_a_network_finds_its_files_of_weights(names: Names) -> None:
    """With or without the prefix, as the example of the documentation; a pattern with a tag finds those of the tag."""
    found = names(pattern="vit_*_patch16_224", pretrained=True, licence="open", max_macs=5e9)
    assert found == names(pattern="timm:vit_*_patch16_224", pretrained=True, licence="open", max_macs=5e9)
    assert "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k" in found
    networks = names(pattern="vit_*_patch16_224", max_macs=5e9)
    assert set(networks) == {name.partition(".")[0] for name in found}
    assert {True} == {name.endswith("in21k") for name in names(pattern="vit_*_patch16_224.*in21k", pretrained=True)}


def test_limits_and_licences_leave_out_what_is_not_within_them(names: Names, folder: Path) -> None:
    """Where the figure or the licence is not known too."""
    offers = {offer.name: offer for offer in search(Search(pattern="test_*net*"), folder, ignore)}
    assert len(offers) > 5
    assert all(offer.num_parameters and offer.forward_macs for offer in offers.values())
    most = sorted(offer.num_parameters or 0 for offer in offers.values())[2]
    expected = [name for name, offer in offers.items() if (offer.num_parameters or 0) <= most]
    assert expected == names(pattern="test_*net*", max_parameters=most)
    macs = sorted(offer.forward_macs or 0 for offer in offers.values())[2]
    expected = [name for name, offer in offers.items() if (offer.forward_macs or 0) <= macs]
    assert expected == names(pattern="test_*net*", max_macs=macs)
    assert [] == names(pattern="torchvision:resnet18", licence="open")
    assert ["timm:resnet50.tv_in1k"] == names(pattern="timm:resnet50.tv_*", pretrained=True, licence="BSD-3-clause")


@pytest.mark.parametrize(
    ("licence", "is_open"),
    [
        ("apache-2.0", True),
        ("MIT", True),
        ("cc-by-4.0", True),
        ("cc-by-nc-4.0", False),
        ("unknown", False),
        (None, False),
    ],
)
def test_open_is_what_everyone_may_use_and_pass_on(licence: str | None, is_open: bool) -> None:
    """For money too; what is not known is not open."""
    assert is_open == Offer(name="a", licence=licence).is_open


def test_every_open_licence_is_in_the_docs() -> None:
    """The reader of docs/usage.md knows what `open` means."""
    text = (REPOSITORY / "docs" / "usage.md").read_text("utf-8").lower()
    assert all(licence in text for licence in OPEN_LICENCES)


def test_the_docs_name_the_versions_that_are_known() -> None:
    """A reader knows whether the first search has something to count."""
    versions = ", ".join(f"{name} {shipped(name).version}" for name in ("timm", "torchvision"))
    assert f"({versions})" in (REPOSITORY / "docs" / "usage.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_figures_of_timm_are_those_of_the_network(folder: Path, name: str) -> None:
    """Counted on the meta device, they equal those of the network with weights."""
    (offer,) = search(Search(pattern=f"timm:{name}*"), folder, ignore)[:1]
    model = find(f"timm:{name}")[0].build(ModelRequest(num_classes=1000, image_size=160))
    assert (160, "apache-2.0") == (offer.image_size, offer.licence)
    assert sum(parameter.numel() for parameter in model.parameters()) == offer.num_parameters
    assert offer.forward_macs and 1e6 < offer.forward_macs < 1e9
    assert offer.imagenet_top1 is None


def test_figures_of_torchvision_are_its_own() -> None:
    """Of the default weights, and of each file."""
    of = {offer.name: offer for offer in library.catalogue().networks}
    weights = models.ResNet50_Weights.IMAGENET1K_V2
    offer = of["torchvision:resnet50"]
    assert ("imagenet-v2", 25_557_032, 224) == (offer.weights, offer.num_parameters, offer.image_size)
    assert offer.imagenet_top1 == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    assert offer.forward_macs == pytest.approx(4.089e9)
    assert ("default", 518) == (of["torchvision:vit_h_14"].weights, of["torchvision:vit_h_14"].image_size)
    assert len(models.list_models(module=models)) == len(of)


def test_all_of_timm_is_there() -> None:
    """Each network once, and each file of weights once."""
    offered = timm_library.catalogue()
    assert [f"timm:{name}" for name in timm.list_models()] == [offer.name for offer in offered.networks]
    assert [f"timm:{name}" for name in timm.list_pretrained()] == [offer.name for offer in offered.pretrained]


@pytest.mark.parametrize(("name", "every"), [("intelbench", 1), ("timm", 40)])
def test_shipped_figures_are_those_of_the_installed_networks(name: str, every: int) -> None:
    """Of a sample of them. Published parameters of built-in networks include auxiliary heads, which are not built."""
    installed = {measured_as(offer) for offer in catalogue.catalogue_of(name).networks}
    known = [offer for offer in shipped(name).networks if measured_as(offer) in installed]
    sample = [offer for offer in known[::every] if offer.num_parameters and offer.num_parameters < 5e7]
    assert len(sample) > 5
    for offer in sample:
        figures = catalogue._count(offer)
        assert offer.forward_macs == figures.forward_macs, offer.name
        assert offer.num_parameters == figures.num_parameters or offer.name == "inception_v3"


@pytest.mark.parametrize("name", catalogue.LIBRARIES)
def test_shipped_catalogues_are_those_of_the_libraries(name: str) -> None:
    """Except for figures that a library does not state; the file is written as it was."""
    known = shipped(name)
    if known.version != installed_version(name):
        pytest.skip(f"{name} {known.version} is not installed")
    stated = catalogue.catalogue_of(name)
    assert len(list(known)) == len(list(stated))
    for row, offer in zip(known, stated, strict=True):
        assert offer == replace(
            row,
            num_parameters=row.num_parameters if offer.num_parameters else None,
            forward_macs=row.forward_macs if offer.forward_macs else None,
        )
    file = REPOSITORY / "intelbench" / "architectures" / "catalogues" / f"{name}.json"
    assert encoded(known) == file.read_bytes()


@pytest.mark.parametrize("is_first", [True, False])
def test_a_search_imports_neither_pytorch_nor_a_library(folder: Path, tmp_path: Path, *, is_first: bool) -> None:
    """So it takes a moment: the first one too, if intelbench knows the installed versions."""
    if is_first and any(shipped(name).version != installed_version(name) for name in catalogue.LIBRARIES):
        pytest.skip("other versions are installed")
    if not is_first:
        search(Search(pattern="convnext_att?"), folder, ignore)
    code = f"""
import sys
from intelbench.cli.main import cli
cli(["list", "convnext", "--cache-dir", {str(tmp_path if is_first else folder)!r}], standalone_mode=False)
sys.exit(", ".join({{"torch", "torchvision", "timm"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert "" == done.stderr.strip()
    assert ATTO in done.stdout


def test_a_cache_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    """The search has its result."""
    (tmp_path / "file").write_text("")
    assert ["timm:test_resnet"] == [
        each.name for each in search(Search(pattern="timm:test_resnet"), tmp_path / "file", ignore)
    ]


def test_the_command_prints_a_table_json_or_csv(intelbench: Command, folder: Path) -> None:
    """The table says what its columns mean; the others have base units."""
    arguments = ("list", "torchvision:resnet18", "--max-params", "12M", "--max-gmacs", "2", "--cache-dir", folder)
    printed = intelbench(*arguments).stdout
    (row,) = (line for line in printed.splitlines() if line.startswith("| torchvision:resnet18"))
    assert ["11.7", "1.81", "224", "`imagenet`", "–", "69.8"] == [cell.strip() for cell in row.split("|")[2:-1]]
    assert "1 network. **Parameters**: with the head of 1,000 classes" in printed
    weights = intelbench("list", "torchvision:resnet50", "--pretrained", "--cache-dir", folder).stdout
    assert "\n2 files of weights of 1 network. **Parameters**" in weights
    (offer,) = json.loads(intelbench(*arguments, "--format", "json").stdout)
    assert (11_689_512, 0.69758) == (offer["num_parameters"], pytest.approx(offer["imagenet_top1"]))
    (record,) = csv.DictReader(io.StringIO(intelbench(*arguments, "--format", "csv").stdout))
    assert ("torchvision:resnet18", "") == (record["name"], record["licence"])


def test_every_format_is_kept_without_a_pattern(intelbench: Command, folder: Path) -> None:
    """JSON and CSV have all networks."""
    all_networks = [offer.name for offer in search(Search(), folder, ignore)]
    as_json = json.loads(intelbench("list", "--format", "json", "--cache-dir", folder).stdout)
    assert all_networks == [offer["name"] for offer in as_json]
    as_csv = csv.DictReader(io.StringIO(intelbench("list", "--format", "csv", "--cache-dir", folder).stdout))
    assert all_networks == [offer["name"] for offer in as_csv]
    text = intelbench("list").stdout
    assert text.startswith("Architectures:")
    assert "Wide Residual Networks, 2016; also called wrn\n" in text


@pytest.mark.parametrize("text", ["", "30X", "M", "-1", "0", "1e400"])
def test_a_number_that_is_none_is_refused(intelbench: Command, text: str) -> None:
    """With what is accepted."""
    done = intelbench("list", "resnet", "--max-params", text)
    assert 2 == done.returncode
    assert "--max-params" in done.stderr
    assert "Try 30M" in done.stderr


def test_nothing_that_fits_the_name_is_answered_with_the_nearest_names(folder: Path) -> None:
    """And other conditions that nothing fits are said to be the cause."""
    said: list[str] = []
    assert [] == search(Search(pattern="timm:convnxt_atto"), folder, said.append)
    assert f"no name fits 'timm:convnxt_atto'. Did you mean {ATTO} or" in said[-1]
    assert [] == search(Search(pattern="resnet18.a1_in2k"), folder, said.append)
    assert "Did you mean timm:resnet18.a1_in1k" in said[-1]
    assert [] == search(Search(pattern="torchvision:resnet18", max_parameters=1), folder, said.append)
    assert "the name fits 1 row of the catalogue, the other conditions fit none" in said[-1]


def test_a_licence_that_no_weights_have_is_refused(intelbench: Command, folder: Path) -> None:
    """With the licences that there are."""
    done = intelbench("list", "resnet18", "--licence", "apache", "--cache-dir", folder)
    assert 2 == done.returncode
    assert "--licence 'apache': no weights have it. Try `apache-2.0`. Expected one of: open, apache-2.0," in done.stderr


def test_csv_without_rows_has_the_same_header(intelbench: Command, folder: Path) -> None:
    """So a program that reads it need not know how many networks were found."""
    arguments = ("--format", "csv", "--cache-dir", folder)
    found = intelbench("list", "torchvision:resnet18", *arguments).stdout.splitlines()
    nothing = intelbench("list", "no_such_network", *arguments).stdout.splitlines()
    assert (2, 1) == (len(found), len(nothing))
    assert found[0] == nothing[0]
    assert ",0.69758," in found[1]


def test_built_in_networks_have_the_size_of_their_published_accuracy(folder: Path) -> None:
    """And the operations of that size: those of EfficientNet-Lite 1 and 2 as TensorFlow's authors state them."""
    offers = {offer.name: offer for offer in search(Search(pattern="efficientnet_lite[0-2]"), folder, ignore)}
    for variant, (size, macs) in enumerate([(224, 407e6), (240, 631e6), (260, 899e6)]):
        offer = offers[f"efficientnet_lite{variant}"]
        assert size == offer.image_size
        assert offer.forward_macs == pytest.approx(macs, rel=0.06)
    (inception,) = search(Search(pattern="inception_v[3]"), folder, ignore)[:1]
    assert ("inception_v3", 299) == (inception.name, inception.image_size)
