"""Figures of networks that intelbench does not ship are counted once, and kept for the next search."""

import os
from pathlib import Path

import pytest
import timm
from msgspec.structs import replace

from intelbench.architectures.catalogue import Catalogue, Figures, Offer, installed_version, shipped
from intelbench.orchestration import catalogue
from intelbench.orchestration.catalogue import Search, search


def ignore(_: str) -> None:
    """Listen to nothing."""


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let intelbench know no version of any library."""
    monkeypatch.setattr(catalogue, "shipped", lambda _: Catalogue(version="", networks=(), pretrained=()))


@pytest.mark.usefixtures("unknown")
def test_a_network_is_counted_once_for_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a library is read once; a damaged file of the cache is made again."""
    said: list[str] = []
    wanted = Search(pattern="timm:test_resnet")
    first = search(wanted, tmp_path, said.append)
    assert f"reading the networks of timm {timm.__version__}, once for this version" in said
    assert "counting parameters and operations of 1 network, once for this version" in said
    said.clear()
    monkeypatch.setattr(catalogue, "_count", lambda _: pytest.fail("counted again"))
    assert first == search(wanted, tmp_path, said.append)
    assert [] == said
    (tmp_path / "catalogue" / f"torchvision-{installed_version('torchvision')}.json").write_text("{")
    assert first == search(wanted, tmp_path, said.append)
    assert 1 == len(said)


def test_files_of_the_cache_are_for_all_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the permissions of any new file, since several users may share a cache; a full disk leaves none."""
    file, plain = tmp_path / "catalogue" / "timm-0.json", tmp_path / "plain"
    catalogue._write(file, {"a": 1})
    plain.touch()
    assert plain.stat().st_mode == file.stat().st_mode

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    catalogue._write(file, {"a": 2})
    assert b'{"a":1}' == file.read_bytes()
    assert [file] == list(file.parent.iterdir())


def test_another_version_of_a_library_has_the_figures_of_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network with an equal name and image size; only the others are counted."""
    known = shipped("timm")
    older = Catalogue(version="0", networks=known.networks[1:], pretrained=())
    monkeypatch.setattr(catalogue, "_count", lambda offer: counted.append(offer) or Figures())
    counted: list[Offer] = []
    rows = [replace(offer, num_parameters=None, forward_macs=None) for offer in known.networks[:3]]
    filled = catalogue.counted(rows, "timm", older, tmp_path, ignore)
    assert rows[:1] == counted == filled[:1]
    assert list(known.networks[1:3]) == filled[1:]


def test_what_was_counted_is_kept_on_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next search continues; progress is said with the time left."""
    nothing = Catalogue(version="", networks=(), pretrained=())
    offers = [Offer(name=f"timm:{name}", image_size=8) for name in "abc"]
    seen: list[str] = []

    def count(offer: Offer) -> Figures:
        seen.append(offer.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return Figures(num_parameters=1, forward_macs=2.0)

    monkeypatch.setattr(catalogue, "_count", count)
    monkeypatch.setattr(catalogue, "_REPORT_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        catalogue.counted(offers, "timm", nothing, tmp_path, ignore)
    said: list[str] = []
    rows = catalogue.counted(offers, "timm", nothing, tmp_path, said.append)
    assert ["timm:a", "timm:b", "timm:b", "timm:c"] == seen
    assert [(1, 2.0)] * 3 == [(row.num_parameters, row.forward_macs) for row in rows]
    assert [
        "counting parameters and operations of 2 networks, once for this version",
        "1 of 2 networks counted, about 0 s left",
    ] == said


def test_two_searches_keep_what_both_have_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count other networks at the same time: the slower one does not drop the figures of the other one."""
    nothing = Catalogue(version="", networks=(), pretrained=())
    first, second = (Offer(name=f"timm:{name}", image_size=8) for name in "ab")
    counted: list[str] = []

    def count(offer: Offer) -> Figures:
        if not counted:
            counted.append("a")
            catalogue.counted([second], "timm", nothing, tmp_path, ignore)
        return Figures(num_parameters=1, forward_macs=2.0)

    monkeypatch.setattr(catalogue, "_count", count)
    catalogue.counted([first], "timm", nothing, tmp_path, ignore)
    monkeypatch.setattr(catalogue, "_count", lambda _: pytest.fail("counted again"))
    assert [1, 1] == [
        row.num_parameters for row in catalogue.counted([first, second], "timm", nothing, tmp_path, ignore)
    ]


def test_networks_that_cannot_be_counted_are_numbered_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found, and are within no limit."""
    rows = (Offer(name="timm:no_such_network", image_size=8), *shipped("timm").networks[:1])
    monkeypatch.setattr(
        catalogue, "shipped", lambda _: Catalogue(version="", networks=shipped("timm").networks, pretrained=())
    )
    stated = Catalogue(version="", networks=rows, pretrained=())
    monkeypatch.setattr(catalogue, "_catalogue", lambda *_: stated)
    monkeypatch.setattr(catalogue, "LIBRARIES", ("timm",))
    said: list[str] = []
    assert list(rows) == search(Search(), tmp_path, said.append)
    why = "parameters or operations of 1 network cannot be counted; a network without a figure is within no limit on it"
    assert why == said[-1]
    said.clear()
    assert list(rows[1:]) == search(Search(max_parameters=1e12), tmp_path, said.append)
    assert [why] == said
