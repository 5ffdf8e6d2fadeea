"""What can be found by name, who provides it, and what is said of what cannot be found."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from intelbench.architectures import registry
from intelbench.architectures.registry import (
    Architecture,
    ModelRequest,
    architecture,
    find,
    main_loss,
    plugins_of,
    register,
)
from intelbench.architectures.surgery import build_shapes
from intelbench.errors import UserError
from intelbench.plugins.loading import load_plugin

REQUEST = ModelRequest(num_classes=3, image_size=32)
SMALL = """
from torch import nn
from intelbench import architecture

@architecture("{name}")
def build(request):
    return nn.Linear(1, request.num_classes)
"""


REGISTERS = "from intelbench import architecture\narchitecture({})"


def linear(request: ModelRequest) -> nn.Module:
    """The smallest network."""
    return nn.Linear(1, request.num_classes)


def write_plugin(path: Path, name: str = "mine") -> Path:
    """A plug-in file that registers one architecture."""
    path.write_text(SMALL.format(name=name))
    return path


def test_a_decorated_function_becomes_an_architecture() -> None:
    """It is found under its name and aliases with its facts, and the same value comes back."""
    made = architecture("small", aliases=("s",), minimum_size=8)(linear)
    assert made is find("small")[0] is find("s")[0]
    assert (8, ("s",), main_loss) == (made.minimum_size, made.aliases, made.loss)
    assert 3 == made.build(REQUEST).out_features


@pytest.mark.parametrize(
    ("name", "aliases"), [("resnet152", ()), ("wrn", ()), ("new", ("resnet101",)), ("new", ("other", "wrn"))]
)
def test_a_taken_name_is_refused(name: str, aliases: tuple[str, ...]) -> None:
    """Names and aliases share one space; nothing is registered in part."""
    before = dict(registry.ARCHITECTURES.entries)
    with pytest.raises(UserError, match=r"is registered already, by intelbench; choose another name"):
        register(Architecture(name=name, build=linear, aliases=aliases))
    assert before == registry.ARCHITECTURES.entries


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("resnet-152", "resnet152"),
        ("inceptionv3", "inception_v3"),
        ("wrm", "wrn"),
        ("ResNet18", "resnet18"),
        ("efficientnetb0", "efficientnet_b0"),
        ("torchvision:efficientnet_lite", "efficientnet_lite0"),
    ],
)
def test_unknown_names_offer_near_ones(wrong: str, right: str) -> None:
    """The message repeats the name and offers what was probably meant, and the other ways in."""
    with pytest.raises(UserError, match=rf"Try [^.]*\b{right}\b") as caught:
        find(wrong)
    assert str(caught.value).startswith(f"architecture {wrong!r} is not known. ")
    assert "--plugin FILE.py" in str(caught.value)


def test_hopeless_names_are_answered_with_all() -> None:
    """Nothing is near: all names are listed, torchvision's too."""
    with pytest.raises(UserError) as caught:
        find("qqqqqqqqqqqq")
    names = ", ".join(sorted(registry.ARCHITECTURES.providers()))
    assert f"Expected one of: {names}, torchvision's " in str(caught.value)


def test_known_lists_names_and_not_aliases() -> None:
    """One line an architecture, in the order of registration."""
    names = list(registry.ARCHITECTURES.providers())
    assert ["resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101"] == names[:5]
    assert ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"] == names[5:8]
    assert "wrn" not in names


@pytest.mark.parametrize(("size", "fits"), [(74, False), (75, True), (300, True)])
def test_too_small_images_are_refused_by_name(size: int, fits: bool) -> None:
    """The message names the architecture, its minimum and the key to change."""
    inception, _ = find("inception_v3")
    if fits:
        inception.require_size(size)
        return
    with pytest.raises(UserError) as caught:
        inception.require_size(size)
    assert "architecture 'inception_v3' needs images of at least 75 px; these have 74 px" == str(caught.value)


def test_main_loss_is_the_criterion() -> None:
    """Logits in, the criterion's value out."""
    logits, target = torch.randn(2, 3), torch.tensor([0, 1])
    assert torch.equal(
        nn.functional.cross_entropy(logits, target), main_loss(logits, target, nn.functional.cross_entropy)
    )


