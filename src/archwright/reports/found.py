"""Figures and sentences about what a run found and how good it is; they claim only what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archwright.reports.charts import Table
from archwright.reports.measures import Document, Measure, Trials, part, parts, sequence
from archwright.reports.text import ABSENT, difference, duration, is_number, quantity, score
from archwright.runs.record import CODE_CHANGES

MIN_SAME = 3
"""Fewest decisions that must have the same value for an architecture to count as uniform."""


# ── figures ───────────────────────────────────────────────────────────────────────────────────────


def tiles(result: Document, measure: Measure) -> list[dict[str, str]]:
    """The few most important figures, for the top of the page."""
    baseline = part(result, "random_baseline")
    found = [
        _tile("test score", score(result.get("test"), measure.metric), f"{measure.metric}, held-out data, seen once")
    ]
    if is_search(result) and not baseline.get("is_search"):
        rival = score(baseline.get("test"), measure.metric)
        found.append(_tile("best of random search", rival, f"same limits, same {_told(result, 0)}"))
    if "test" in (plain := part(result, "plain_baseline")):
        found.append(_tile("plain network", score(plain["test"], measure.metric), _plain_name(plain)))
    found += [
        _tile("macs", quantity(result.get("macs")), _limit_note(result, "macs")),
        _tile("params", quantity(result.get("params")), _limit_note(result, "params")),
    ]
    latency = part(result, "latency_ms")
    for backend in list(latency) or ["latency"]:
        median = part(latency, backend).get("median")
        text = f"{median:.3g} ms" if is_number(median) else ABSENT
        found.append(_tile("latency", text, f"{backend}, batch 1, median" if latency else "of one input"))
    return [*found, *_int8_tile(part(result, "int8"), measure)]


def _int8_tile(int8: Document, measure: Measure) -> list[dict[str, str]]:
    """The test score of the 8-bit file, with its speed and its likeness to the float one; none without such a file."""
    if not is_number(int8.get("test")):
        return []
    taken = [one.get("median") for one in part(int8, "latency_ms").values() if isinstance(one, Mapping)]
    notes = [f"{median:.3g} ms" for median in taken if is_number(median)]
    if is_number(int8.get("agreement")):
        notes.append(f"agrees on {100 * int8['agreement']:.1f} % of {int8.get('agreement_on')}")
    return [_tile("test score in int8", score(int8["test"], measure.metric), ", ".join(notes))]


def constraint_rows(result: Document) -> list[list[str]]:
    """One row for each limit: cost, limit, predicted and measured value, their difference, and whether it is kept."""
    return [
        [
            str(one.get("cost")),
            *(quantity(one.get(key)) for key in ("limit", "predicted", "value")),
            _deviation(one.get("predicted"), one.get("value")),
            kept_text(one),
        ]
        for one in parts(result, "constraints")
    ]


def winners_table(result: Document, measure: Measure) -> Table:
    """A row a winner of a run that looked for several, each with its own limits; no row where it looked for one."""
    winners = parts(result, "selected")
    columns = ("limits", "test", "best of random search", "plain network", "macs", "params", "files")
    rows = [
        [
            "; ".join(map(_limit_text, parts(one, "constraints"))),
            score(one.get("test"), measure.metric),
            score(part(one, "random_baseline").get("test"), measure.metric),
            score(part(one, "plain_baseline").get("test"), measure.metric),
            quantity(one.get("macs")),
            quantity(one.get("params")),
            str(one.get("folder", "best")),
        ]
        for one in winners
    ]
    return Table(columns, rows if len(winners) > 1 else [])


def _limit_text(limit: Document) -> str:
    return f"{limit.get('cost')} <= {quantity(limit.get('limit'))}: {kept_text(limit)}"


def pareto_table(result: Document, measure: Measure) -> Table:
    """Trials that no other one dominates, best first: the goals, then the costs that are no goals."""
    front = parts(result, "pareto")
    goals = list(dict.fromkeys(name for one in front for name in part(one, "goals")))
    costs = list(dict.fromkeys(name for one in front for name in part(one, "costs") if name not in goals))

    def figure(one: Document, kind: str, name: str) -> str:
        value = part(one, kind).get(name)
        return score(value, name) if name == measure.metric else quantity(value)

    rows = [
        [
            str(one.get("number")),
            str(one.get("code")),
            *(figure(one, "goals", name) for name in goals),
            *(figure(one, "costs", name) for name in costs),
        ]
        for one in front
    ]
    return Table(("trial", "code", *goals, *costs), rows)


def is_search(result: Document) -> bool:
    """Whether the run is a search; `train` chooses nothing, so its result is compared with nothing."""
    return result.get("recipe") != "train"


_BY_PROVENANCE = {
    "scratch": ("retraining", "trained alike", "retrained"),
    "fine-tuned": ("fine-tuning", "fine-tuned alike", "fine-tuned"),
    "inherited": ("way to its weights", "with weights of the search too", "given the weights of the search"),
}
"""How networks came by their final weights: as a noun, said of others beside the winner, and as a participle."""


def _told(result: Document, form: int) -> str:
    return _BY_PROVENANCE.get(str(result.get("provenance")), _BY_PROVENANCE["scratch"])[form]


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _limit_note(result: Document, cost: str) -> str:
    for one in parts(result, "constraints"):
        if one.get("cost") == cost:
            return f"limit {quantity(one.get('limit'))}: {kept_text(one)}"
    return "no limit"


def kept_text(constraint: Document) -> str:
    """A text that says whether a limit is kept."""
    satisfied = constraint.get("satisfied")
    return "met" if satisfied is True else "missed" if satisfied is False else ABSENT


def _deviation(predicted: Any, value: Any) -> str:
    if not (is_number(predicted) and is_number(value)) or not predicted:
        return ABSENT
    return "exact" if predicted == value else f"{100 * (value / predicted - 1):+.1f} %"


# ── sentences ─────────────────────────────────────────────────────────────────────────────────────


def verdict(result: Document, measure: Measure) -> list[str]:
    """Sentences that say what the figures mean."""
    sentences = _comparison(result, measure) if is_search(result) else [_fixed(result)]
    sentences += [f"{name} is missing: {reason}." for name, reason in part(result, "not_exported").items()]
    if uncounted := sequence(result.get("uncounted")):
        listed = ", ".join(map(str, uncounted))
        sentences.append(f"Multiply-accumulates leave out operations that no rule counts: {listed}.")
    if changes := parts(result, CODE_CHANGES):
        when = ", ".join(str(one.get("time")) for one in changes)
        sentences.append(f"The code of the space was edited during the run ({when}): its parts are not of one code.")
    return [*sentences, "One run is one seed: take small differences as ties until several seeds agree."]


def _fixed(result: Document) -> str:
    """How one given architecture was trained."""
    weights = part(result, "weights")
    if not weights:
        return "One given architecture, trained from scratch; nothing was chosen."
    fresh = ", ".join(str(name) for name in sequence(weights.get("fresh")))
    anew = f" Its layers {fresh} began anew." if fresh else ""
    return f"One given architecture, trained on from the weights of {weights.get('file')}; nothing was chosen.{anew}"


def draws_text(result: Document, metric: str) -> str:
    """A text with mean and range of the randomly drawn, retrained architectures; empty if there are none."""
    draws = draw_scores(result)
    if not draws:
        return ""
    if len(draws) == 1:
        return f"One random architecture within the limits, {_told(result, 1)}: {score(draws[0], metric)}."
    low, high, mean = (score(value, metric) for value in (min(draws), max(draws), sum(draws) / len(draws)))
    drawn = f"{len(draws)} random architectures within the limits, {_told(result, 1)}"
    return f"{drawn}: mean {mean}, range {low} to {high}."


def draw_scores(result: Document) -> list[float]:
    """Test scores of the randomly drawn, retrained architectures."""
    draws = sequence(part(result, "random_baseline").get("draws"))
    found = [one.get("test") if isinstance(one, Mapping) else one for one in draws]
    return [float(one) for one in found if is_number(one)]


def _comparison(result: Document, measure: Measure) -> list[str]:
    """What the limits and the networks beside the winner say about it."""
    sentences = [_limits_sentence(parts(result, "constraints")), *_passed_over(parts(result, "passed_over"))]
    return [
        *sentences,
        *_against_random(result, measure),
        *_spread(result, measure),
        *_against_plain(part(result, "plain_baseline"), result.get("test"), measure),
    ]


def _against_random(result: Document, measure: Measure) -> list[str]:
    test, baseline = result.get("test"), part(result, "random_baseline")
    rival = baseline.get("test")
    if baseline.get("is_search"):
        return ["The search was random search itself, so no other random search stands beside it."]
    if not (is_number(test) and is_number(rival)):
        return ["A comparison with random search is not available in this run."]
    gain = measure.minimised(rival) - measure.minimised(test)
    comparison = "better than" if gain > 0 else "worse than" if gain < 0 else "equal to"
    by = f"{difference(gain, measure.metric)} " if gain else ""
    return [
        f"On held-out data the winner is {by}{comparison} the best of a random search under the same limits "
        f"({_spent(result)}), {_told(result, 2)} in the same way."
    ]


def _against_plain(plain: Document, test: Any, measure: Measure) -> list[str]:
    """Whether the search was worth its time; nothing of runs from before there was a plain baseline."""
    if "reason" in plain:
        return [f"No plain network stands beside the winner: {plain['reason']}."]
    rival = plain.get("test")
    if not (is_number(test) and is_number(rival)):
        return []
    gain = measure.minimised(rival) - measure.minimised(test)
    bound = "built for the same limits" if parts(plain, "constraints") else "of no more multiply-accumulates"
    name = f"a plain network {bound} ({_plain_name(plain)}) and trained from scratch by the same final training"
    if gain > 0:
        return [f"The winner is {difference(gain, measure.metric)} better than {name}."]
    how = f"{difference(gain, measure.metric)} better than" if gain else "as good as"
    return [
        f"{name[0].upper()}{name[1:]} is {how} the winner: this run does not show that searching was worth its time."
    ]


def _plain_name(plain: Document) -> str:
    return f"{plain.get('space')}, {quantity(plain.get('macs'))} macs"


def _spread(result: Document, measure: Measure) -> list[str]:
    """Whether the winner stands out from networks that nobody chose."""
    test, draws, metric = result.get("test"), draw_scores(result), measure.metric
    if not is_number(test) or not draws:
        return []
    n_beaten = sum(measure.minimised(test) < measure.minimised(draw) for draw in draws)
    beaten = f"It beats {n_beaten} of {len(draws)} architectures drawn at random and {_told(result, 1)}."
    if len(draws) < 2 or n_beaten == len(draws):
        return [beaten]
    span = f"{score(min(draws), metric)} to {score(max(draws), metric)}"
    where = "within" if min(draws) <= test <= max(draws) else "below"
    below = "The winner is worse than every one of them" if where == "below" else "The winner lies within their spread"
    return [beaten, f"{below} ({span}): this run does not show that searching helped."]


def _spent(result: Document) -> str:
    """How many architectures each side scored, so that an unequal comparison cannot pass for an equal one."""
    own, others = (found.get("n_evaluated") for found in (result, part(result, "random_baseline")))
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


# ── networks that choose the same everywhere ──────────────────────────────────────────────────────


def same_choice_rows(trials: Trials, result: Document, measure: Measure) -> list[list[str]]:
    """Scores of uniform architectures, whose decisions of one kind all have the same value: the simplest rivals.

    Decisions are of one kind if the trials give them the same values. Nothing is trained for this table, so it has
    only the uniform architectures that occur among the trials and random draws.

    Args:
        trials: The trials of the search.
        result: The run's result, with its winner and its random draws.
        measure: The run's metric.

    Returns:
        Rows of the choice, the search's own score, and the test score.
    """
    seen: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in part(trial, "arch").items():
            seen.setdefault(str(name), set()).add(repr(value))
    kinds: dict[frozenset[str], list[str]] = {}
    for name, values in seen.items():
        if len(values) > 1:
            kinds.setdefault(frozenset(values), []).append(name)
    groups = [names for names in kinds.values() if len(names) >= MIN_SAME]
    baseline = part(result, "random_baseline")
    tested = [result, baseline, *parts(baseline, "draws")]
    scored = [(trial.get("arch"), measure.score(trial), None) for trial in trials]
    scored += [(one.get("arch"), one.get("validation"), one.get("test")) for one in tested]
    rows: dict[str, list[Any]] = {}
    for arch, estimate, test in scored:
        choice = _same_choice(arch, groups) if isinstance(arch, Mapping) and groups else ""
        if choice:
            row = rows.setdefault(choice, [None, None])
            row[:] = [estimate if row[0] is None else row[0], test if row[1] is None else row[1]]
    return [[choice, *(score(value, measure.metric) for value in row)] for choice, row in list(rows.items())[:20]]


def _same_choice(arch: Mapping[str, Any], groups: Sequence[Sequence[str]]) -> str:
    """The one value of each group; empty where a group has several."""
    values = []
    for names in groups:
        active = [name for name in names if name in arch]
        chosen = {repr(arch[name]): arch[name] for name in active}
        if len(chosen) != 1 or len(active) < MIN_SAME:
            return ""
        values += [str(value) for value in chosen.values()]
    return ", ".join(values)


# ── where the time went ───────────────────────────────────────────────────────────────────────────


def ledger_view(ledger: Document) -> dict[str, Any]:
    """Rows of the phases, each with its share of the total time, and the totals."""
    entries = {str(phase): entry for phase, entry in ledger.items() if isinstance(entry, Mapping)}
    totals = {key: _sum(entry.get(key) for entry in entries.values()) for key in ("wall_s", "cpu_s")}
    most = max([1e-9, *(float(v) for e in entries.values() for v in (e.get("wall_s"), e.get("cpu_s")) if is_number(v))])
    rows = [
        {
            "phase": phase,
            "wall": duration(entry.get("wall_s")),
            "cpu": duration(entry.get("cpu_s")),
            "memory": f"{entry['peak_rss_mb']:,.0f} MB" if is_number(entry.get("peak_rss_mb")) else ABSENT,
            "wall_percent": _percent(entry.get("wall_s"), most),
            "cpu_percent": _percent(entry.get("cpu_s"), most),
            "share": f"{_percent(entry.get('wall_s'), totals['wall_s']):.0f} %",
        }
        for phase, entry in entries.items()
    ]
    return {"rows": rows, "wall": duration(totals["wall_s"]), "cpu": duration(totals["cpu_s"])}


def _sum(values: Any) -> float:
    return float(sum(value for value in values if is_number(value)))


def _percent(value: Any, whole: float) -> float:
    return round(100 * value / whole, 1) if whole and is_number(value) else 0.0
