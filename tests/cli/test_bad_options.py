"""Every option of every command, given what it cannot take."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from archwright.cli.app import app
from archwright.core import catalog
from archwright.core.config import settings_of
from archwright.training.config import OptimizerConfig

LONG, NUL, DEVICE = "x" * 5000, "a\0b", "/dev/null"
HUGE = "9" * 30
CONTROL = "a\x1b[31m\nb\u202e"

SEARCH = ("search", "spos", "--preset", "smoke", "--threads", "1", "--device", "cpu", "--dry-run")
ARCH = "spos-block"
TRAIN = ("train", "spos:0000000000", "--preset", "smoke", "--threads", "1", "--device", "cpu", "--dry-run")
PROFILE = ("profile", "spos", "-o", "table.json")
BENCH = ("bench", "lenet", "--table", "table.csv", "--signal", "val", "--truth", "test", "--evals", "2", "--seeds", "1")

NAMES = ("", "nothing-of-that-name", LONG, CONTROL, "名前", "../..", NUL, "x" * 300 + ".py:Class", "missing.py:Class")
COUNTS = ("", "x", "-1", "0", "1.5", "nan", "inf", HUGE, CONTROL)
FOLDERS = (
    ("", "'' names nothing"),
    (NUL, "can be no path"),
    (LONG, "cannot be looked up"),
    ("loop", "cannot be looked up"),
)
NO_RUN = (*FOLDERS, ("missing", ""), ("empty", ""), ("file", ""), (DEVICE, ""), ("other", ""))
OUTPUTS = (*FOLDERS, ("empty", "is a folder"), (DEVICE, "no regular file"), ("file/x", "takes files"))
SETTINGS = (
    *("", "x", "=", "=1", "nothing=1", f"{LONG}=1", f"{CONTROL}=1", "seed=1", f"{NUL}=1"),
    *(
        "threads=",
        "threads=0",
        "threads=1e300",
        f"threads={HUGE}",
        "threads=x",
        "device=x",
        "device=",
        f"device={CONTROL}",
    ),
)
SPACE_SETTINGS = (
    *("", "x", "=", "=1", ",", "nothing=1", f"{LONG}=1", f"{CONTROL}=1", f"{NUL}=1", "affine=true,affine=true"),
    *("affine=", "affine=x", f"affine={CONTROL}", "dropout=x", "dropout=nan", "dropout=2", f"dropout={LONG}", "form=x"),
    *("input_shape=x", "n_classes=0", f"n_classes={HUGE}"),
)
AUGMENTS = ("", "x", "crop,", "crop,crop", "none,crop", LONG, CONTROL)
TIMES = ("", "x", "0", "-1m", "nan", "inf", "1e999", f"{HUGE}h", LONG, NUL, CONTROL)
TRAININGS = {
    "steps": ("", "x", "0", "-1", "1.5", "1e300", "inf", "none", CONTROL),
    "epochs": ("0", "1", "x", "1e300"),
    "batch_size": ("0", "-5", "1e300", "x", LONG),
    "augment": AUGMENTS,
    "optimizer": ("", "x", "none"),
    "learning_rate": ("0", "-1", "inf", "nan", "x"),
    "muon_rate": ("0", "-1", "inf", "nan", "x"),
    "momentum": ("1", "-1", "x"),
    "dampening": ("1", "-1", "x"),
    "nesterov": ("", "2", "maybe"),
    "betas": ("", "1", "1,2,3", "0.9,1", "a,b"),
    "amsgrad": ("", "x"),
    "squares_decay": ("1", "-1", "x"),
    "centered": ("", "x"),
    "eps": ("-1", "inf", "x"),
    "weight_decay": ("-1", "inf", "x"),
    "decay_norm_and_bias": ("", "x"),
    "schedule": ("", "x"),
    "warmup_steps": ("-1", "100", "x", HUGE),
    "warmup_from": ("-1", "1e9", "x"),
    "final_learning_rate": ("-1", "1e9", "x"),
    "step_milestones": ("2", "0.5,0.1", "x", "0"),
    "step_gamma": ("0", "2", "x"),
    "power": ("0", "inf", "x"),
    "restart_period": ("0", "-1", "x"),
    "restart_factor": ("0", "inf", "x"),
    "accumulate": ("0", "-1", "1.5", "1e300"),
    "label_smoothing": ("1", "-1", "x"),
    "ema_decay": ("1", "-1", "x"),
    "average_from": ("1", "-1", "x"),
    "clip_norm": ("0", "inf", "x"),
    "channels_last": ("", "x"),
    "precision": ("", "x"),
}
SHARED = {
    "limits": ("x", "macs", "macs:0", "macs:1:2", "nothing:1", "macs:2M,macs:3M", "macs:1"),
    "space": NAMES,
    "space_args": ("", "x", "[]", "1", '{"nothing": 1}', '{"n_classes": 3}', '{"affine": 2}', '{"dropout": "x"}'),
    "goals": ("x", "nothing,macs"),
    "time_s": ("0", "-1", "inf", "nan", "x", "1e300"),
    "plan": ("", "x", "[]", "1", '{"supernet": 0}', '{"supernet": "x"}', '{"supernet": 1e300}'),
    "final": ("", "x", "none"),
    "weights": ("", "missing", "empty", "file", DEVICE, LONG, NUL, CONTROL),
    "ignore": ("x", LONG, CONTROL),
    "averaged": ("", "x", "true"),
    "allow_uncounted": ("", "x"),
    "zero_cost": ("x", "none", LONG),
    "zero_cost_pool": ("0", "-1", "x", "1e300"),
    "n_draws": ("-1", "x", "1e300"),
    "plain": ("", "x", "2"),
    "int8": ("", "x", "2"),
    "int8_agreement": ("-1", "2", "x", "nan"),
    "latency_table": ("", "missing.json", "empty", "file", DEVICE, LONG, NUL, CONTROL),
    "profile.backend": ("", "x"),
    "profile.threads": ("0", "x", "1e300"),
    "profile.warmup": ("-1", "x", "1e300"),
    "profile.repeats": ("0", "x", "1e300"),
    "profile.n_fitted": ("0", "x", "1e300"),
    "profile.n_checked": ("-1", "x", "1e300"),
}
AGING = {
    "evolution.population": ("0", "x", "1e300"),
    "evolution.sample": ("0", "x", "1e300"),
    "evolution.cycles": ("0", "1", "x", "1e300"),
    "evolution.aging": ("", "x"),
    "evolution.identity_probability": ("-1", "2", "x"),
    "evolution.lookahead": ("0", "x", "1e300"),
}
CALIBRATION = {
    "calibration.augment": AUGMENTS,
    "calibration.batches": ("0", "x", "1e300"),
    "calibration.batch_size": ("0", "x", "1e300"),
}
OPTIMIZER = {
    **{f"controller.optimizer.{field.name}": TRAININGS[field.name] for field in fields(OptimizerConfig)},
    "controller.optimizer.warmup_steps": ("-1", "x"),
}
CONTROLLED = {
    **OPTIMIZER,
    **{f"controller.{name}": ("0", "x", "1e300") for name in ("every", "steps", "children")},
    **{f"controller.{name}": ("-1", "nan", "x") for name in ("entropy", "skip_weight", "scale")},
    "controller.baseline_decay": ("1", "-1", "x"),
    "controller.skip_target": ("0", "1", "x"),
    "n_derived": ("0", "x", "1e300"),
    **CALIBRATION,
}
GRADIENT = {
    **{f"alpha.optimizer.{field.name}": TRAININGS[field.name] for field in fields(OptimizerConfig)},
    "alpha.optimizer.warmup_steps": ("-1", "x"),
    **{f"alpha.{name}": ("", "x") for name in ("level", "order", "paths", "pressure.form", "pressure.sampled")},
    "alpha.every": ("0", "x", "1e300"),
    **{f"alpha.{name}": ("1", "-1", "x") for name in ("share", "warmup")},
    "alpha.pressure.cost": ("nothing", CONTROL),
    "alpha.pressure.exponent": ("nan", "1e9", "x"),
    "alpha.pressure.least": ("2", "-1", "x"),
    "alpha.pressure.reference": ("0", "-1", "inf", "x"),
    "alpha.pressure.weight": ("-1", "nan", "x"),
    **{f"watch.{name}": ("0", "x", "1e300") for name in ("looks", "skips", "window", "iterations")},
    "watch.ratio": ("0", "2", "x"),
    **dict.fromkeys(("aims_at_limits", "derive", "stop"), ("", "x")),
    **{f"mixing.{name}": ("", "x") for name in ("edge_weights", "hard", "kind", "temperature.shape")},
    "mixing.paths": ("0", "3", "x"),
    "mixing.spread": ("-1", "nan", "x"),
    "mixing.stages": ("", "0", "3,5", "x"),
    **{f"mixing.temperature.{name}": ("0", "-1", "inf", "x") for name in ("start", "end")},
    "n_derived": ("0", "x", "1e300"),
    **CALIBRATION,
}
REINFORCE = {
    **{f"reinforce.{name}": ("0", "x", "1e300") for name in ("n_trials", "hidden", "layers", "children", "replicas")},
    **{f"reinforce.{name}": ("0", "x", "1e300") for name in ("shards", "accumulate", "ppo_epochs")},
    **{
        f"reinforce.{name}": ("0", "nan", "x")
        for name in ("temperature", "tanh_constant", "learning_rate", "clip_norm")
    },
    **{f"reinforce.{name}": ("-1", "nan", "x") for name in ("spread", "entropy")},
    **{f"reinforce.{name}": ("", "x") for name in ("policy", "update", "reward.form")},
    "reinforce.baseline_decay": ("1", "-1", "x"),
    "reinforce.ppo_clip": ("0", "nan", "x"),
    "reinforce.reward.scale": ("0", "inf", "x"),
    "reinforce.reward.cost": ("",),
    "reinforce.reward.target": ("0", "-1", "inf", "x"),
}
OWN: dict[str, dict[str, tuple[str, ...]]] = {
    "nas-rl": {**REINFORCE, "best_of": ("0", "x", "1e300")},
    "nas-rl-rnn": REINFORCE,
    "nasnet": REINFORCE,
    "mnasnet": REINFORCE,
    "enas-macro": CONTROLLED,
    "enas-micro": CONTROLLED,
    "enas-rnn": CONTROLLED,
    "darts": GRADIENT,
    "darts-first-order": GRADIENT,
    "darts-rnn": GRADIENT,
    "snas": {**GRADIENT, "constraint": ("", "x"), "resource": ("", "x"), "is_log": ("", "x")},
    "fbnet": GRADIENT,
    "proxylessnas": GRADIENT,
    "proxylessnas-rl": {**CONTROLLED, "exponent": ("-1", "nan", "x"), "least_of_limit": ("2", "-1", "x")},
    "path-dropout": {
        "rate": ("1", "-1", "x"),
        "ghost": ("0", "5", "x", "1e300"),
        "n_trials": ("0", "x", "1e300"),
        **CALIBRATION,
    },
    "spos": {
        "bin_edges": ("x", "1", "2,1", "1,inf"),
        "n_bins": ("0", "-1", "x", "1e300"),
        "least_of_limit": ("-1", "1", "x", "nan"),
        **CALIBRATION,
        "evolution.population": ("0", "x", "1e300"),
        "evolution.top": ("0", "x", "1e300"),
        "evolution.mutations": ("-1", "x", "1e300"),
        "evolution.crossovers": ("-1", "x", "1e300"),
        "evolution.mutation_probability": ("-1", "2", "x"),
        "evolution.generations": ("-1", "x", "1e300"),
    },
    "auto": {"lengths": ("", "x", "paper")},
    "random": {"n_trials": ("0", "-1", "x", "1e300")},
    "grid": {"grid.n_trials": ("0", "x", "1e300"), "grid.levels": ("1", "x", "1e300")},
    "regularized-evolution": AGING,
    "lamarckian": {**AGING, "child_steps": ("0", "-1", "x", "1e300")},
    "nsga2": {
        "nsga2.population": ("1", "x", "1e300"),
        "nsga2.generations": ("-1", "x", "1e300"),
        "nsga2.crossover_probability": ("-1", "2", "x"),
    },
    "predictor": {
        "n_trials": ("0", "x", "1e300"),
        "predictor.predictor": ("", "x"),
        "predictor.encoding": ("", "x"),
        "predictor.acquisition": ("", "x"),
        "predictor.beta": ("-1", "nan", "x"),
        "predictor.start": ("0", "x", "1e300"),
        "predictor.pool": ("1", "x", "1e300"),
        "predictor.parents": ("0", "x", "1e300"),
    },
    "asha": {
        "halving.budgets": ("", "x", "3,2", "0,1"),
        "halving.eta": ("1", "x", "1e300"),
        "halving.n_trials": ("0", "x", "1e300"),
        "halving.lookahead": ("0", "x", "1e300"),
    },
}
"""Settings by recipe; those of the trainings and `SHARED` come to them."""

SUPERNETS = ("spos", "enas-macro", "enas-micro", "enas-rnn", "proxylessnas-rl", "path-dropout")
BY_GRADIENT = ("darts", "darts-first-order", "darts-rnn", "snas", "fbnet", "proxylessnas")
TRAINED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SUPERNETS, ("supernet",)),
    **dict.fromkeys(BY_GRADIENT, ("supernet", "candidate")),
    "auto": (),
}
GROUPS = {recipe: (*TRAINED.get(recipe, ("training",)), "retrain") for recipe in OWN}
DATA = (
    *(
        "",
        ":",
        "nothing",
        "npz",
        "npz:",
        "digits:x",
        "folder:",
        "torchvision:MNIST",
        "torchvision::x",
        LONG,
        NUL,
        CONTROL,
    ),
    *(
        f"{kind}:{path}"
        for kind in ("npz", "folder")
        for path in ("missing", "empty", "file", DEVICE, LONG, NUL, "loop")
    ),
    *("torchvision:Nothing:empty", f"torchvision:MNIST:{LONG}", "torchvision:MNIST:file", "torchvision:MNIST:empty"),
    *("torchvision:CIFAR10:empty", "torchvision:SVHN:empty", "torchvision:DTD:empty"),
)
DEVICES = ("", "x", "cuda:x", f"cuda:{HUGE}", "meta", "cpu:-1", LONG, NUL, CONTROL)
SHAPES = ("", "x", "3", "3x", "3x0x3", "-3x8x8", "3x8x8x8x8x8x8x8x8x8x8", f"3x{HUGE}x8", "٣x8x8", LONG, NUL, CONTROL)
LIMITS = ("", "0", "-1", "x", "nan", "inf", "1e999", "1,2", LONG, NUL, CONTROL, "1")


def _after(base: tuple[str, ...], option: str, values: Any) -> list[tuple[str, ...]]:
    return [(*base, option, value) for value in values]


def _own_settings() -> Iterator[tuple[str, ...]]:
    """Rows of the recipes' own settings; what several recipes share is tried in the first."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for recipe, own in OWN.items():
        for name, values in own.items():
            if (name, values) not in seen:
                seen.add((name, values))
                yield from ((SEARCH[0], recipe, *SEARCH[2:], "--set", f"{name}={value}") for value in values)