def test_a_plugin_is_loaded_and_provides_its_digest(tmp_path: Path) -> None:
    """The provider names the file and sixteen digits of its SHA-256."""
    path = write_plugin(tmp_path / "mine.py")
    assert ["mine"] == load_plugin(path)
    found, provider = find("mine")
    assert 3 == found.build(REQUEST).out_features
    assert f"mine.py sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" == provider
    assert provider == registry.ARCHITECTURES.providers()["mine"]


def test_an_edited_plugin_is_another_provider(tmp_path: Path) -> None:
    """Results of the old code must not pass for results of the new."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    load_plugin(write_plugin(tmp_path / "old" / "mine.py", "first"))
    path = write_plugin(tmp_path / "new" / "mine.py", "second")
    path.write_text(path.read_text() + "# edited\n")
    load_plugin(path)
    assert find("first")[1] != find("second")[1]
    assert find("second")[1].startswith("mine.py sha256:")


def test_a_partial_is_provided_by_the_plugin(tmp_path: Path) -> None:
    """A build function with settings bound to it is still the plug-in's code, and not the standard library's."""
    path = tmp_path / "widths.py"
    path.write_text(
        "import functools\nfrom torch import nn\nfrom intelbench import architecture\n"
        "def build(request, width):\n    return nn.Linear(width, request.num_classes)\n"
        "wide = architecture('wide')(functools.partial(build, width=9))\n"
    )
    load_plugin(path)
    assert find("wide")[1].startswith("widths.py sha256:")


def test_a_plugin_given_twice_is_loaded_once(tmp_path: Path) -> None:
    """Its names are not registered a second time."""
    path = write_plugin(tmp_path / "mine.py")
    assert ["mine"] == load_plugin(path)
    assert [] == load_plugin(path)


def test_two_plugins_of_one_file_name_are_two(tmp_path: Path) -> None:
    """Folders tell them apart."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert [name] == load_plugin(write_plugin(tmp_path / name / "model.py", name))


