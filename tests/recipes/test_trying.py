"""Users' spaces whose modules want more than shapes, from the opening to the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs import cost, count
from archwright.nn.choice import selection_of
from archwright.recipes.trying import try_out
from archwright.spaces import Space, open_space
from archwright.training.device import takes_channels_last

FILE = Path(__file__).with_name("odd_spaces.py")
SMOKE = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "n_draws=0", "--set", "plain=false")
TINY = (
    *("--set", "supernet.steps=2", "--set", "retrain.steps=2", "--set", "evolution.population=2"),
    *("--set", "evolution.top=1", "--set", "evolution.mutations=1", "--set", "evolution.crossovers=1"),
)
VALUES = ("OddConstants", "OddBoxes", "OddRamps", "OddBranches", "OddReads")


def _open(name: str) -> Space:
    return open_space(f"{FILE}:{name}")


# ── the layout ────────────────────────────────────────────────────────────────────────────────────


def test_modules_that_read_memory_in_order_keep_it() -> None:
    """One value of one decision is enough; the remark names the failure, and every network says what it takes."""
    space = _open("OddViews")
    (remark,) = try_out(space)
    assert "contiguous layout" in remark
    assert "view size is not compatible" in remark
    assert not space.takes_channels_last
    networks = [space.build(space.parse("0")), space.supernet(), space.extract(space.supernet(), space.parse("1"))]
    assert not any(map(takes_channels_last, networks))


@pytest.mark.parametrize("name", ["OddConstants", "OddSpectra"])
def test_others_have_channels_last(name: str) -> None:
    """Also one whose parameter has four axes and cannot be brought to it: it is no weight of a convolution."""
    space = _open(name)
    assert not any("layout" in remark for remark in try_out(space))
    assert space.takes_channels_last


def test_a_network_that_never_runs_is_refused() -> None:
    """With its code and what it raised."""
    with pytest.raises(
        SpaceError, match=r"the network '1' of space .*Broken' cannot be trained: RuntimeError: no such"
    ):
        try_out(_open("Broken"))


def test_spaces_of_this_package_are_not_tried() -> None:
    """Their tests have run their networks in every way."""
    assert try_out(open_space("lenet")) == ()


@pytest.mark.parametrize("method", [("random", ()), ("spos", TINY)])
def test_views_are_searched(cli: Callable[..., Any], tmp_path: Path, method: tuple[str, tuple[str, ...]]) -> None:
    """All trials, the test, measuring and exports; the terminal says what it costs."""
    recipe, more = method
    done = cli(
        "search", recipe, "--space", f"{FILE}:OddViews", "--data", "digits", *SMOKE, *more, "--out", tmp_path / "run"
    )
    assert done.code == 0, done.err
    assert "note       the networks of" in done.out
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(record["not_exported"]) <= {"model.py"}  # whose modules have no source


def test_workers_know_the_layout(cli: Callable[..., Any], tmp_path: Path) -> None:
    """They open the space anew, and try nothing."""
    given = ("--space", f"{FILE}:OddViews", "--data", "digits", *SMOKE, "--workers", "2", "--out", tmp_path / "run")
    done = cli("search", "random", *given)
    assert done.code == 0, done.err


# ── values ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", VALUES)
def test_what_needs_values_is_counted_all_the_same(name: str) -> None:
    """A 3x3 convolution of 4 channels on 64 pixels, and a linear layer of 256 x 10."""
    space = _open(name)
    assert cost(space, space.parse("1"))["macs"] == 9 * 4 * 64 + 2560
    assert count(space.build(space.parse("1")), (1, 8, 8)).macs == 9 * 4 * 64 + 2560


@pytest.mark.parametrize("name", VALUES)
def test_an_extracted_network_computes_the_same(name: str) -> None:
    """It holds no tensor without values, wherever a module keeps it."""
    space = _open(name)
    supernet = space.supernet().eval()
    selection_of(supernet).activate(space.parse("1"))
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = space.extract(supernet, space.parse("1"))
    assert torch.equal(network(x), supernet(x))


@pytest.mark.parametrize("name", ["OddBranches", "OddReads"])
def test_what_cannot_be_run_for_shapes_is_told(name: str) -> None:
    """Costs take longer then."""
    space = _open(name)
    assert any("compute with values" in remark for remark in try_out(space))
    assert not space.runs_on_meta


def test_global_random_numbers_go_on() -> None:
    """Trying and counting draw from copies."""
    before = torch.random.get_rng_state()
    space = _open("OddBranches")
    try_out(space)
    cost(space, space.parse("1"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", VALUES)
def test_what_needs_values_is_searched(cli: Callable[..., Any], tmp_path: Path, name: str) -> None:
    """From a supernet to a result that can be gone on with."""
    given = ("--space", f"{FILE}:{name}", "--data", "digits", *SMOKE, *TINY, "--out", tmp_path / "run")
    done = cli("search", "spos", *given)
    assert done.code == 0, done.err
    assert cli("search", "spos", *given, "--resume").out in done.out


# ── work without a rule ───────────────────────────────────────────────────────────────────────────


def test_a_limit_that_cannot_be_kept_is_refused(cli: Callable[..., Any], tmp_path: Path) -> None:
    """It names the operation; with the option the run says what it left out, in all it writes."""
    given = ("--space", f"{FILE}:OddWork", "--data", "digits", *SMOKE, "--max-macs", "60k", "--out", tmp_path / "run")
    refused = cli("search", "random", *given)
    assert refused.code == 2
    assert "a limit on macs cannot be kept: no rule counts linalg_matrix_exp" in refused.err
    done = cli("search", "random", *given, "--allow-uncounted")
    assert done.code == 0, done.err
    assert "note       no rule counts linalg_matrix_exp" in done.out
    assert "no rule counts linalg_matrix_exp" in (tmp_path / "run" / "log.txt").read_text()
    assert cli("search", "random", "--out", tmp_path / "run", "--resume").code == 0


def test_other_limits_need_no_rule() -> None:
    """Parameters are counted whatever is computed with them."""
    from archwright.recipes import RandomSearchConfig
    from archwright.recipes.base import open_search
    from archwright.tasks import digits

    config = RandomSearchConfig(space=f"{FILE}:OddWork", limits=(("params", 1e6),))
    assert open_search(config, digits()).remarks[-1].startswith("no rule counts linalg_matrix_exp")
    with pytest.raises(InvalidValueError, match="allow_uncounted=True"):
        open_search(RandomSearchConfig(space=f"{FILE}:OddWork", limits=(("flops", 1e6),)), digits())


def test_describe_names_it(cli: Callable[..., Any]) -> None:
    """And says nothing where all is counted."""
    assert "not counted  linalg_matrix_exp" in cli("describe", f"{FILE}:OddWork").out
    assert "not counted" not in cli("describe", f"{FILE}:OddViews").out