def _paths(values: Any) -> tuple[str, ...]:
    return tuple(value for value, _ in values)


ROWS: dict[tuple[str, str], list[tuple[str, ...]]] = {
    ("search", "recipe"): [("search", name, "--dry-run") for name in NAMES],
    ("search", "data"): _after(SEARCH, "--data", DATA),
    ("search", "val_images"): _after(SEARCH, "--val-images", (*COUNTS, "100k")),
    ("search", "input_"): _after(SEARCH, "--input", (*SHAPES, "1x8x8")),
    ("search", "space"): _after(SEARCH, "--space", (*NAMES, "os:path", "file.py:X", ":", "..:x", "empty.py:X")),
    ("search", "space_set"): [
        *_after(SEARCH, "--space-set", (*SPACE_SETTINGS, "n_classes=3")),
        ("search", "auto", "--dry-run", "--space-set", "affine=true"),
    ],
    ("search", "preset"): _after((*SEARCH[:2], "--dry-run"), "--preset", ("", "fast", LONG, NUL, CONTROL)),
    ("search", "limit"): _after(
        SEARCH, "--limit", ("", "x", "=1", "macs", *(f"macs={value}" for value in LIMITS), "nothing=1", f"{CONTROL}=1")
    ),
    ("search", "max_macs"): [
        *_after(SEARCH, "--max-macs", LIMITS),
        (*SEARCH, "--max-macs", "20M", "--limit", "macs=20M"),
    ],
    ("search", "max_params"): _after(SEARCH, "--max-params", LIMITS),
    ("search", "max_latency_ms"): _after(
        SEARCH, "--max-latency-ms", [value for value in LIMITS if value not in ("1", "1,2")]
    ),
    ("search", "goal"): [*_after(SEARCH, "--goal", NAMES), (*SEARCH, "--goal", "macs", "--goal", "macs")],
    ("search", "seed"): _after(SEARCH, "--seed", ("", "x", "-1", "1.5", HUGE, NUL, CONTROL)),
    ("search", "out"): [
        *_after(SEARCH[:-1], "--out", (*_paths(FOLDERS), "file", "file/x", "other", DEVICE, "missing.link/x")),
        *_after(SEARCH, "--out", _paths(FOLDERS)),
    ],
    ("search", "resume"): [(*SEARCH, "--resume"), (*SEARCH[:-1], "--resume", "--out", "other")],
    ("search", "augment"): _after(SEARCH, "--augment", AUGMENTS),
    ("search", "time"): _after(SEARCH, "--time", (*TIMES, "1s")),
    ("search", "plan"): _after(SEARCH, "--plan", _paths(NO_RUN)),
    ("search", "workers"): _after(SEARCH, "--workers", (*COUNTS, "100000")),
    ("search", "trial_timeout"): _after(SEARCH, "--trial-timeout", ("", "x", "-1", "0", "nan", "inf", NUL, CONTROL)),
    ("search", "weights"): _after(
        SEARCH, "--weights", ("", "missing", "empty", "file", "file.json", DEVICE, LONG, NUL, CONTROL)
    ),
    ("search", "ignore"): _after(SEARCH, "--ignore", ("", "x", LONG, CONTROL)),
    ("search", "averaged"): [(*SEARCH, "--averaged"), (*SEARCH, "--averaged=yes")],
    ("search", "allow_uncounted"): [(*SEARCH, "--allow-uncounted=yes"), (*SEARCH, "--no-allow-uncounted")],
    ("search", "accept_code_change"): [(*SEARCH, "--accept-code-change=yes")],
    ("search", "threads"): _after(SEARCH, "--threads", (*COUNTS, "100000")),
    ("search", "device"): _after(
        SEARCH, "--device", ("", "x", "cuda:x", f"cuda:{HUGE}", "meta", "cpu:-1", LONG, NUL, CONTROL)
    ),
    ("search", "dry_run"): [(*SEARCH, "--no-dry-run"), (*SEARCH[:-1], "--dry-run=yes")],
    ("search", "set_"): [
        *_after(SEARCH, "--set", SETTINGS),
        *(
            (*SEARCH, "--set", f"{group}.{name}={value}")
            for group in ("supernet", "retrain")
            for name, values in TRAININGS.items()
            for value in values
        ),
        *((*SEARCH, "--set", f"{name}={value}") for name, values in SHARED.items() for value in values),
        *_own_settings(),
        (*SEARCH, "--set", "n_bins=2", "--set", "n_bins=3"),
        (*SEARCH, "--set", "supernet=1"),
    ],
    ("status", "folder"): [("status", value) for value in _paths(NO_RUN) if value != "empty"],
    ("status", "json"): [("status", "missing", "--json"), ("status", "--json=x", "missing")],
    ("list", "kind"): [("list", name) for name in NAMES],
    ("list", "json"): [("list", "--json=x"), ("list", "nothing", "--json")],
    ("describe", "space"): [("describe", name) for name in (*NAMES, "os:path", "file.py:X", ":", "..:x", DEVICE)],
    ("describe", "space_set"): _after(("describe", "spos"), "--space-set", SPACE_SETTINGS),
    ("describe", "json"): [("describe", "nothing", "--json"), ("describe", "spos", "--json=x")],
    ("cost", "arch"): [
        ("cost", name)
        for name in (
            *(
                *NAMES,
                "missing.json",
                "empty",
                "file",
                "file.json",
                "list.json",
                "empty.json",
                "loop.json",
                DEVICE,
                "/dev/zero",
            ),
            *("spos:", "spos:x", f"spos:{LONG}", f"spos:{CONTROL}", "nothing:0", "nasbench201:15625", "nasbench201:-1"),
            *("nasbench201:|x~0|", "nasbench201-size:8:8", "nasbench201-size:7:8:8:8:8", "missing.py:Class:0"),
        )
    ],
    ("cost", "input"): _after(("cost", ARCH), "--input", (*SHAPES, "3x3x3")),
    ("cost", "classes"): _after(("cost", ARCH), "--classes", (*COUNTS, "10000000")),
    ("cost", "space_set"): _after(("cost", ARCH), "--space-set", SPACE_SETTINGS),
    ("cost", "latency"): [("cost", "nothing", "--latency"), ("cost", ARCH, "--latency=x")],
    ("cost", "table"): [
        *_after(("cost", ARCH, "--latency"), "--table", _paths(NO_RUN)),
        *_after(("cost", ARCH, "--latency"), "--table", ("file.json", "list.json", "empty.json")),
        ("cost", ARCH, "--table", "empty.json"),
    ],
    ("cost", "json"): [("cost", "nothing", "--json"), ("cost", ARCH, "--json=x")],
    ("draw", "arch"): [
        ("draw", name)
        for name in (*NAMES, "missing.json", "file", "file.json", "/dev/zero", "spos:", f"spos:{LONG}", "nothing:0")
    ],
    ("draw", "output"): [
        *_after(("draw", ARCH), "-o", (*_paths(OUTPUTS), "x.pdf", f"{NUL}.svg", f"{LONG}.svg", "file/x.svg", ".svg")),
    ],
    ("draw", "input"): _after(("draw", ARCH), "--input", (*SHAPES, "3x3x3")),
    ("draw", "classes"): _after(("draw", ARCH), "--classes", (*COUNTS, "10000000")),
    ("train", "arch"): [
        ("train", name, *TRAIN[2:]) for name in (*NAMES, "spos:", "missing.json", "file.json", "spos:00")
    ],
    ("train", "data"): _after(TRAIN, "--data", DATA),
    ("train", "val_images"): _after(TRAIN, "--val-images", (*COUNTS, "100k")),
    ("train", "input_"): _after(TRAIN, "--input", (*SHAPES, "1x8x8")),
    ("train", "space_set"): _after(TRAIN, "--space-set", (*SPACE_SETTINGS, "n_classes=3")),
    ("train", "preset"): _after((*TRAIN[:2], "--dry-run"), "--preset", ("", "fast", LONG, NUL, CONTROL)),
    ("train", "seed"): _after(TRAIN, "--seed", ("", "x", "-1", "1.5", HUGE, NUL, CONTROL)),
    ("train", "out"): _after(TRAIN[:-1], "--out", (*_paths(FOLDERS), "file", "file/x", "other", DEVICE)),
    ("train", "resume"): [(*TRAIN, "--resume"), ("train", "--resume"), ("train", "--resume", "--out", "missing")],
    ("train", "augment"): _after(TRAIN, "--augment", AUGMENTS),
    ("train", "time"): _after(TRAIN, "--time", (*TIMES, "1s")),
    ("train", "plan"): _after(TRAIN, "--plan", _paths(NO_RUN)),
    ("train", "weights"): _after(
        TRAIN, "--weights", ("", "missing", "empty", "file", "file.json", DEVICE, LONG, NUL, CONTROL)
    ),
    ("train", "ignore"): _after(TRAIN, "--ignore", ("", "x", LONG, CONTROL)),
    ("train", "averaged"): [(*TRAIN, "--averaged"), (*TRAIN, "--averaged=yes")],
    ("train", "accept_code_change"): [(*TRAIN, "--accept-code-change=yes")],
    ("train", "threads"): _after(TRAIN, "--threads", (*COUNTS, "100000")),
    ("train", "device"): _after(TRAIN, "--device", DEVICES),
    ("train", "dry_run"): [(*TRAIN, "--no-dry-run"), (*TRAIN[:-1], "--dry-run=yes")],
    ("train", "set_"): [
        *_after(TRAIN, "--set", SETTINGS),
        *((*TRAIN, "--set", f"training.{name}={value}") for name, values in TRAININGS.items() for value in values),
    ],
    ("profile", "space"): [("profile", name, *PROFILE[2:]) for name in (*NAMES, "os:path", DEVICE)],
    ("profile", "output"): [
        ("profile", "spos"),
        *_after(("profile", "spos"), "--output", _paths(OUTPUTS)),
        *_after(("profile", "spos"), "-o", _paths(OUTPUTS)),
    ],
    ("profile", "bundle"): [
        *_after(PROFILE[:2], "--bundle", (*_paths(FOLDERS), "other", "file", "file/x", DEVICE, "missing.link/x")),
        (*PROFILE, "--bundle", "new"),
        (*PROFILE[:2], "--bundle", "new", "--backend", "torch"),
        (*PROFILE[:2], "--bundle", "new", "--from", "file.json"),
    ],
    ("profile", "measurements"): [
        *_after(PROFILE, "--from", (*_paths(NO_RUN), "file.json", "list.json", "empty.json", "loop.json")),
        *(
            (*PROFILE, "--from", "file.json", f"--{name}", value)
            for name, value in (("backend", "torch"), ("threads", "2"))
        ),
        (*PROFILE[:2], "--from", "file.json"),
    ],
    ("profile", "backend"): _after(PROFILE, "--backend", ("", "x", LONG, NUL, CONTROL)),
    ("profile", "input"): _after(PROFILE, "--input", (*SHAPES, "3x3x3")),
    ("profile", "space_set"): _after(PROFILE, "--space-set", SPACE_SETTINGS),
    ("profile", "classes"): _after(PROFILE, "--classes", (*COUNTS, "10000000")),
    ("profile", "threads"): _after(PROFILE, "--threads", (*COUNTS, "100000")),
    ("profile", "repeats"): _after(PROFILE, "--repeats", (*COUNTS, "10000000")),
    ("bench", "benchmark"): [("bench", name, "--table", "file") for name in NAMES],
    ("bench", "strategy"): _after(BENCH, "--strategy", ("", "x", ",", LONG, CONTROL, NUL)),
    ("bench", "table"): _after(
        ("bench", "lenet", *BENCH[4:]), "--table", ("missing.csv", "empty", DEVICE, "loop", LONG)
    ),
    ("bench", "dataset"): _after(BENCH[:4], "--dataset", ("", "x", CONTROL)),
    ("bench", "evals"): _after(BENCH, "--evals", COUNTS),
    ("bench", "seeds"): _after(BENCH, "--seeds", COUNTS),
    ("bench", "seed"): _after(BENCH, "--seed", ("", "x", "-1", "1.5", HUGE)),
    ("bench", "budget"): _after(BENCH, "--budget", COUNTS),
    ("bench", "limit"): _after(BENCH, "--limit", ("", "x", "=", "x=1", "val=", "val=x", "val=-1", "val=nan", LONG)),
    ("bench", "goal"): _after(BENCH, "--goal", ("", "x", LONG, CONTROL)),
    ("bench", "settings"): _after(BENCH, "--set", ("", "x", "=", "x=1", "x.y=1", "random.x=1", LONG, CONTROL)),
    ("bench", "signal"): _after(
        ("bench", "lenet", "--table", "table.csv", "--truth", "val"), "--signal", ("", "x", LONG)
    ),
    ("bench", "truth"): _after(("bench", "lenet", "--table", "table.csv", "--signal", "val"), "--truth", ("x", "val")),
    ("bench", "minimise"): [("bench", "nasbench201", "--table", "table.csv", "--minimise")],
    ("bench", "space_set"): _after(BENCH, "--space-set", SPACE_SETTINGS),
    ("bench", "output"): _after(BENCH, "-o", _paths(OUTPUTS)),
    ("bench", "json"): [("bench", "x", "--json"), (*BENCH, "--json=x")],
    ("rank", "folder"): [("rank", value) for value in _paths(NO_RUN)],
    ("rank", "truth"): [
        (*row, "--column", "x") for row in _after(("rank", "other"), "--truth", ("", "train", LONG, NUL))
    ],
    ("rank", "n"): _after(("rank", "other"), "--n", (*COUNTS, "1")),
    ("rank", "column"): _after(("rank", "other"), "--column", ("", "x", LONG, CONTROL)),
    ("rank", "seed"): _after(("rank", "other"), "--seed", ("", "x", "-1", "1.5", HUGE)),
    ("rank", "json"): [("rank", "missing", "--json"), ("rank", "missing", "--json=x")],
    ("report", "folders"): [("report", value) for value in _paths(NO_RUN)],
    ("report", "output"): _after(("report", "other"), "-o", _paths(OUTPUTS)),
    ("export", "folder"): [("export", value) for value in _paths(NO_RUN)],
    ("export", "format"): _after(("export", "other"), "--format", ("", "x", LONG, NUL, CONTROL)),
    ("export", "opset"): _after(("export", "other"), "--opset", ("", "x", "-1", "8", "99", "1.5", HUGE, NUL)),
    ("export", "output"): [
        *_after(("export", "other"), "--output", _paths(OUTPUTS)),
        *_after(("export", "other"), "-o", _paths(OUTPUTS)),
    ],
}
"""Command lines by the command and the parameter that is wrong in them."""

