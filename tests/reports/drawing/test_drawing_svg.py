"""A drawing is one well-formed, harmless SVG in which everything can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from archwright.core.drawing import Block, Drawing, Edge, Graph, Node, Strip
from archwright.core.errors import InvalidValueError, SpaceError
from archwright.reports.drawing import draw_png, draw_svg, render, save_drawing
from archwright.reports.drawing.canvas import text_width
from archwright.spaces import SposSpace
from archwright.testing import NumberSpace

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "</svg><script>alert(1)</script>\x00\u202e" + "&<>\"'" * 100
BOX = re.compile(r"aw-(conv|depthwise|pool|linear|attention|other|join|input|output|state|skip|none)")


def elements(node: ET.Element, dx: float = 0.0, dy: float = 0.0) -> Iterator[tuple[ET.Element, float, float]]:
    """Every element with how far it is moved."""
    if moved := re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", node.get("transform", "")):
        dx, dy = dx + float(moved[1]), dy + float(moved[2])
    yield node, dx, dy
    for child in node:
        yield from elements(child, dx, dy)


def rectangles(root: ET.Element) -> list[tuple[float, float, float, float]]:
    """(left, top, right, bottom) of each, on the sheet."""
    found = []
    for node, dx, dy in elements(root):
        if node.tag == f"{SVG}rect":
            x, y, width, height = (float(node.get(name, "nan")) for name in ("x", "y", "width", "height"))
            found.append((x + dx, y + dy, x + dx + width, y + dy + height))
    return found


@pytest.fixture
def drawing(graph: Graph, chain: Callable[[int], Strip]) -> Drawing:
    """Each of the graphs, twice, and a chain of 22."""
    return Drawing((graph, graph, chain(22)), "two cells and a chain")


def test_everything_lies_on_the_sheet(drawing: Drawing) -> None:
    """Boxes and the middles of texts."""
    root = ET.fromstring(render(drawing, "title"))
    width, height = (float(root.get(name, "nan")) for name in ("width", "height"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    slack = 0.11  # coordinates are rounded to a tenth
    for left, top, right, bottom in rectangles(root):
        assert -slack <= left <= right <= width + slack
        assert -slack <= top <= bottom <= height + slack
    texts = [(node, dx, dy) for node, dx, dy in elements(root) if node.tag == f"{SVG}text"]
    assert all(0 <= float(node.get("x", "nan")) + dx <= width for node, dx, _ in texts)
    assert all(0 <= float(node.get("y", "nan")) + dy <= height for node, _, dy in texts)


def test_text_fits_its_box(drawing: Drawing) -> None:
    """By the estimate, in every box that has text."""
    root = ET.fromstring(render(drawing))
    n = 0
    for group in root.iter(f"{SVG}g"):
        frames = [child for child in group if child.tag == f"{SVG}rect" and BOX.match(child.get("class", ""))]
        for text in group.findall(f"{SVG}text[@class='aw-ink']") if frames else ():
            is_bold = text.get("font-weight") is not None
            width = text_width(text.text or "", float(text.get("font-size", "nan")), bold=is_bold)
            assert width <= float(frames[-1].get("width", "nan"))
            n += 1
    assert n > 22


def test_the_same_bytes_each_time(drawing: Drawing) -> None:
    """So that a drawing can be compared and kept under version control."""
    assert render(drawing, "title") == render(drawing, "title")


def test_panels_stand_apart(graphs: Mapping[str, Graph]) -> None:
    """Two small cells side by side, boxes of neither in the other."""
    root = ET.fromstring(render(Drawing((graphs["parallel"], graphs["parallel"]))))
    boxes = sorted(rectangles(root)[1:])  # the first is the sheet
    left, right = boxes[: len(boxes) // 2], boxes[len(boxes) // 2 :]
    assert max(box[2] for box in left) < min(box[0] for box in right)


def test_readers_of_the_screen_hear_title_and_summary(graphs: Mapping[str, Graph]) -> None:
    """`title` and `desc` name the picture, and the root refers to both."""
    root = ET.fromstring(render(Drawing((graphs["one"],), "one node"), "a name"))
    assert (root[0].tag, root[0].text, root[1].tag, root[1].text) == (f"{SVG}title", "a name", f"{SVG}desc", "one node")
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", f"{root[0].get('id')} {root[1].get('id')}")


def test_hostile_names_are_text() -> None:
    """In every place where a foreign text can stand."""
    graph = Graph((Node("a", EVIL, note=EVIL), Node("b", EVIL, "conv")), (Edge("a", "b", EVIL, note=EVIL),), EVIL)
    strip = Strip((Block(EVIL, details=(EVIL,), note=EVIL),), EVIL, EVIL)
    text = render(Drawing((graph, strip), EVIL), EVIL)
    root = ET.fromstring(text)
    assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "g",
        "rect",
        "path",
        "text",
    }
    assert len(text) < 20_000


def test_no_script_and_nothing_from_outside(drawing: Drawing) -> None:
    """No event attribute, no link, no URL but the name space, no font or image to load."""
    text = render(drawing)
    assert not re.search(r"<script|<image|<foreignObject|<use|href| on\w+=|url\(|@import|@font-face", text)
    assert text.count("http") == 1


def test_absent_operations_are_dashed() -> None:
    """The edge `none` is drawn, but not as a line like others."""
    text = render(Drawing((Graph((Node("a"), Node("b")), (Edge("a", "b", "none"),)),)))
    assert 'class="aw-dash"' in text
    assert 'class="aw-line"' not in text


def test_png_of_a_chain(chain: Callable[[int], Strip]) -> None:
    """Twice as many pixels a side as the SVG, in light colours."""
    space = SposSpace(input_shape=(3, 32, 32), n_classes=10)
    arch = space.parse("0123012301")
    data = draw_png(space, arch)
    root = ET.fromstring(draw_svg(space, arch))
    size = tuple(int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert size == pytest.approx([2 * float(root.get(name, "nan")) for name in ("width", "height")], abs=2)


def test_a_file_is_written_in_the_format_of_its_name(tmp_path: object) -> None:
    """SVG by default with the space and code as its title; capitals do not matter."""
    space = NumberSpace()
    arch = space.parse("01")
    svg, png = (save_drawing(space, arch, f"{tmp_path}/{name}") for name in ("new/a.svg", "a.PNG"))
    assert svg.read_text("utf-8") == draw_svg(space, arch)
    assert png.read_bytes() == draw_png(space, arch)
    assert "NumberSpace:01" in svg.read_text("utf-8")


@pytest.mark.parametrize(("name", "message"), [("a.pdf", "ends with .svg or .png"), ("", "is a folder")])
def test_other_files_are_refused(tmp_path: object, name: str, message: str) -> None:
    """Before anything is drawn."""
    with pytest.raises(InvalidValueError, match=message):
        save_drawing(NumberSpace(), NumberSpace().parse("01"), f"{tmp_path}/{name}")


class Broken(NumberSpace):
    """Its own way of drawing fails."""

    def drawing(self, arch: object) -> Drawing:
        raise KeyError("no such edge")


class Wrong(NumberSpace):
    """Its own way of drawing gives something else."""

    def drawing(self, arch: object) -> Drawing:
        return "a picture"  # type: ignore[return-value]


def test_a_space_that_cannot_draw_is_named() -> None:
    """With what it raised and where, or with what it returned."""
    with pytest.raises(SpaceError, match=r"cannot draw 01: KeyError: 'no such edge' \(.*test_drawing_svg.py, line \d+"):
        draw_svg(Broken(), Broken().parse("01"))
    with pytest.raises(SpaceError, match="is str; return a Drawing"):
        draw_svg(Wrong(), Wrong().parse("01"))


def test_titles_of_small_panels_do_not_meet(graphs: Mapping[str, Graph]) -> None:
    """The second panel begins where the first one's title has ended, even if that is wider than its graph."""
    small = replace(graphs["one"], title="reduction cell")
    root = ET.fromstring(render(Drawing((small, small))))
    first, second = (dx for node, dx, _ in elements(root) if node.text == "reduction cell")
    assert second - first > text_width("reduction cell", 13, bold=True)