def test_a_missing_plugin(tmp_path: Path) -> None:
    """The message names the path; a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe.py")
    for path, said in (
        (tmp_path / "nowhere.py", "no such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe.py", "is not a file"),
    ):
        with pytest.raises(UserError) as caught:
            load_plugin(path)
        assert f"plug-in {path}: {said}" == str(caught.value)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ValueError('no luck')", "failed with ValueError: no luck"),
        ("import no_such_module_anywhere", "failed with ModuleNotFoundError: No module named"),
        ("def broken(:", "failed with SyntaxError: invalid syntax (bad.py:1)"),
        ("x = 1\n\nraise ValueError('no luck')", "failed with ValueError: no luck (bad.py:3)"),
        ("raise SystemExit(0)", "failed with SystemExit: 0 (bad.py:1)"),
        ("import sys\nsys.exit()", "failed with SystemExit (bad.py:2)"),
        ("def again(): again()\nagain()", "failed with RecursionError: maximum recursion depth exceeded"),
        ("x = " + "(" * 3000, "failed with SyntaxError: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", "failed with "),
        ("\0", "failed with SyntaxError: source code string cannot contain null bytes"),
        ("# coding: none", "failed with SyntaxError: unknown encoding: none"),
        ("class E(BaseException): pass\nraise E('odd')", "E: odd (bad.py:2)"),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E: <exception str() failed> (bad.py:3)"),
        ("raise ValueError('\\x1b[2J' + 'x' * 10**6)", r"failed with ValueError: \x1b[2Jxxx"),
        ("import sys\ndel sys.modules[__name__]\n1 / 0", "failed with ZeroDivisionError: division by zero (bad.py:3)"),
        ("from intelbench.architectures import registry\nregistry.ARCHITECTURES.entries.clear()", "registers nothing"),
        (REGISTERS.format("'x')(42"), "architecture 'x': `build` is an int; it must be a function"),
        (REGISTERS.format("'x', loss='mean')(print"), "architecture 'x': `loss` is a str; it must be a function"),
        (REGISTERS.format("'x', minimum_size='big')(print"), "`minimum_size` is a str; it must be a number of pixels"),
        (
            REGISTERS.format("'x', aliases='yz')(print"),
            "architecture 'x': `aliases` is a str; it must be a tuple of names",
        ),
        (REGISTERS.format("'x', size=3)(print"), "got an unexpected keyword argument 'size'"),
        (REGISTERS.format("7)(print"), "architecture 7: a name is 1 to 100 letters, digits"),
        (REGISTERS.format("'')(print"), "architecture '': a name is 1 to 100 letters, digits"),
        (REGISTERS.format("'a b')(print"), "architecture 'a b': a name is 1 to 100 letters, digits"),
        (REGISTERS.format("'torchvision:x')(print"), "a name is 1 to 100 letters, digits"),
        (REGISTERS.format("'\\x1b[31m')(print"), r"architecture '\x1b[31m': a name is 1 to 100 letters, digits"),
        (REGISTERS.format("'x' * 300)(print"), "a name is 1 to 100 letters, digits"),
        (
            REGISTERS.format("print"),
            "@intelbench.architecture: no name. Expected one in parentheses. Try @intelbench.architecture(",
        ),
        ("x = 1", "registers nothing; decorate a function or class, for example with @intelbench.architecture(NAME)"),
        (SMALL.format(name="resnet152"), "architecture 'resnet152' is registered already, by intelbench"),
        (SMALL.format(name="a") + SMALL.format(name="a"), "architecture 'a' is registered already, by bad.py sha256:"),
    ],
)
def test_plugins_that_fail(tmp_path: Path, code: str, says: str) -> None:
    """The message names the file, says what went wrong and where, and leaves no trace."""
    path = tmp_path / "bad.py"
    path.write_text(code)
    before, modules = registry.ARCHITECTURES.providers(), set(sys.modules)
    with pytest.raises(UserError) as caught:
        load_plugin(path)
    assert str(caught.value).startswith(f"plug-in {path}: ")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)
    assert before == registry.ARCHITECTURES.providers()
    assert not {name for name in set(sys.modules) - modules if name.startswith("intelbench_plugin_")}


def test_an_interrupt_is_not_the_plugins_failure(tmp_path: Path) -> None:
    """Ctrl-C while a plug-in is loaded ends intelbench."""
    path = tmp_path / "slow.py"
    path.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugin(path)


def test_a_plugin_is_run_as_it_stands_in_its_file(tmp_path: Path) -> None:
    """Never as the bytecode of an older version of equal size and age; and nothing is written beside it."""
    for name in ("old", "new"):
        path = write_plugin(tmp_path / "mine.py", name)
        os.utime(path, (10**9, 10**9))
        sys.modules.pop(next((each for each in sys.modules if each.startswith("intelbench_plugin_")), ""), None)
        assert [name] == load_plugin(path)
    assert ["mine.py"] == [each.name for each in tmp_path.iterdir()]


def test_whatever_a_plugin_registers_is_provided_by_its_file(tmp_path: Path) -> None:
    """A build function of a library, or of intelbench itself, is the plug-in's as soon as it has another name."""
    path = tmp_path / "borrowed.py"
    path.write_text(
        "import functools\nfrom torch import nn\nfrom intelbench import architecture\n"
        "from intelbench.architectures.registry import find\n"
        "architecture('one')(functools.partial(find('resnet101')[0].build))\narchitecture('two')(nn.Identity)\n"
    )
    assert ["one", "two"] == load_plugin(path)
    assert {f"borrowed.py sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"} == {
        find(name)[1] for name in ("one", "two")
    }
    assert [(str(path),), (str(path),), (), ()] == [plugins_of(name) for name in ("one", "two", "resnet101", "nothing")]


@pytest.mark.parametrize("returned", ["None", "42", "nn.Linear", "[nn.Linear(1, 1)]"])
def test_what_is_no_network_is_refused(tmp_path: Path, returned: str) -> None:
    """The message names the architecture and what its function returned."""
    path = tmp_path / "bad.py"
    path.write_text(REGISTERS.format(f"'bad')(lambda request: {returned}") + "\nfrom torch import nn\n")
    load_plugin(path)
    with pytest.raises(
        UserError, match=r"architecture 'bad': its function returned (None|an? \w+); it must return a torch.nn.Module"
    ):
        find("bad")[0].network(REQUEST)


def lazy(request: ModelRequest) -> nn.Module:
    """A network whose layers learn their widths from a first forward pass; one is in evaluation mode."""
    network = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.5),
        nn.LazyLinear(request.num_classes),
    )  # fmt: skip
    network[1].eval()
    return network


