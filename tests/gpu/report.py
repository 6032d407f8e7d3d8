"""docs/gpu.md and its picture, out of the committed result files: `python -m gpu report [--check]`."""

from statistics import median
from typing import Any

from bench.operator_report import filled
from bench.scaling.report import table
from gpu import results
from gpu.cases import CASES, overhead, plan_actual, startup
from gpu.picture import draw
from testbed.paths import REPOSITORY

RESULTS = REPOSITORY / "tests/gpu/results"
LATER = RESULTS / "later"
"""Of cases that were run again with a change that they had led to."""
PAGE = REPOSITORY / "docs/gpu.md"
PICTURE = REPOSITORY / "docs/gpu.png"
Json = dict[str, Any]


def page(text: str, found: dict[str, Json], later: dict[str, Json]) -> str:
    """Return the page with its generated parts as the results have them."""
    return filled(text, parts(found, later))


def parts(found: dict[str, Json], later: dict[str, Json]) -> dict[str, str]:
    """Return the generated parts by name; `later` are results of cases that were run again."""
    several = (
        {"gpu tensor-parallel": planned(found["tensor-parallel"]["measured"])} if "tensor-parallel" in found else {}
    )
    return several | {
        "gpu machine": machine(found),
        "gpu cases": cases(found),
        "gpu plan-actual": planned(found["plan-actual"]["measured"]),
        "gpu overhead": costs([found[name]["measured"] for name in ("overhead", "api-server") if name in found]),
        "gpu engine-bench": curve(found["engine-bench"]["measured"]),
        "gpu burst": burst([one["burst"] for one in (found, later) if "burst" in one]),
        "gpu priority": ranked(found["priority"]["measured"]),
        "gpu restart": restarts(found["restart"]["measured"]),
        "gpu startup": starts(found["startup"]["measured"]),
        "gpu agreement": agreement([one["agreement"] for one in (found, later) if "agreement" in one]),
    }


def machine(found: dict[str, Json]) -> str:
    """Tell on what and when each was run."""
    first = min(found.values(), key=lambda one: one["at"])
    last = max(found.values(), key=lambda one: one["at"])
    where, card = first["machine"], first["machine"]["gpu"]
    commits = sorted({one["machine"]["commit"][:7] for one in found.values()})
    return (
        f"{card['name']}, {card['memory_mebibytes']:,} MiB, driver {card['driver']}; {where['cpus']} cores, kernel "
        f"{where['kernel']}, Python {where['python']}, torch {where['torch']}, transformers {where['transformers']}, "
        f"{where['engine']}; {first['at'][:16].replace('T', ' ')} to {last['at'][:16].replace('T', ' ')} UTC; "
        f"{'commits' if len(commits) > 1 else 'commit'} {', '.join(commits)}."
    )