WHAT_TO_DO = re.compile(
    r"; |give |choose |see archwright|use |write |did you mean|leave |restore|add |make |replace|mend|download|put ",
    re.IGNORECASE,
)


def _parameters() -> Iterator[tuple[str, str]]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from ((name, parameter.name) for parameter in command.params if parameter.name != "help")


def test_every_option_has_a_row() -> None:
    """A new option is not done before it was given nonsense."""
    assert sorted(ROWS) == sorted(_parameters())


@pytest.mark.parametrize("recipe", [entry.name for entry in catalog.entries("recipe")])
def test_every_setting_has_a_row(recipe: str) -> None:
    """What `--set` names are options too, of each recipe its own."""
    config = catalog.load("recipe", recipe).config()
    trainings = {f"{group}.{name}" for group in GROUPS[recipe] for name in TRAININGS}
    assert set(settings_of(config)) == {*OWN[recipe], *SHARED, *trainings, "seed", "threads", "device"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with things of the wrong kind in it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python's own cache of a user's file is none of our doing
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "file.py").write_text("def X(: pass")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "table.csv").write_text("arch,val,test\n202222,1,2\n")
    (tmp_path / "file.json").write_text("mine")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "missing.link").symlink_to("nowhere/at/all")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _listing(folder: Path) -> list[tuple[str, int, int, bytes]]:
    found = []
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found.append((str(path), about.st_mode, about.st_mtime_ns, content))
    return found


