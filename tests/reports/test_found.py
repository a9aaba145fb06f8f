"""What is said about a result, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from archwright.reports.found import constraint_rows, ledger_view, same_choice_rows, tiles, verdict, winners_table
from archwright.reports.measures import Measure

MEASURE = Measure()


def _result(test: float, draws: list[float], rival: float = 0.5) -> dict[str, Any]:
    return {"test": test, "random_baseline": {"test": rival, "draws": [{"test": draw} for draw in draws]}}


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            0.96,
            "The winner lies within their spread (95.00 % to 97.00 %): this run does not show that searching helped.",
        ),
        (
            0.97,
            "The winner lies within their spread (95.00 % to 97.00 %): this run does not show that searching helped.",
        ),
        (0.90, "The winner is worse than every one of them (95.00 % to 97.00 %)"),
    ],
)
def test_a_winner_that_does_not_stand_out_is_said(test: float, said: str) -> None:
    """Between the random draws, equal to the best of them, below all of them."""
    assert said in " ".join(verdict(_result(test, [0.95, 0.97]), MEASURE))


def test_the_int8_file_has_a_tile_of_its_own() -> None:
    """Its test score, speed and likeness; none where there is no file, or no number."""
    int8 = {
        "test": 0.9821,
        "latency_ms": {"onnxruntime": {"median": 0.1234}},
        **{"agreement": 0.9944, "agreement_on": "validation images (seen in training)"},
    }
    assert tiles({"int8": int8}, MEASURE)[-1] == {
        "name": "test score in int8",
        "value": "98.21 %",
        "note": "0.123 ms, agrees on 99.4 % of validation images (seen in training)",
    }
    for found in (None, {"reason": "why"}, {"test": "x"}):
        assert "int8" not in " ".join(tile["name"] for tile in tiles({"int8": found}, MEASURE))


def test_a_winner_that_stands_out_is_not_doubted() -> None:
    """It beats every draw; nothing is said of a spread."""
    text = " ".join(verdict(_result(0.98, [0.95, 0.97]), MEASURE))
    assert "It beats 2 of 2" in text
    assert "spread" not in text


def test_random_search_has_no_rival_but_the_draws() -> None:
    """Where the search was random search, its own score is no baseline."""
    result = _result(0.98, [0.95, 0.97])
    result["random_baseline"]["is_search"] = True
    text = " ".join(verdict(result, MEASURE))
    assert "The search was random search itself" in text
    assert "better than" not in text


PLAIN = {"space": "plain-chain", "macs": 5.2e6, "test": 0.97, "constraints": [{"cost": "macs"}]}
BUILT = (
    "plain network built for the same limits (plain-chain, 5.2 M macs) "
    "and trained from scratch by the same final training"
)
NOT_WORTH = "this run does not show that searching was worth its time"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (0.98, f"The winner is 1.00 points better than a {BUILT}."),
        (
            0.96,
            f"A {BUILT} is 1.00 points better than the winner: {NOT_WORTH}.",
        ),
        (0.97, f"A {BUILT} is as good as the winner: {NOT_WORTH}."),
    ],
)
def test_a_plain_network_is_compared_in_either_direction(test: float, said: str) -> None:
    """Better, worse, equal; a tile has its score."""
    result = {**_result(test, []), "plain_baseline": PLAIN}
    assert said in " ".join(verdict(result, MEASURE))
    assert {"name": "plain network", "value": "97.00 %", "note": "plain-chain, 5.2 M macs"} in tiles(result, MEASURE)


def test_a_plain_network_without_limits() -> None:
    """It is as large as the winner, and of perplexities the smaller is better."""
    plain = {**PLAIN, "test": 90.0, "constraints": []}
    text = " ".join(verdict({**_result(95.0, []), "plain_baseline": plain}, Measure("perplexity", "min")))
    assert "A plain network of no more multiply-accumulates (plain-chain, 5.2 M macs)" in text
    assert "is 5 better than the winner" in text


def test_why_there_is_no_plain_network() -> None:
    """Its reason; of runs that know nothing of it, nothing."""
    result = {**_result(0.9, []), "plain_baseline": {"reason": "it was switched off"}}
    assert "No plain network stands beside the winner: it was switched off." in verdict(result, MEASURE)
    assert "plain" not in " ".join(verdict(_result(0.9, []), MEASURE))
    assert "plain network" not in [tile["name"] for tile in tiles(result, MEASURE)]


def test_what_was_not_counted_is_named() -> None:
    """A small count may be small for what it leaves out."""
    result = {**_result(0.9, []), "uncounted": ["aten::svd", "mine::scan"]}
    said = "Multiply-accumulates leave out operations that no rule counts: aten::svd, mine::scan."
    assert said in verdict(result, MEASURE)


def test_edited_code_is_named() -> None:
    """With the times at which the change was accepted."""
    result = {**_result(0.9, []), "code_changes": [{"time": "2026-12-01T02:00:00Z"}]}
    said = "The code of the space was edited during the run (2026-12-01T02:00:00Z): its parts are not of one code."
    assert said in verdict(result, MEASURE)


def test_each_winner_stands_beside_its_plain_network() -> None:
    """A column of the table of winners."""
    winners = [{**_result(0.9, []), "plain_baseline": one} for one in (PLAIN, {"reason": "none"})]
    table = winners_table({"selected": winners}, MEASURE)
    place = list(table.columns).index("plain network")
    assert [row[place] for row in table.rows] == ["97.00 %", "not measured"]


def test_networks_that_choose_the_same_everywhere() -> None:
    """Trials 0 and 2 of four; trial 2 was tested as a draw. The fourth decision is of another kind."""
    rows = ["aaax", "abax", "bbby", "babx"]
    trials = [
        {
            "metrics": {"top1_accuracy": 0.5 + i / 10},
            "status": "complete",
            "arch": dict(zip(("p", "q", "r", "s"), row, strict=True)),
        }
        for i, row in enumerate(rows)
    ]
    result = {"random_baseline": {"draws": [{"arch": trials[2]["arch"], "test": 0.9}]}}
    assert same_choice_rows(trials, result, MEASURE) == [
        ["a", "50.00 %", "not measured"],
        ["b", "70.00 %", "90.00 %"],
    ]
    assert same_choice_rows([], result, MEASURE) == []


def test_predictions_are_shown_with_their_deviation() -> None:
    """3 measured where 2 was predicted is 50 % more."""
    row = {"cost": "latency_ms", "limit": 4, "predicted": 2, "value": 3, "satisfied": True}
    result = {"constraints": [row, {**row, "value": 2}, {**row, "value": None, "satisfied": None}]}
    assert [one[-2:] for one in constraint_rows(result)] == [
        ["+50.0 %", "met"],
        ["exact", "met"],
        ["not measured", "not measured"],
    ]


def test_ledger_adds_up() -> None:
    """Shares are of the whole wall time, bars of the longest figure."""
    view = ledger_view({"a": {"wall_s": 30, "cpu_s": 60, "peak_rss_mb": 100}, "b": {"wall_s": 10}, "c": "damaged"})
    assert (view["wall"], view["cpu"]) == ("40.0 s", "1 min 0 s")
    first, second = view["rows"]
    assert (first["share"], first["wall_percent"], first["cpu_percent"]) == ("75 %", 50.0, 100.0)
    assert (second["cpu"], second["memory"], second["cpu_percent"]) == ("not measured", "not measured", 0.0)


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({}, "retrained in the same way"),
        ({"provenance": "fine-tuned"}, "fine-tuned in the same way"),
        ({"provenance": "inherited"}, "given the weights of the search in the same way"),
    ],
)
def test_how_weights_came_about_is_said(provenance: dict[str, str], said: str) -> None:
    """A network with inherited weights was not retrained."""
    result = {"recipe": "spos", "test": 0.9, "random_baseline": {"test": 0.8}, **provenance}
    assert said in " ".join(verdict(result, Measure("top1_accuracy", "max", {})))
