"""Published operator tables: real files where the data are there, small ones of the same form elsewhere."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError
from archwright.costs import LookupTable
from archwright.costs.tables.operators import operator_key, parse_operator_key

Data = Callable[[str], Path]


def test_means_of_a_proxyless_table(tmp_path: Path) -> None:
    """Milliseconds as they stand; a key as often as it comes."""
    path = tmp_path / "mobile.json"
    path.write_text(json.dumps({"Conv-input:4x4x3-output:2x2x8": {"count": 9, "mean": 1.5, "var": 0.1}}))
    key = operator_key("Conv", (4, 4, 3), (2, 2, 8))
    assert LookupTable.open(path).total([key, key]) == 3.0


def test_negative_widths_of_tfnas_are_clamped(tmp_path: Path) -> None:
    """The base is in every network; what a linear fit puts below zero is zero."""
    path = tmp_path / "gpu.csv.gz"
    op = "MBInvertedResBlock_112_16_0_24_k3_s2_relu"
    path.write_bytes(gzip.compress(f"key,mid_channels,latency_ms\nbase,0,2.0\n{op},1,-0.2\n{op},40,0.5\n".encode()))
    table = LookupTable.open(path)
    assert (table.total([]), table.total([f"{op}:1"]), table.total([f"{op}:40"])) == (2.0, 2.0, 2.5)


def test_microseconds_of_fbnet(tmp_path: Path) -> None:
    """Layer and operator name an entry; fixed layers have none."""
    path = tmp_path / "rpi4.json"
    path.write_text(json.dumps([None, [1000.0, 2000.0, 3000.0]]))
    table = LookupTable.open(path)
    assert table.entries == {"1:k3_e1": 1.0, "1:k3_e1_g2": 2.0, "1:k3_e3": 3.0}


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """With the nearest there is."""
    path = tmp_path / "rpi4.json"
    path.write_text(json.dumps([None, [1000.0, 2000.0]]))
    with pytest.raises(InvalidValueError, match=r"has no entry '1:k3_e2' \(of 2\); the nearest is '1:k3_e1"):
        LookupTable.open(path).total(["1:k3_e2"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", '{"Conv": 3}'),
        ("a.json", '{"Conv": {"mean": null}}'),
        ("a.json", "[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]"),
        ("a.json", '"text"'),
        ("a.csv", "a,b\n1,2\n"),
        ("a.csv", "key,mid_channels,latency_ms\nx,1\n"),
        ("a.json", '{"format": 2}'),
        ("a.json", '{"format": 1, "entries": {}}'),
        ("a.json.gz", "no gzip"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """One line that names the file."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValueError, match=rf"{name}") as caught:
        LookupTable.open(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidValueError, match=r"there is no latency table .*none\.json"):
        LookupTable.open(tmp_path / "none.json")


@pytest.mark.parametrize("key", ["Conv-input", "Conv-input:ax3", "MBInvertedResBlock_112", "x-expand:-3"])
def test_what_is_no_key(key: str) -> None:
    """It is shown, and one that is."""
    if key == "MBInvertedResBlock_112":
        assert parse_operator_key(key) == {"op": key}
    else:
        with pytest.raises(InvalidValueError, match="is no operator key; write it like Conv-input"):
            parse_operator_key(key)


# ── the published files ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "n"),
    [
        *((f"ofa_note10_{side}.json", 96) for side in (160, 176, 208, 224)),
        ("proxyless_pixel1_mobile_trim.json", 72),
    ],
)
def test_keys_of_published_tables_are_read_and_made(shared_data: Data, name: str, n: int) -> None:
    """Every key comes back from its fields; every time is positive."""
    table = LookupTable.open(shared_data("latency_lut") / name)
    assert len(table.entries) == n
    assert min(table.entries.values()) > 0
    for key in table.entries:
        fields = parse_operator_key(key)
        assert operator_key(fields.pop("op"), fields.pop("input"), fields.pop("output"), **fields) == key


def test_published_tfnas_and_fbnet_tables(shared_data: Data) -> None:
    """No time is below zero; 28 layers, some fixed, with eight or nine operators each."""
    tfnas = LookupTable.open(shared_data("latency_lut") / "tfnas_gpu.csv.gz")
    assert tfnas.base == pytest.approx(1.985807514)
    assert min(tfnas.entries.values()) == 0
    assert parse_operator_key(max(tfnas.entries, key=tfnas.entries.__getitem__))["op"] == "MBInvertedResBlock"
    fbnet = LookupTable.open(shared_data("latency_lut") / "fbnet_rpi4_cifar.json")
    assert fbnet.entries["2:k3_e1"] == pytest.approx(10.430441)
    per_layer = [sum(key.startswith(f"{i}:") for key in fbnet.entries) for i in range(28)]
    assert set(per_layer) == {0, 8, 9}


@pytest.mark.parametrize(
    "name", ["note10_lat-30ms_top1-78.4_finetune-75", "flops-389M_top1-79.1_finetune-75", "pixel1_lat-79ms"]
)
def test_published_networks_on_the_note_10(shared_data: Data, name: str) -> None:
    """Summed over a network's operators the table gives the reference latency, 29.965 ms for the first."""
    folder = shared_data("arch_configs")
    networks = json.loads(gzip.decompress((folder / "ofa_specialized.json.gz").read_bytes()))
    references = json.loads((folder / "reference_costs.json").read_text())
    full = next(key for key in networks if key.startswith(name))
    table = LookupTable.open(shared_data("latency_lut") / "ofa_note10_224.json")
    assert table.total(_keys(networks[full]["net"], 224)) == pytest.approx(references[full]["note10_lut_ms"], abs=5e-5)
    if name.startswith("note10"):
        assert round(table.total(_keys(networks[full]["net"], 224)), 3) == 29.965


def _keys(net: Mapping[str, Any], side: int) -> Iterator[str]:
    """Keys of a Once-for-All MobileNetV3 network at an input side."""
    side, width = side // 2, net["first_conv"]["out_channels"]
    yield operator_key("Conv", (2 * side, 2 * side, 3), (side, side, width))
    for block in net["blocks"]:
        conv = block["mobile_inverted_conv"]
        hidden = conv["mid_channels"] or round(conv["in_channels"] * conv["expand_ratio"])
        after, n_out = side // conv["stride"], conv["out_channels"]
        yield operator_key(
            "expanded_conv",
            (side, side, width),
            (after, after, n_out),
            expand=hidden,
            kernel=conv["kernel_size"],
            stride=conv["stride"],
            idskip=int(block["shortcut"] is not None),
            se=int(conv["use_se"]),
            hs=int(conv["act_func"] == "h_swish"),
        )
        side, width = after, n_out
    expanded, mixed = net["final_expand_layer"]["out_channels"], net["feature_mix_layer"]["out_channels"]
    yield operator_key("Conv_1", (side, side, width), (side, side, expanded))
    yield operator_key("AvgPool2D", (side, side, expanded), (1, 1, expanded))
    yield operator_key("Conv_2", (1, 1, expanded), (1, 1, mixed))
    yield operator_key("Logits", (1, 1, mixed), (1000,))
