"""The contract of resumable commands: stopped anywhere and resumed, they reach the same result, never a wrong one."""

from __future__ import annotations

import random
import shutil
import signal as signals
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from archwright.testing.children import Ended, Job, as_arguments, run_child
from archwright.testing.contracts.base import Contract, to_do
from archwright.testing.damage import damage, kinds_for, restore, targets
from archwright.testing.faults import differences
from archwright.testing.moments import Moment

CODES = {signals.SIGKILL: -signals.SIGKILL, signals.SIGINT: 130, signals.SIGTERM: 143}
WITHIN = {"a write": ("half of ", "before "), "a transaction": ("before commit",), "an export": ("export", "verify")}
"""Names of the events in the middle of a write, a transaction or an export."""

FAMILIES = ("trials.sqlite", "rank.sqlite")
"""Databases; errors in their side files are reported for the database."""


class FaultContract(Contract):
    """Tests of one command that can be resumed.

    Attributes:
        arguments: The command, on a tiny problem, without its folder.
        studies: Studies whose trials are compared.
        n_kills: How often a run is stopped at random.
        n_damaged: How many files of a run are damaged, one after the other; None damages all.
        seed: Seed of the moments and the damage; a failing test shows it.
    """

    arguments: ClassVar[Sequence[str]] = ()
    studies: ClassVar[Sequence[str]] = ("search", "baseline")
    n_kills: ClassVar[int] = 3
    n_damaged: ClassVar[int | None] = 6
    seed: ClassVar[int] = 0

    _calm: ClassVar[dict[type, tuple[Path, Ended]]] = {}

    @property
    def name(self) -> str:
        """The recipe of a search, or the command."""
        return self.arguments[1] if self.arguments[0] == "search" else self.arguments[0]

    # ── what a member may say otherwise ───────────────────────────────────────────────────────────

    def command(self, folder: Path) -> tuple[str, ...]:
        """The arguments that begin or resume the run in a folder."""
        if not self.arguments:
            to_do(self, "arguments")
        return as_arguments([*self.arguments, "--out", folder, "--resume"])

    def prepare(self, folder: Path) -> None:
        """Make what the command needs in the folder beforehand; nothing by default."""

    def compare(self, folder: Path, ended: Ended, calm: tuple[Path, Ended], *, products_only: bool) -> list[str]:
        """Names of the results that differ from those of the undisturbed run.

        Args:
            folder: The run's folder.
            ended: How its command ended.
            calm: Folder and end of the undisturbed run.
            products_only: Compare only what the user gets, see `faults.outcome`.
        """
        return differences(folder, calm[0], self.studies, products_only=products_only)

    def concerns(self, name: str) -> bool:
        """Whether the command uses this file or folder of a run; only such files are damaged."""
        return True

    # ── stopped ───────────────────────────────────────────────────────────────────────────────────

    def test_stopped_at_random_moments(self, tmp_path: Path, tmp_path_factory: Any) -> None:
        """A run stopped by kill -9, Ctrl-C or SIGTERM in any phase, resumed, stopped again, gives the same result."""
        rng = random.Random(self.seed)
        self.check_stops(tmp_path, tmp_path_factory, self.draw_stops(self.n_kills, rng, tmp_path_factory))

    def test_killed_in_the_middle_of_something(self, tmp_path: Path, tmp_path_factory: Any) -> None:
        """A run killed within a write, before a rename, in a transaction or in an export gives the same result."""
        rng, moments = random.Random(self.seed), self.undisturbed(tmp_path_factory)[1].moments
        fitting = [[moment for moment in moments if moment.event.startswith(begins)] for begins in WITHIN.values()]
        drawn = sorted((rng.choice(found) for found in fitting if found), key=moments.index)
        self.check_stops(tmp_path, tmp_path_factory, [self._job(moment) for moment in drawn])

    def test_signals_end_with_their_codes(self, tmp_path: Path, tmp_path_factory: Any) -> None:
        """The exit code is 130 after Ctrl-C and 143 after SIGTERM, with a line that says how to resume."""
        rng, (_, ended) = random.Random(self.seed), self.undisturbed(tmp_path_factory)
        steps = [moment for moment in ended.moments if moment.event == "advance"]
        for signal in (signals.SIGINT, signals.SIGTERM):
            moment = rng.choice(steps[: len(steps) // 2])
            stopped = run_child(self._job(moment, signal, folder=self._new_folder(tmp_path)))
            assert stopped.code == CODES[signal], stopped
            assert "continue with: archwright" in stopped.err.splitlines()[-1], stopped

    # ── damaged ───────────────────────────────────────────────────────────────────────────────────

    def test_damage_in_a_finished_run(self, tmp_path: Path, tmp_path_factory: Any) -> None:
        """A damaged file is refused in one line or repaired, and never changes the result; damage is random."""
        finished, _ = self.undisturbed(tmp_path_factory)
        self.check_damage(tmp_path, tmp_path_factory, finished, is_finished=True)

    def test_damage_in_the_middle_of_a_run(self, tmp_path: Path, tmp_path_factory: Any) -> None:
        """The same holds for a run that was killed before its end."""
        folder = self.killed(tmp_path, tmp_path_factory, self.late(tmp_path_factory))
        self.check_damage(tmp_path, tmp_path_factory, folder, is_finished=False)

    # ── how ───────────────────────────────────────────────────────────────────────────────────────

    def undisturbed(self, tmp_path_factory: Any) -> tuple[Path, Ended]:
        """The folder of the undisturbed run, made once for each class, and how its command ended."""
        if type(self) not in self._calm:
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            self.prepare(folder)
            ended = run_child(Job(self.command(folder)))
            assert ended.code == 0, ended
            self._calm[type(self)] = folder, ended
        return self._calm[type(self)]

    def late(self, tmp_path_factory: Any) -> Moment:
        """A moment in the middle of the last phase, when nearly all files exist."""
        moments = self.undisturbed(tmp_path_factory)[1].moments
        last = [moment for moment in moments if moment.phase == moments[-1].phase]
        return last[len(last) // 2]

    def killed(self, tmp_path: Path, tmp_path_factory: Any, moment: Moment) -> Path:
        """The folder of a run that was killed at a moment.

        Args:
            tmp_path: Folder for the run's folder.
            tmp_path_factory: pytest's, for the undisturbed run.
            moment: When to kill it.
        """
        folder = self._new_folder(tmp_path)
        ended = run_child(self._job(moment, folder=folder))
        assert ended.code == -signals.SIGKILL, f"{moment} did not come: {ended}"
        return folder

    def draw_stops(self, n: int, rng: random.Random, tmp_path_factory: Any) -> list[Job]:
        """Random stops, spread over the phases of a run and their events, in the order in which a run reaches them.

        Args:
            n: How many.
            rng: Draws moments, signals and delays.
            tmp_path_factory: pytest's, for the undisturbed run.
        """
        moments = self.undisturbed(tmp_path_factory)[1].moments
        drawn = []
        for _ in range(n):
            phase = rng.choice(list(dict.fromkeys(moment.phase for moment in moments)))
            event = rng.choice(sorted({moment.event for moment in moments if moment.phase == phase}))
            moment = rng.choice([m for m in moments if (m.phase, m.event) == (phase, event)])
            signal = rng.choices(list(CODES), (3, 1, 1))[0]
            drawn.append(self._job(moment, signal, delay_s=rng.choice([0.0, rng.uniform(0, 0.05)])))
        return sorted(drawn, key=lambda job: moments.index(job.until) if job.until else 0)

    def check_stops(self, tmp_path: Path, tmp_path_factory: Any, jobs: Sequence[Job]) -> None:
        """Stop a run at one moment after the other, resume it each time, and compare its end with the undisturbed run.

        If a run ends before the last stop, another one begins.

        Args:
            tmp_path: Folder for the runs' folders.
            tmp_path_factory: pytest's, for the undisturbed run.
            jobs: The stops in order.
        """
        calm = self.undisturbed(tmp_path_factory)
        done: list[Job] = []
        folder = self._new_folder(tmp_path)
        for job in [*jobs, Job(())]:
            ended = run_child(self._job(job.until, job.signal, folder=folder, delay_s=job.delay_s))
            done.append(job)
            said = f"seed {self.seed}, stopped at {[(j.until, j.signal, j.delay_s) for j in done]}: {ended}"
            assert "Traceback" not in ended.err, said
            if ended.code == 0:
                assert self.compare(folder, ended, calm, products_only=False) == [], said
                folder, done = self._new_folder(tmp_path), []
            else:
                assert ended.code == CODES[signals.Signals(job.signal)], said

    def check_damage(
        self, tmp_path: Path, tmp_path_factory: Any, folder: Path, *, is_finished: bool, every: bool = False
    ) -> None:
        """Damage one file in each of many copies of a run, resume the copy, and check how it ends.

        Args:
            tmp_path: Folder for the copies.
            tmp_path_factory: pytest's, for the undisturbed run.
            folder: The run to copy.
            is_finished: Whether that run is finished.
            every: Whether to damage every file in every way, instead of `n_damaged` files in one way each.
        """
        rng = random.Random(self.seed)
        faults = []
        names = list(filter(self.concerns, targets(folder)))
        if self.n_damaged is not None and not every:
            names = rng.sample(names, min(self.n_damaged, len(names)))
        for name in names:
            kinds = kinds_for(folder / name)
            for kind in kinds if every else [rng.choice(kinds)]:
                copy = self._new_folder(tmp_path, copy_of=folder)
                damage(copy / name, kind, rng)
                said = self._check_damaged(copy, name, folder, self.undisturbed(tmp_path_factory), is_finished)
                faults += [f"{name} {kind}: {what}" for what in said]
                restore(copy / name, folder / name)
                shutil.rmtree(copy)
        assert not faults, f"seed {self.seed}:\n" + "\n".join(faults)

    def _check_damaged(
        self, copy: Path, name: str, original: Path, calm: tuple[Path, Ended], is_finished: bool
    ) -> list[str]:
        """What is wrong with what was made of a damaged folder."""
        looked = run_child(Job(("status", str(copy), "--json"), is_plain_user=True))
        faults = [f"status ended {looked}"] if not _is_clean(looked) else []
        resumed = run_child(Job(self.command(copy), is_plain_user=True))
        if resumed.code == 0:
            return faults + self._compare_mended(copy, resumed, calm, is_finished)
        if resumed.code != 2 or not _is_clean(resumed) or not _names(resumed.err, name):
            faults.append(f"resuming ended {resumed}")
        restore(copy / name, original / name)
        again = run_child(Job(self.command(copy)))
        if again.code != 0:
            return [*faults, f"refused, and when it was put right: {again}"]
        return faults + self._compare_mended(copy, again, calm, is_finished)

    def _compare_mended(self, copy: Path, ended: Ended, calm: tuple[Path, Ended], is_finished: bool) -> list[str]:
        # a finished run is only opened: what it does not need any more may be gone or stay damaged
        try:
            differing = self.compare(copy, ended, calm, products_only=is_finished)
        except Exception as error:  # whatever the readers of what was damaged come up with
            return [f"a damaged end: {type(error).__name__} {error}"]
        return [f"another end: {', '.join(differing)}"] if differing else []

    def _new_folder(self, tmp_path: Path, copy_of: Path | None = None) -> Path:
        parent = tmp_path / str(sum(1 for _ in tmp_path.iterdir()))
        parent.mkdir()
        if copy_of is None:
            self.prepare(parent / "run")
        else:
            shutil.copytree(copy_of, parent / "run")
        return parent / "run"

    def _job(
        self,
        until: Moment | None,
        signal: int = signals.SIGKILL,
        *,
        folder: Path | None = None,
        delay_s: float = 0.0,
    ) -> Job:
        return Job(() if folder is None else self.command(folder), until, signal, delay_s)


def _is_clean(ended: Ended) -> bool:
    """Exit code 0, or 2 with one line of error."""
    return "Traceback" not in ended.err and (ended.code == 0 or (ended.code == 2 and len(ended.errors) == 1))


def _names(said: str, name: str) -> bool:
    """Whether an error names a file, or the database whose side file it is."""
    family = next((family for family in FAMILIES if name.startswith(family)), name)
    return any(word in said for word in (name, family))
