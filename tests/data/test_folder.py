"""Layouts of image folders that people have, and those that cannot be used."""

import os
import socket
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelbench.data.folder import ImageFile, Listing, content_digests, list_images
from intelbench.errors import UserError


def lay(root: Path, *names: str) -> Path:
    """Write files of these names below `root`; a name that ends in / is an empty folder."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
    return root


def ids(listing: Listing) -> dict[str, list[str]]:
    """The ids of each split."""
    return {split: [file.id for file in files] for split, files in listing.splits.items()}


def refusal(root: Path) -> str:
    """What the user is told about this folder."""
    with pytest.raises(UserError) as caught:
        list_images(root)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(
            ["seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/2.jpg", "seg_test/seg_test/a/3.jpg",
             "seg_test/seg_test/b/4.jpg", "seg_pred/seg_pred/5.jpg"],
            {"train": ["seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/2.jpg"],
             "test": ["seg_test/seg_test/a/3.jpg", "seg_test/seg_test/b/4.jpg"]},
            id="published archive",
        ),
        pytest.param(
            ["seg_train/a/1.jpg", "seg_train/b/2.jpg", "seg_test/a/3.jpg", "seg_test/b/4.jpg"],
            {"train": ["seg_train/a/1.jpg", "seg_train/b/2.jpg"], "test": ["seg_test/a/3.jpg", "seg_test/b/4.jpg"]},
            id="published names, not nested",
        ),
        pytest.param(
            ["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg"],
            {"train": ["train/a/1.jpg", "train/b/2.jpg"], "test": ["test/a/3.jpg", "test/b/4.jpg"]},
            id="train and test",
        ),
        pytest.param(
            ["train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"],
            {"train": ["train/a/1.jpg", "train/b/2.jpg"], "test": ["val/a/3.jpg", "val/b/4.jpg"]},
            id="a lone val is the test",
        ),
        pytest.param(
            ["train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg", "test/a/5.jpg", "test/b/6.jpg"],
            {"train": ["train/a/1.jpg", "train/b/2.jpg"], "validation": ["val/a/3.jpg", "val/b/4.jpg"],
             "test": ["test/a/5.jpg", "test/b/6.jpg"]},
            id="train, val and test",
        ),
        pytest.param(
            ["Training/a/1.jpg", "Training/b/2.jpg", "Valid/a/3.jpg", "Valid/b/4.jpg", "TEST/a/5.jpg", "TEST/b/6.jpg"],
            {"train": ["Training/a/1.jpg", "Training/b/2.jpg"], "validation": ["Valid/a/3.jpg", "Valid/b/4.jpg"],
             "test": ["TEST/a/5.jpg", "TEST/b/6.jpg"]},
            id="other spellings",
        ),
        pytest.param(["train/a/1.jpg", "train/b/2.jpg"], {"train": ["train/a/1.jpg", "train/b/2.jpg"]}, id="train"),
        pytest.param(["b/2.jpg", "a/1.jpg"], {"train": ["a/1.jpg", "b/2.jpg"]}, id="one folder a class"),
        pytest.param(
            ["a/1.jpg", "b/2.jpg", "seg_pred/3.jpg"], {"train": ["a/1.jpg", "b/2.jpg"]}, id="seg_pred is no class"
        ),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, names: list[str], expected: dict[str, list[str]]) -> None:
    """Each known layout gives its splits, with classes a and b as labels 0 and 1."""
    listing = list_images(lay(tmp_path, *names))
    assert expected == ids(listing)
    assert ("a", "b") == listing.class_names
    assert [0, 1] * len(expected) == [file.label for file in listing.files()]
    assert all(file.path.is_file() for file in listing.files())


def test_hidden_files_and_folders_are_not_seen(tmp_path: Path) -> None:
    """What an operating system or a tool leaves behind is neither a class, nor an image, nor worth a word."""
    listing = list_images(
        lay(
            tmp_path,
            "a/1.jpg",
            "a/._1.jpg",
            "a/.DS_Store",
            "a/.thumbs/1.jpg",
            "b/2.jpg",
            ".git/c.jpg",
            ".cache/x/1.jpg",
        )
    )
    assert {"train": ["a/1.jpg", "b/2.jpg"]} == ids(listing)
    assert () == listing.ignored


def test_images_in_subfolders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    """A class may be filed by camera or by date; its images come in one stable order."""
    listing = list_images(lay(tmp_path, "a/2024/07/x.jpg", "a/2023/y.jpg", "a/z.jpg", "b/1.jpg"))
    assert {"train": ["a/z.jpg", "a/2023/y.jpg", "a/2024/07/x.jpg", "b/1.jpg"]} == ids(listing)
    assert [0, 0, 0, 1] == [file.label for file in listing.files()]


def test_other_files_are_listed_as_ignored(tmp_path: Path) -> None:
    """Suffixes decide, in any case; what is left out is named."""
    listing = list_images(lay(tmp_path, "a/1.JPG", "a/2.Jpeg", "a/notes.txt", "a/x/labels.csv", "b/1.png", "README.md"))
    assert {"train": ["a/1.JPG", "a/2.Jpeg", "b/1.png"]} == ids(listing)
    assert ("a/notes.txt", "a/x/labels.csv") == listing.ignored


def test_special_files_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a socket or a device that is called an image is named among what is left out, and not opened."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("a/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a/socket.jpg")
    Path("a/linked-pipe.jpg").symlink_to("pipe.jpg")
    Path("a/null.jpg").symlink_to("/dev/null")
    lay(tmp_path, "a/folder.jpg/")
    listing = list_images(tmp_path)
    assert {"train": ["a/1.jpg", "b/1.jpg"]} == ids(listing)
    assert ("a/linked-pipe.jpg", "a/null.jpg", "a/pipe.jpg", "a/socket.jpg") == listing.ignored


def test_special_files_are_no_classes(tmp_path: Path) -> None:
    """In the place of a class folder they are as little seen as any other file there."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    os.mkfifo(tmp_path / "c")
    (tmp_path / "d").symlink_to("/dev/zero")
    assert ("a", "b") == list_images(tmp_path).class_names
    assert refusal(tmp_path / "c").startswith(f"data {tmp_path / 'c'}: is a file")


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """A suite may hold any text."""
    assert refusal(tmp_path / "a\0b") == f"data {tmp_path}/a\\x00b: embedded null byte"


