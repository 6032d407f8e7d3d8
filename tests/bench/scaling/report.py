"""The judge's tables, from the figures that are there; what was not run yet is a dash."""

from collections.abc import Iterable
from dataclasses import replace

from batchedllm.sim.policies.registry import knob_of
from bench.scaling import plan
from bench.scaling.cases import World
from bench.scaling.results import Figures, Results
from bench.scaling.tasks import OWN, VARIANTS, Task

MISSING = "-"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown, its first column to the left and the others to the right."""
    columns = list(head)
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Told:
    """What some runs, one for each seed, came to."""

    def __init__(self, scope: plan.Scope, results: Results, task: Task | None) -> None:
        self.pairs: list[tuple[Figures, float | None]] = []
        """Figures, and the hours of the cheapest plan known, if any is: of the seed, else of the first seed."""
        if task is None:
            return
        first = results.cheapest_hours(replace(task.world, seed=1, scrape_seconds=2.0, scrape_loss=0.0))
        for world in scope.seeded(task.world):
            found = results.get(replace(task, world=world))
            usual = replace(world, scrape_seconds=2.0, scrape_loss=0.0)
            best = results.cheapest_hours(usual)
            if found is not None:
                self.pairs.append((found, best or first))

    def mean(self, name: str) -> float | None:
        """Return the mean of a figure, None without runs."""
        values = [found[name] for found, _ in self.pairs]
        return sum(values) / len(values) if values else None

    @property
    def attainment(self) -> str:
        """The mean A."""
        mean = self.mean("A")
        return MISSING if mean is None else f"{mean:.3f}"

    @property
    def lowest(self) -> str:
        """The lowest A of any seed."""
        return f"{min(found['A'] for found, _ in self.pairs):.3f}" if self.pairs else MISSING

    @property
    def cost(self) -> str:
        """The mean K."""
        ratios = [found["replicaHours"] / best for found, best in self.pairs if best is not None]
        return f"{sum(ratios) / len(ratios):.2f}" if ratios else MISSING

    @property
    def both(self) -> str:
        """A and K."""
        return f"{self.attainment} / {self.cost}" if self.pairs else MISSING


def sections(scope: plan.Scope, results: Results) -> list[str]:
    """Return everything that the page tells of the judge."""
    found = [_headline(scope, results), as_good_for_no_more(scope, results)]
    for title in scope.titles:
        found += [f"### {title}", _peers(scope, results, title), _details(scope, results, title)]
    return [*found, _studies(scope, results)]


def _headline(scope: plan.Scope, results: Results) -> str:
    head = ("traffic", "start-up s", "ours, whole: A", "lowest A", "K", "flaps/h", "ours, second half: A / K")
    rows = []
    for cell in scope.cells():
        whole = Told(scope, results, Task(replace(cell, window="whole"), OWN))
        flaps = whole.mean("flapsPerHour")
        rows.append(
            (
                *(cell.title, str(cell.startup_seconds), whole.attainment, whole.lowest, whole.cost),
                MISSING if flaps is None else f"{flaps:.0f}",
                *(Told(scope, results, Task(cell, OWN)).both, *_reached(scope, results, cell)),
            )
        )
    return table((*head, "reachable: A / K", "by", "cheapest fixed fleet: A / K", "clairvoyant hours"), rows)


def as_good_for_no_more(scope: plan.Scope, results: Results) -> str:
    """Return who serves as many as ours at no higher cost, with the best knob or the one that is best at our cost."""
    rows, compared = [], 0
    for cell in scope.cells():
        ours = Told(scope, results, Task(cell, OWN))
        for peer in scope.peers:
            for choose in (plan.tuned, plan.at_our_cost):
                theirs = Told(scope, results, choose(results, cell, peer))
                compared += bool(ours.pairs and theirs.pairs)
                if _is_as_good_for_no_more(theirs, ours):
                    rows.append((cell.title, str(cell.startup_seconds), peer, theirs.both, ours.both))
    words = f"With as high an A for no higher cost than ours, of {compared:,} comparisons on the second halves:"
    head = ("traffic", "start-up s", "policy", "its A / K", "ours")
    return f"{words}\n\n{table(head, dict.fromkeys(rows))}" if rows else f"{words} none."


def _is_as_good_for_no_more(theirs: Told, ours: Told) -> bool:
    if not (theirs.pairs and ours.pairs):
        return False
    (attainment, hours), (our_attainment, our_hours) = (
        (told.mean("A") or 0.0, told.mean("replicaHours") or 0.0) for told in (theirs, ours)
    )
    return attainment >= our_attainment and hours <= our_hours


def _reached(scope: plan.Scope, results: Results, cell: World) -> tuple[str, str, str, str]:
    """Return the best that could be reached, how, the cheapest fixed fleet, and the clairvoyant's hours."""
    one = replace(scope, seeds=1)
    best, (smallest, _) = plan.best_reachable(results, cell), plan.smallest_fixed(results, cell)
    fixed = None if smallest is None else plan.fixed(cell, smallest)
    known = [hours for world in scope.seeded(cell) if (hours := results.cheapest_hours(world)) is not None]
    how = MISSING
    if best is not None:
        by = best.reactive
        how = best.policy if by is None else f"{by.utilization:g} of capacity, {by.hold_seconds:g} s, ≥ {by.floor:g}"
    hours = f"{sum(known) / len(known):.2f}" if known else MISSING
    return Told(one, results, best).both, how, Told(one, results, fixed).both, hours