@pytest.mark.parametrize(("command", "parameter"), ROWS)
def test_what_an_option_cannot_take(cli: Any, place: Path, command: str, parameter: str) -> None:
    """Exit code 2, one line that says what and what to do, nothing on stdout, nothing made or changed."""
    before, device = _listing(place), os.lstat(DEVICE)
    wrong = []
    for arguments in ROWS[command, parameter]:
        done = cli(*arguments)
        line = done.err
        is_one_line = line.startswith("error: ") and line.count("\n") == 1 and line[:-1].isprintable()
        if (done.code, done.out) != (2, "") or not is_one_line or len(line) > 1500 or not WHAT_TO_DO.search(line):
            wrong.append(f"{arguments}\n  {done}")
    assert not wrong, "\n".join(wrong)
    assert _listing(place) == before
    assert (os.lstat(DEVICE).st_ino, os.lstat(DEVICE).st_mode) == (device.st_ino, device.st_mode)


@pytest.mark.parametrize(("path", "message"), [*FOLDERS, *OUTPUTS])
def test_a_path_is_refused_for_its_reason(cli: Any, place: Path, path: str, message: str) -> None:
    """The line says what is wrong with it."""
    assert message in cli("export", "other", "-o", path).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nothing",),
        ("nothing",),
        ("--debug", "nothing"),
        ("search",),
        ("cost", "a", "b"),
        ("--version=1",),
        ("status",),
    ],
)
def test_what_no_command_takes(cli: Any, arguments: tuple[str, ...]) -> None:
    """Unknown commands and options, missing and surplus arguments."""
    done = cli(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_what_was_received_is_shown_but_not_obeyed(cli: Any, place: Path) -> None:
    """Escapes in the place of what would steer the terminal."""
    done = cli("describe", "\x1b[31mred\u202e")
    assert "\\x1b[31mred\\u202e" in done.err


def test_a_long_value_does_not_bury_the_reason(cli: Any, place: Path) -> None:
    """Its middle is left out."""
    line = cli("describe", LONG).err
    assert line.startswith("error: unknown space 'xxx")
    assert "; choose one of " in line[-400:]
    assert len(line) < 1100


def test_json_stays_off_stdout_where_something_is_wrong(cli: Any, place: Path) -> None:
    """A program that reads stdout gets nothing, not half a document."""
    assert json.dumps(cli("cost", "nothing", "--json").out) == '""'