@pytest.mark.parametrize(("depth", "fits"), [(1500, True), (2200, False)])
def test_a_class_nested_without_end(tmp_path: Path, depth: int, fits: bool) -> None:
    """Deeper than Python can recurse is read; deeper than the system can name is one line."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    folder = os.open(tmp_path / "a", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("deep.jpg", os.O_CREAT, dir_fd=folder))
    os.close(folder)
    try:
        if fits:
            assert f"a/{'d/' * depth}deep.jpg" == ids(list_images(tmp_path))["train"][1]
        else:
            assert "cannot be listed (File name too long)" in refusal(tmp_path)
    finally:
        subprocess.run(["rm", "-r", tmp_path / "a"], check=True)


def test_a_results_folder_among_the_classes_is_not_to_be_removed(tmp_path: Path) -> None:
    """`run --data .` in a folder of images has written it there."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg", "results/runs/resnet18-s0-0/record.json")
    message = f"data {tmp_path / 'results'}: a results folder in place of a class; move it out of the data, and name"
    assert message in refusal(tmp_path)


def test_thousands_of_empty_folders(tmp_path: Path) -> None:
    """Each costs a look and no more: in a class they are nothing, and as classes the first is named."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg", *(f"a/{index}/" for index in range(2000)))
    assert {"train": ["a/1.jpg", "b/1.jpg"]} == ids(list_images(tmp_path))
    assert f"data {tmp_path / 'a' / '0'}: the class folder holds no image" in refusal(tmp_path / "a")


def test_names_of_255_bytes(tmp_path: Path) -> None:
    """The longest names that there are, for classes and images."""
    long = "é" * 127
    listing = list_images(lay(tmp_path, f"{long}a/{'x' * 251}.jpg", f"{long}b/1.jpg"))
    assert (f"{long}a", f"{long}b") == listing.class_names
    assert {} == content_digests(list(listing.files()))[1]


HOSTILE = "\x1b[2J\x1b]0;title\x07\n\r\t\x7f\x9b31m\u202e\u2028name"


@pytest.mark.parametrize(
    "names",
    [
        [f"{HOSTILE}/1.jpg"],
        [f"{HOSTILE}/", "b/1.jpg"],
        [f"train/{HOSTILE}/1.jpg", "train/b/1.jpg", "test/b/1.jpg"],
        ["train/a/1.jpg", "train/b/1.jpg", f"test/{HOSTILE}/1.jpg", "test/a/1.jpg", "test/b/1.jpg"],
    ],
)
def test_names_in_messages_are_escaped(tmp_path: Path, names: list[str]) -> None:
    """Control characters, escape sequences and marks that reorder text: shown, not obeyed."""
    root = lay(tmp_path / HOSTILE, *names)
    message = refusal(root)
    assert message.isprintable()
    assert "\\x1b[2J" in message


def test_names_with_control_characters_are_names(tmp_path: Path) -> None:
    """Nothing else is wrong with them: they are kept as they lie on the disk."""
    listing = list_images(lay(tmp_path, f"{HOSTILE}/{HOSTILE}.jpg", "b/1.jpg"))
    assert {"train": [f"{HOSTILE}/{HOSTILE}.jpg", "b/1.jpg"]} == ids(listing)


NAMES = ["train", "test", "val", "seg_train", "seg_pred", "a", "b", "1.jpg", "2.PNG", ".x", "n\n\x1b[0m.jpg", "é.gif"]
KINDS = ["file", "file", "folder", "pipe", "link"]


@given(
    entries=st.lists(
        st.tuples(
            st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
            st.sampled_from(KINDS),
            st.lists(st.sampled_from([*NAMES, ".."]), max_size=3),
        ),
        max_size=14,
    )
)
@settings(max_examples=200)
def test_any_tree_is_listed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[list[str], str, list[str]]]
) -> None:
    """Whatever lies where, with whatever links: a listing of files below the root, or one printable message."""
    root = tmp_path_factory.mktemp("tree")
    for parts, kind, target in entries:
        path = root.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                with path.open("x") as file:
                    file.write(str(target))
            elif kind == "folder":
                path.mkdir()
            elif kind == "pipe":
                os.mkfifo(path)
            else:
                path.symlink_to(Path(*target))
        except OSError:
            continue  # the place is taken
    try:
        listing = list_images(root)
    except UserError as error:
        assert str(error).isprintable()
        return
    found = list(listing.files())
    assert len(found) == len({file.id for file in found})
    assert all(root / file.id == file.path and os.path.lexists(file.path) for file in found)
    digests, problems = content_digests(found)
    assert all((file.id in digests) != (file.id in problems) for file in found)


@pytest.mark.parametrize(
    "names",
    [
        ("山", "海"),
        ("🏔️ glacier", "🌊"),
        ("two words", " leading"),
        (unicodedata.normalize("NFD", "forêt"), "été"),
        ("غابة", "ים"),
    ],
)
def test_class_names_of_any_script(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Classes have their folders' names in NFC, sorted by code point; ids are paths as they are on the disk."""
    listing = list_images(lay(tmp_path, *(f"{name}/画像 {name}.jpg" for name in names)))
    assert tuple(sorted(unicodedata.normalize("NFC", name) for name in names)) == listing.class_names
    assert [f"{name}/画像 {name}.jpg" for name in sorted(names)] == [file.id for file in listing.files()]