def cases(found: dict[str, Json]) -> str:
    """Return every case with its outcome and what it showed."""
    rows = []
    for name in CASES:
        one = found.get(name)
        if one is None:
            rows.append((name, "**not run**", ""))
            continue
        missed = [check for check in one["checks"] if not check["holds"]]
        word = "passed" if one["passed"] else "**broke off**" if one["error"] else "**missed a check**"
        words = "; ".join(f"{check['what']}: {_short(check['value'])}, expected {check['bound']}" for check in missed)
        rows.append((name, word, one["error"] or words))
    return table(("case", "outcome", "what it missed"), rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "nothing" if value is None else str(value)


def planned(measured: Json) -> str:
    """Return plan beside engine."""
    rows = []
    for start in measured["starts"]:
        plan = measured["plans"][start["name"]]
        error, later = plan_actual.error_percent(start), {**start, "plannedTokens": start.get("planCorrected")}
        after = plan_actual.error_percent(later)
        rows.append(
            (
                start["name"],
                plan["confidence"],
                f"{start['plannedTokens']:,}",
                f"{start.get('actualTokens', 0):,}",
                "" if error is None else f"{error:+.3f} %",
                "" if after is None else f"{after:+.3f} %",
            )
        )
    return table(
        ("BatchedLLM", "confidence", "planned KV tokens", "engine's", "error", "of the plan after that start"), rows
    )


def costs(cases: list[Json]) -> str:
    """Return the overhead with its interval, and what it costs the processor."""
    rows = [_cost(measured, answers) for measured in cases for answers in overhead.ANSWERS if answers in measured]
    pairs = [pair for measured in cases for answers in overhead.ANSWERS for pair in measured.get(answers, ())]
    percents = overhead.percents(pairs)
    low, high = overhead.interval(percents)
    head = ("prompt + answer, tokens", "answers", "pairs", "tokens/s, bare / ours", "fewer with ours: median")
    times = ("API server's time a token, bare / ours, µs", "more with ours: median", "of it the event loop's")
    told = table((*head, "95 % interval of it", *times, "its share of a processor"), rows)
    return (
        f"{told}\n\nAll {len(pairs)} pairs together: {median(percents):+.2f} % fewer tokens/s with ours, the median; "
        f"{low:+.2f} to {high:+.2f} % its 95 % interval."
    )


def _cost(measured: Json, answers: str) -> tuple[str, ...]:
    pairs, processor = measured[answers], measured[overhead.frontend_key(answers)]
    percents = overhead.percents(pairs)
    low, high = overhead.interval(percents)
    sides = list(zip(zip(*pairs, strict=True), zip(*processor, strict=True), strict=True))
    return (
        " + ".join(str(one) for one in measured["sizes"]),
        overhead.ANSWERS[answers].words,
        str(len(pairs)),
        " / ".join(f"{median(speeds):,.0f}" for speeds, _ in sides),
        f"{median(percents):+.2f} %",
        f"{low:+.2f} to {high:+.2f} %",
        " / ".join(f"{min(times):.0f} to {max(times):.0f}" for _, times in sides),
        _more(processor),
        _more(measured.get(overhead.event_loop_key(answers), [])),
        " / ".join(_busy(speeds, times) for speeds, times in sides),
    )


def _more(microseconds: list[list[float]]) -> str:
    return f"{median(ours - bare for bare, ours in microseconds):+.1f} µs" if microseconds else ""


def _busy(tokens_per_second: tuple[float, ...], microseconds: tuple[float, ...]) -> str:
    shares = [speed * time / 1e6 for speed, time in zip(tokens_per_second, microseconds, strict=True)]
    return f"{min(shares):.2f} to {max(shares):.2f}"


def curve(measured: Json) -> str:
    """Return the batch curve of the engine's benchmark, and static beside continuous batching."""
    rows = [
        (
            str(one["batch"]),
            f"{one['outputTokensPerSecond']:,.0f}",
            f"{1000 * one['stepSeconds']:.2f}",
            f"{one['batch'] / one['stepSeconds']:,.0f}",
            f"{one['batch'] / one['stepSeconds'] ** 2 / 1000:,.0f}",
        )
        for one in measured["curve"]
    ]
    prompts = ", ".join(
        f"{one['tokens']:,} tokens {1000 * one.get('stepSeconds', one['seconds']):.0f} ms"
        for one in measured["prefill"]
    )
    static = measured["static"]
    words = (
        f"Static batches of {static['batch']} (answers of {static['outputTokens'][0]} to {static['outputTokens'][1]} "
        f"tokens): "
        f"{static['static']['outputTokensPerSecond']:,.0f} tokens/s; the same requests continuously: "
        f"{static['continuous']['outputTokensPerSecond']:,.0f}, {static['ratio']:.2f} times as many."
    )
    head = (
        "batch",
        "tokens/s, at the client",
        "decode step, ms",
        "tokens/s by the engine's steps",
        "of it a ms of step",
    )
    return f"{table(head, rows)}\n\nPrompts alone: {prompts}.\n\n{words}"


def burst(results: list[Json]) -> str:
    """Return the times of each burst."""
    columns = [_burst(one["measured"]) for one in results]
    head = ("", *(f"commit {one['machine']['commit'][:7]}" for one in results))
    return table(head, [(words, *(column[words] for column in columns)) for words in columns[0]])


def _burst(measured: Json) -> dict[str, str]:
    asked, used = measured["requests"], measured["utilization"]
    wait = asked["ttftSeconds"]
    return {
        "requests of the trace, in seconds": f"{asked['sent']:,} in {measured['trace']['seconds']:.0f}",
        "failed / turned away": f"{len(asked['failures'])} / {asked['shed']}",
        "more replicas wanted after": f"{measured['toPatchSeconds']:.1f} s",
        "three replicas ready after": f"{measured['toAllReadySeconds']:.1f} s",
        "last answer after": f"{measured['toAnsweredSeconds']:.1f} s",
        "one replica again after": f"{measured['toOneReadySeconds']:.1f} s",
        "time to first token, p50 / p99": f"{wait['p50']:.1f} / {wait['p99']:.1f} s",
        "mean GPU utilization, nvidia-smi / scraped": f"{used['smiPercent']:.1f} / {used['scrapedPercent']:.1f} %",
    }


def ranked(measured: Json) -> str:
    """Return what became of each class, and how long its requests waited."""
    rows = []
    for name, words in (("alone", "high, alone"), ("high", "high, beside the low class"), ("low", "low")):
        one, wait = measured[name], measured[name]["ttftSeconds"]
        times = " / ".join(f"{1000 * wait[percent]:,.0f}" for percent in ("p50", "p90", "p99"))
        rows.append((words, str(one["sent"]), str(one["served"]), str(one["shed"]), times))
    told = table(("class", "sent", "served", "turned away", "time to first token, ms: p50 / p90 / p99"), rows)
    alone, beside = (measured[name]["ttftSeconds"]["p99"] for name in ("alone", "high"))
    return f"{told}\n\nThe high class's p99 beside the low class is {beside / alone:.2f} times that of it alone."


def restarts(measured: Json) -> str:
    """Return what became of the requests beside each kind of end."""
    rows = []
    for name, words in (("operator", "the operator's pod is killed"), ("drain", "an engine's pod is drained")):
        if name == "operator" and not measured[name].get("killed"):
            continue
        one = measured[name]["requests"]
        rows.append((words, str(one["sent"]), str(one["served"]), str(len(one["failures"])), ""))
    one, back = measured["engine"]["requests"], measured["engine"]["backSeconds"]
    lost = str(one["sent"] - one["served"] - one["shed"])
    rows.append(("an engine's process is killed", str(one["sent"]), str(one["served"]), lost, f"{back:.0f}"))
    return table(("while", "sent", "served", "failed", "both replicas ready again after, s"), rows)


def starts(measured: Json) -> str:
    """Return the phases of the start that compiled longest, and of those with a filled cache."""
    cold, _ = startup.cold_and_warm(measured["starts"])
    filled = [one["phases"] for one in measured["starts"] if cold is not None and one["pod"] != cold["pod"]]
    names = ("total", "import", "load_weights", "compile", "capture_graphs")

    def row(words: str, phases: list[dict[str, float]]) -> tuple[str, ...]:
        spans = ({round(one[name], 1) for one in phases} for name in names)
        return (words, *(" to ".join(f"{one:.1f}" for one in sorted({min(span), max(span)})) for span in spans))

    rows = [row("empty", [cold["phases"]])] if cold is not None else []
    head = ("compile cache", *(f"{name.replace('_', ' ')}, s" for name in names))
    return table(head, [*rows, row(f"filled, {len(filled)} starts", filled)])


def agreement(results: list[Json]) -> str:
    """Return the simulator beside what was lived."""
    rows = [row for one in results for row in _agreement(one["measured"], one["machine"]["commit"][:7])]
    return table(
        ("burst of commit", "", "replicas agree (1 replica, 10 s)", "p50 TTFT, s", "p99 TTFT, s", "error of p99"), rows
    )


def _agreement(measured: Json, commit: str) -> list[tuple[str, ...]]:
    seen = measured["lived"]
    names = (("measured", "simulator, measured profile"), ("builtIn", "simulator, built-in H200 profile"))
    rows = [(commit, "lived", "", f"{seen['ttftP50Seconds']:.1f}", f"{seen['ttftP99Seconds']:.1f}", "")]
    return rows + [
        (
            commit,
            words,
            f"{measured[name]['agreement']:.0%}",
            f"{measured[name]['ttftP50Seconds']:.1f}",
            f"{measured[name]['ttftP99Seconds']:.1f}",
            f"{measured[name]['ttftP99ErrorPercent']:+.0f} %",
        )
        for name, words in names
    ]


def run(*, check: bool) -> list[str]:
    """Write page and picture; with `check` only tell what is not as the results have it."""
    found = results.read(RESULTS)
    text = PAGE.read_text(encoding="utf-8")
    made = page(text, found, results.read(LATER))
    if check:
        return [] if made == text else [f"{PAGE} is not as tests/gpu/results has it: python -m gpu report"]
    PAGE.write_text(made, encoding="utf-8")
    draw(found, PICTURE)
    return []