def _peers(scope: plan.Scope, results: Results, title: str) -> str:
    cells = [cell for cell in scope.cells() if cell.title == title]
    head = (f"best knob; A / K at start-up of … s, {title}", *(str(cell.startup_seconds) for cell in cells))
    ours = (f"**{OWN}**", *(Told(scope, results, Task(cell, OWN)).both for cell in cells))
    peers = (
        (peer, *(Told(scope, results, plan.tuned(results, cell, peer)).both for cell in cells)) for peer in scope.peers
    )
    return table(head, (ours, *peers))


def _details(scope: plan.Scope, results: Results, title: str) -> str:
    """Return one start-up in more words: defaults, best knobs, and what is best at our cost."""
    cells = [cell for cell in scope.cells() if cell.title == title]
    usual = [cell for cell in cells if cell.startup_seconds == plan.STUDY_STARTUP_SECONDS]
    cell = (usual or cells)[0]
    head = (
        *(
            f"{title}, start-up {cell.startup_seconds} s",
            "default: A / K",
            "knob",
            "default",
            "best",
            "best knob: A / K",
        ),
        *("at our cost: A / K", "TTFT p99 s, best", "flaps/h, best"),
    )
    return table(head, (_ours(scope, results, cell), *(_peer(scope, results, cell, peer) for peer in scope.peers)))


def _ours(scope: plan.Scope, results: Results, cell: World) -> tuple[str, ...]:
    told = Told(scope, results, Task(cell, OWN))
    return (f"**{OWN}**", told.both, "", "", "", told.both, told.both, *_late_and_flaps(told))


def _peer(scope: plan.Scope, results: Results, cell: World, peer: str) -> tuple[str, ...]:
    knob = knob_of(peer)
    tuned = plan.tuned(results, cell, peer)
    default, best = Told(scope, results, Task(cell, peer, knob.default)), Told(scope, results, tuned)
    return (
        *(peer, default.both, knob.meaning, f"{knob.default:g}"),
        MISSING if tuned is None else f"{tuned.knob:g}",
        *(best.both, Told(scope, results, plan.at_our_cost(results, cell, peer)).both),
        *_late_and_flaps(best),
    )


def _late_and_flaps(told: Told) -> tuple[str, str]:
    late = [found["ttft"]["p99"] or 0.0 for found, _ in told.pairs]
    flaps = told.mean("flapsPerHour")
    return f"{sum(late) / len(late):.1f}" if late else MISSING, MISSING if flaps is None else f"{flaps:.0f}"


def _studies(scope: plan.Scope, results: Results) -> str:
    titles = scope.titles
    head = (f"ours at start-up {plan.STUDY_STARTUP_SECONDS} s, second half: A / K", *titles)
    rows = []
    for what in plan.study_worlds(scope, titles[0]):
        worlds = [plan.study_worlds(scope, title)[what] for title in titles]
        rows.append((what, *(Told(scope, results, Task(world, OWN)).both for world in worlds)))
    usual = [World(title, startup_seconds=plan.STUDY_STARTUP_SECONDS) for title in titles]
    for variant in VARIANTS:
        found = (Told(scope, results, Task(world, OWN + variant)).both for world in usual)
        rows.append((variant.strip("-").replace("-", " "), *found))
    return table(head, rows)