def test_what_a_constructor_sets_of_pytorch_is_put_back() -> None:
    """Threads, default type and gradients are the run's: else it would not be what its record says."""
    before = torch.get_num_threads()

    def meddle(request: ModelRequest) -> nn.Module:
        torch.set_num_threads(before + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return linear(request)

    network = Architecture(name="meddling", build=meddle).network(REQUEST)
    assert torch.float64 is network.weight.dtype
    assert (before, torch.float32, True) == (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    )  # fmt: skip


def test_lazy_layers_are_given_their_widths() -> None:
    """With the weights that PyTorch's generator gives, in the modes that they had, and unused statistics."""
    torch.manual_seed(3)
    network = Architecture(name="lazy", build=lazy).network(REQUEST)
    torch.manual_seed(3)
    same = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3))
    state, expected = network.state_dict(), same.state_dict()
    assert [tuple(value.shape) for value in expected.values()] == [tuple(value.shape) for value in state.values()]
    assert all(torch.equal(*pair) for pair in zip(state.values(), expected.values(), strict=True))
    assert [True, False, True] == [network[index].training for index in (0, 1, 5)]


def test_lazy_layers_have_shapes_without_values() -> None:
    """On the meta device nothing is drawn."""
    state = torch.get_rng_state()
    model = build_shapes(Architecture(name="lazy", build=lazy), REQUEST)
    assert {"meta"} == {parameter.device.type for parameter in model.parameters()}
    assert 4 * 27 + 4 + 8 + 16 * 3 + 3 == sum(parameter.numel() for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("wrap", [lambda scripted: scripted, nn.Sequential])
def test_torchscript_is_refused(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """Nothing inside could be looked at; also where it is a part of the network. The message names the way out."""
    made = Architecture(name="scripted", build=lambda request: wrap(torch.jit.script(linear(request))))
    with pytest.raises(UserError, match=r"'scripted': its function returned a TorchScript .* without torch\.jit"):
        made.network(REQUEST)


@pytest.mark.parametrize("output", [(torch.ones(2, 3),) * 2, {"logits": torch.ones(2, 3)}, torch.ones(2, 3, 1, 1)])
def test_what_is_no_logits_in_training_names_the_way_out(output: object) -> None:
    """A loss of the architecture's own."""
    with pytest.raises(UserError, match=r"in training; it must return logits.*needs a `loss` of its own"):
        main_loss(output, torch.tensor([0, 1]), nn.functional.cross_entropy)


changes = st.lists(
    st.tuples(st.integers(0, 150), st.integers(0, 8), st.text("abc 01'\"()[]{}:=@.,\n\0é#", max_size=3)),
    min_size=1,
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
def test_a_mistyped_plugin_is_loaded_or_refused(tmp_path: Path, changes: list[tuple[int, int, str]]) -> None:
    """Whatever slips into the source, a `UserError` that names the file is all that escapes."""
    source = SMALL.format(name="mine")
    for place, length, text in changes:
        source = source[:place] + text + source[place + length :]
    path = tmp_path / "mistyped.py"
    path.write_text(source)
    before = dict(registry.ARCHITECTURES.entries)
    try:
        assert load_plugin(path)
    except UserError as error:
        assert str(path) in str(error)
    registry.ARCHITECTURES.entries.clear()
    registry.ARCHITECTURES.entries.update(before)
    for name in [each for each in sys.modules if each.startswith("intelbench_plugin_")]:
        del sys.modules[name]


@pytest.mark.parametrize("code", ["raise ValueError('no luck')", "x = 1", SMALL.format(name="half") + "\n1 / 0\n"])
def test_a_plugin_that_failed_fails_again(tmp_path: Path, code: str) -> None:
    """A failure is not taken for "loaded already": the second attempt ends as the first."""
    path = tmp_path / "bad.py"
    path.write_text(code)
    messages = []
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            load_plugin(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_plugin_must_be_python(tmp_path: Path) -> None:
    """A notebook or a text file is refused with the reason."""
    path = tmp_path / "model.ipynb"
    path.write_text("{}")
    with pytest.raises(UserError, match=r"not a Python file; its name must end in \.py"):
        load_plugin(path)
