"""A run's documents → the texts, rows and charts its page shows. Whatever is absent is said to be absent."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from archwright.reports.charts import Measure, best_so_far_chart, loss_chart, trade_off_chart
from archwright.reports.text import ABSENT, difference, duration, is_number, quantity, score

Document = Mapping[str, Any]


def run_view(document: Document) -> dict[str, Any]:
    """Everything the template `run.html` reads, from the document described in `write_page`."""
    result, run = _part(document, "result"), _part(document, "run")
    measure = _measure(result)
    return {
        "title": f"{result.get('recipe', 'search')} on {result.get('dataset', 'unknown data')}",
        "space": result.get("space"),
        "tiles": _tiles(result, measure),
        "verdict": _verdict(result, measure),
        "constraints": [_constraint_row(one) for one in result.get("constraints") or ()],
        "draws": _draws(result, measure.metric),
        "architecture": _architecture(document.get("architecture")),
        "layers": _table(document.get("layers") or ()),
        "charts": _charts(document, result, measure),
        "losses": [(name, loss_chart(name, curve)) for name, curve in _part(document, "training").items() if curve],
        "ledger": _ledger(_part(result, "ledger")),
        "repeat": _repeat(result, run),
        "config": _flat(_part(run, "config")),
    }


def _part(document: Document, key: str) -> Document:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _measure(result: Document) -> Measure:
    first: Document = next(iter(result.get("constraints") or ()), {})
    limit = first.get("limit")
    return Measure(
        metric=str(result.get("metric", "top1_accuracy")),
        direction=str(result.get("direction", "max")),
        cost=str(first.get("cost", "macs")),
        limit=float(limit) if is_number(limit) else None,
    )


# ── what was found, and is it good ────────────────────────────────────────────────────────────────


def _tiles(result: Document, measure: Measure) -> list[dict[str, str]]:
    baseline = _part(result, "random_baseline")
    tiles = [
        _tile("test score", score(result.get("test"), measure.metric), f"{measure.metric}, held-out data, seen once")
    ]
    if _is_search(result) and not baseline.get("is_search"):
        rival = score(baseline.get("test"), measure.metric)
        tiles.append(_tile("best of random search", rival, "same limits, same retraining"))
    tiles += [
        _tile("macs", quantity(result.get("macs")), _limit_note(result, "macs")),
        _tile("params", quantity(result.get("params")), _limit_note(result, "params")),
    ]
    latency = _part(result, "latency_ms")
    for backend in list(latency) or ["latency"]:
        median = _part(latency, backend).get("median")
        text = f"{median:.3g} ms" if is_number(median) else ABSENT
        tiles.append(_tile("latency", text, f"{backend}, batch 1, median" if latency else "of one input"))
    return tiles


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _limit_note(result: Document, cost: str) -> str:
    for one in result.get("constraints") or ():
        if one.get("cost") == cost:
            return f"limit {quantity(one.get('limit'))}: {_kept(one)}"
    return "no limit"


def _kept(constraint: Document) -> str:
    return {True: "met", False: "missed"}.get(constraint.get("satisfied"), ABSENT)  # type: ignore[arg-type]


def _is_search(result: Document) -> bool:
    """Whether a search came before: `train` chooses nothing and has nothing to be compared with."""
    return result.get("recipe") != "train"


def _verdict(result: Document, measure: Measure) -> list[str]:
    """Sentences that say what the figures mean, and no more."""
    fixed = ["One given architecture, trained from scratch; nothing was chosen."]
    sentences = _comparison(result, measure) if _is_search(result) else fixed
    sentences += [f"{name} is missing: {reason}." for name, reason in _part(result, "not_exported").items()]
    return [*sentences, "One run is one seed: take small differences as ties until several seeds agree."]


def _comparison(result: Document, measure: Measure) -> list[str]:
    """What the limits and the networks beside the winner say about it."""
    test, metric = result.get("test"), measure.metric
    baseline = _part(result, "random_baseline")
    random_test = baseline.get("test")
    sentences = [_limits_sentence(result.get("constraints") or ()), *_passed_over(result.get("passed_over") or ())]
    if baseline.get("is_search"):
        sentences.append("The search was random search itself, so no other random search stands beside it.")
    elif is_number(test) and is_number(random_test):
        gain = measure.minimised(random_test) - measure.minimised(test)
        comparison = "better than" if gain > 0 else "worse than" if gain < 0 else "equal to"
        by = f"{difference(gain, metric)} " if gain else ""
        sentences.append(
            f"On held-out data the winner is {by}{comparison} the best of a random search under the same limits "
            f"({_spent(result)}), retrained in the same way."
        )
    else:
        sentences.append("A comparison with random search is not available in this run.")
    draws = _draw_scores(result)
    if is_number(test) and draws:
        n_beaten = sum(measure.minimised(test) < measure.minimised(draw) for draw in draws)
        sentences.append(f"It beats {n_beaten} of {len(draws)} architectures drawn at random and trained alike.")
    return sentences


def _spent(result: Document) -> str:
    """How many architectures each side scored, so that an unequal comparison cannot pass for an equal one."""
    own, others = (found.get("n_evaluated") for found in (result, _part(result, "random_baseline")))
    if not (is_number(own) and is_number(others)):
        return "how many architectures each scored was not recorded"
    return (
        f"{own:,} architectures scored by each" if own == others else f"{others:,} architectures scored against {own:,}"
    )


def _limits_sentence(constraints: Sequence[Document]) -> str:
    if not constraints:
        return "The search had no limit to keep."
    missed = [str(one.get("cost")) for one in constraints if one.get("satisfied") is False]
    unknown = [str(one.get("cost")) for one in constraints if one.get("satisfied") is None]
    if missed:
        return f"The winner misses the limit on {', '.join(missed)}."
    if unknown:
        return f"Whether the limit on {', '.join(unknown)} is kept was not measured."
    return "The winner keeps every limit." if len(constraints) > 1 else "The winner keeps its limit."


def _passed_over(missed: Sequence[Document]) -> list[str]:
    """Who would have won, had the prediction been right."""
    if not missed:
        return []
    listed = "; ".join(
        f"{one.get('cost')} {quantity(one.get('value'))} where {quantity(one.get('predicted'))} was predicted"
        for one in missed
    )
    return [f"Architectures that scored better missed a limit when they were measured and were passed over: {listed}."]


def _constraint_row(one: Document) -> list[str]:
    figures = [quantity(one.get(key)) for key in ("limit", "predicted", "value")]
    return [str(one.get("cost")), *figures, _kept(one)]


def _draw_scores(result: Document) -> list[float]:
    draws = _part(result, "random_baseline").get("draws") or ()
    found = [one.get("test") if isinstance(one, Mapping) else one for one in draws]
    return [float(one) for one in found if is_number(one)]


def _draws(result: Document, metric: str) -> str:
    """Mean and range of the randomly drawn, retrained architectures; empty if there are none."""
    draws = _draw_scores(result)
    if not draws:
        return ""
    low, high, mean = (score(value, metric) for value in (min(draws), max(draws), sum(draws) / len(draws)))
    return f"{len(draws)} random architectures within the limits, trained alike: mean {mean}, range {low} to {high}."


# ── tables and charts ─────────────────────────────────────────────────────────────────────────────


def _architecture(found: Any) -> dict[str, Any]:
    """Rows of name and value, or a text; a plain mapping of decisions will do as well."""
    if isinstance(found, str):
        return {"text": found, "rows": []}
    if isinstance(found, Mapping):
        return {"text": "", "rows": [(str(name), _plain(value)) for name, value in found.items()]}
    return {"text": "", "rows": [(str(row.get("name")), _plain(row.get("value"))) for row in found or ()]}


def _table(rows: Sequence[Document]) -> dict[str, Any]:
    """Columns in the order in which the rows first name them; counts are written short."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [
        [quantity(row[key]) if is_number(row.get(key)) else _plain(row.get(key)) for key in columns] for row in rows
    ]
    return {"columns": columns, "rows": cells}


