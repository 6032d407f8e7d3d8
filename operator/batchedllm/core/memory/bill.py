"""The bill of one rank: where a GPU's memory goes."""

from dataclasses import dataclass, replace
from math import ceil

from batchedllm.core.memory.activation import Step
from batchedllm.core.memory.allocation import QUANTIZED_SLACK, allocation_slack
from batchedllm.core.memory.cache_groups import CacheGroup
from batchedllm.core.memory.calibration import Calibration
from batchedllm.core.memory.defaults import EngineSettings
from batchedllm.core.memory.dtypes import element_bytes
from batchedllm.core.memory.engine_versions import EngineRules, Runner, runner_of, takes_graphs
from batchedllm.core.memory.layer_widths import LayerWidths, layer_widths
from batchedllm.core.memory.plan_types import Bill, Correction, Question
from batchedllm.core.memory.terms import (
    COMMUNICATION,
    COMMUNICATION_ERROR,
    activation_term,
    block_tables,
    graphs_term,
    non_torch_term,
    persistent_term,
)
from batchedllm.core.memory.units import Bytes, Term, Tokens
from batchedllm.core.memory.weights import rank_weights, stage_layers


@dataclass(frozen=True, slots=True)
class Ledger:
    """What all ranks' bills have in common."""

    question: Question
    engine: EngineSettings
    rules: EngineRules
    calibration: Calibration
    groups: tuple[CacheGroup, ...]
    profiled_len: Tokens
    """The length that the engine profiles with."""
    block_size: Tokens
    widths: LayerWidths
    runner: Runner


def ledger(
    question: Question,
    engine: EngineSettings,
    rules: EngineRules,
    calibration: Calibration,
    *,
    groups: tuple[CacheGroup, ...],
    block_size: Tokens,
) -> Ledger:
    """Gather what the bills depend on."""
    model = question.model
    return Ledger(
        question=question,
        engine=engine,
        rules=rules,
        calibration=calibration,
        groups=groups,
        profiled_len=engine.max_model_len or model.default_length or model.longest_length,
        block_size=block_size,
        widths=layer_widths(model),
        runner=runner_of(model, rules),
    )


def stage_bills(books: Ledger) -> tuple[tuple[range, Bill], ...]:
    """Return the layers and the bill of each pipeline stage: the ranks of a stage are alike, the fullest is billed."""
    settings, model = books.question.settings, books.question.model
    terms = rank_weights(
        model,
        books.question.weights,
        dtype=books.engine.dtype,
        quantization=settings.quantization,
        tensor_parallel=settings.tensor_parallel,
        pipeline_parallel=settings.pipeline_parallel,
    )
    stages = stage_layers(len(model.layers), settings.pipeline_parallel)
    each = max(1, len(terms) // len(stages))
    bills = []
    for index, layers in enumerate(stages):
        weights = max(terms[index * each : (index + 1) * each] or terms[-1:], key=lambda term: term.bytes)
        bills.append((layers, _bill(books, weights, layers, last=index == len(stages) - 1)))
    return tuple(bills)


def _bill(books: Ledger, weights: Term, layers: range, *, last: bool) -> Bill:
    question, rules = books.question, books.rules
    correction = question.correction or Correction()
    step = _step(books, last=last)
    if question.model.quantization is None and question.settings.quantization is None:
        slack = int(allocation_slack(question.model, step.element, step.tensor_parallel, layers))
    else:
        slack = ceil(weights.bytes * QUANTIZED_SLACK)
    weights = _more(weights, slack + correction.weights_bytes)
    persistent = persistent_term(step)
    activation = _more(activation_term(step), correction.activation_bytes)
    graphs = _more(_graphs(books, step, len(layers)), correction.cuda_graph_bytes)
    non_torch = _more(non_torch_term(books.runner, books.calibration, step.tensor_parallel), correction.non_torch_bytes)
    in_budget = takes_graphs(books.runner, rules)
    budgeted = weights.bytes + activation.bytes + non_torch.bytes
    on_top = _outside(books) + question.gpu.occupied
    budgeted, on_top = _put(graphs, budgeted, on_top, inside=in_budget)
    budgeted, on_top = _put(persistent, budgeted, on_top, inside=rules.persistent_in_budget)
    wanted = question.settings.kv_cache_memory
    share = ceil(question.gpu.memory * books.engine.utilization)
    requested = Bytes(share if wanted is None else budgeted + wanted)
    return Bill(
        total=question.gpu.memory,
        requested=requested,
        weights=weights,
        persistent=persistent,
        persistent_in_budget=rules.persistent_in_budget,
        activation=activation,
        cuda_graphs=graphs,
        cuda_graphs_in_budget=in_budget,
        non_torch=non_torch,
        kv_cache=Bytes(requested - budgeted),
        headroom=Bytes(question.gpu.memory - requested - on_top),
        headroom_error=_headroom_error(books, graphs),
    )


def _put(term: Term, inside_bytes: int, outside_bytes: int, *, inside: bool) -> tuple[int, int]:
    return (inside_bytes + term.bytes, outside_bytes) if inside else (inside_bytes, outside_bytes + term.bytes)


def _graphs(books: Ledger, step: Step, layers: int) -> Term:
    """Return the CUDA graphs: what they take, or the engine's estimate where that is what leaves the budget."""
    term = graphs_term(step, layers)
    if not takes_graphs(books.runner, books.rules):
        return term
    return replace(term, bytes=Bytes(ceil(term.bytes * books.calibration.graphs_estimate)))


def _outside(books: Ledger) -> int:
    """Return what is on the GPU beside the budget whatever the version."""
    communication = COMMUNICATION if books.question.settings.tensor_parallel > 1 else 0
    sizes = tuple(group.spec.block_size for group in books.groups)
    return (
        books.calibration.context + communication + block_tables(books.engine.max_num_seqs, books.profiled_len, sizes)
    )


def _headroom_error(books: Ledger, graphs: Term) -> Bytes:
    communication = COMMUNICATION_ERROR if books.question.settings.tensor_parallel > 1 else Bytes(0)
    inside = takes_graphs(books.runner, books.rules)
    return Bytes(communication + (0 if inside else graphs.error_bytes))


def _step(books: Ledger, *, last: bool) -> Step:
    model, settings = books.question.model, books.question.settings
    return Step(
        model=model,
        widths=books.widths,
        runner=books.runner,
        calibration=books.calibration,
        tokens=books.engine.max_num_batched_tokens,
        sequences=books.engine.max_num_seqs,
        max_model_len=books.profiled_len,
        block_size=books.block_size,
        element=element_bytes(books.engine.dtype),
        tensor_parallel=settings.tensor_parallel,
        eager=settings.enforce_eager,
        mxfp4="mxfp4" in (model.quantization, settings.quantization),
        last_stage=last,
        engine_measured=books.rules.is_measured,
    )


def _more(term: Term, extra: int) -> Term:
    """Add to a term, never below nothing."""
    return replace(term, bytes=Bytes(max(0, term.bytes + extra))) if extra else term