def test_content_digests_are_of_bytes_alone(tmp_path: Path) -> None:
    """Equal bytes have equal digests whatever the name, other bytes another; 128 bits in hexadecimal."""
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    digests, problems = content_digests([ImageFile(name, tmp_path / name, 0) for name in "abc"])
    assert {} == problems
    assert digests["a"] == digests["b"] != digests["c"]
    assert [32, 32, 32] == [len(digest) for digest in digests.values()]


def test_content_digests_report_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is gone or locked has a reason in place of a digest; the others are hashed."""
    (tmp_path / "here").write_bytes(b"x")
    files = [ImageFile("gone.jpg", tmp_path / "gone", 0), ImageFile("here.jpg", tmp_path / "here", 0)]
    digests, problems = content_digests(files)
    assert {"gone.jpg": "No such file or directory"} == problems
    assert ["here.jpg"] == list(digests)


def test_what_a_class_without_images_holds_is_said(tmp_path: Path) -> None:
    """By suffix, because files without one are the usual reason."""
    message = refusal(lay(tmp_path, "a/1.jpg", "b/1", "b/2", "b/x.txt"))
    assert "holds no image but 3 other files (2 without a suffix, 1 .txt)" in message


def test_folders_of_systems_are_left_out_and_said(tmp_path: Path) -> None:
    """Thumbnails below a class, and whatever is next to the classes and splits; none of it is counted as a file."""
    names = [f"train/{name}/{file}" for name in "ab" for file in ("1.jpg", "@eaDir/1.jpg/THUMB_M.jpg")]
    listing = list_images(lay(tmp_path, *names, "train/#recycle/1.jpg", "System Volume Information/1.jpg"))
    assert {"train": ["train/a/1.jpg", "train/b/1.jpg"]} == ids(listing)
    assert () == listing.ignored
    assert (
        f"data {tmp_path}: folders of a disk or an operating system are left out: #recycle (1), @eaDir (2), "
        "System Volume Information (1)",
    ) == listing.remarks


def test_images_next_to_the_class_folders_are_not_passed_over(tmp_path: Path) -> None:
    """They are among what is not used; a text there is nobody's image."""
    listing = list_images(lay(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/loose.jpg", "train/labels.csv"))
    assert ("train/loose.jpg",) == listing.ignored