def _charts(document: Document, result: Document, measure: Measure) -> list[tuple[str, Markup]]:
    trials = _part(document, "trials")
    search, baseline = trials.get("search") or (), trials.get("baseline") or ()
    if not search and not baseline:
        return []
    winner = result.get("arch")
    return [
        ("Best score within the limit, by evaluations spent", best_so_far_chart(search, baseline, measure)),
        (
            f"All architectures: {measure.metric} against {measure.cost}",
            trade_off_chart(search, baseline, winner, measure),
        ),
    ]


def _ledger(ledger: Document) -> dict[str, Any]:
    walls = {phase: row.get("wall_s") for phase, row in ledger.items()}
    total = sum(wall for wall in walls.values() if is_number(wall))
    rows = [
        {
            "phase": phase,
            "wall": duration(row.get("wall_s")),
            "cpu": duration(row.get("cpu_s")),
            "memory": f"{row['peak_rss_mb']:,.0f} MB" if is_number(row.get("peak_rss_mb")) else ABSENT,
            "percent": round(100 * walls[phase] / total, 1) if total and is_number(walls[phase]) else 0,
        }
        for phase, row in ledger.items()
    ]
    return {"rows": rows, "total": duration(total)}


def _repeat(result: Document, run: Document) -> list[tuple[str, str]]:
    command = run.get("command")
    versions, host = _part(run, "versions"), _part(run, "host")
    rows = [
        (
            "command",
            shlex.join(map(str, command)) if isinstance(command, Sequence) and command else "started from Python",
        ),
        ("seed", _plain(run.get("seed", result.get("seed")))),
        ("threads", _plain(run.get("threads"))),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in host.items())),
        ("started", _plain(run.get("started"))),
        ("evaluated", _plain(result.get("n_evaluated"))),
    ]
    return [(name, value) for name, value in rows if value]


def _flat(config: Document, prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in config.items():
        nested = isinstance(value, Mapping) and value
        rows += _flat(value, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", _plain(value))]
    return rows


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)
