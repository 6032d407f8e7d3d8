"""The plan: from a question to the bill, the blocks and the verdict. Pure, and under a millisecond."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batchedllm.core.memory.bill import Ledger, ledger, stage_bills
from batchedllm.core.memory.cache_groups import (
    CacheGroup,
    UnevenPagesError,
    blocks_per_request,
    bytes_per_block,
    cache_groups,
    longest,
)
from batchedllm.core.memory.cache_pages import (
    CacheContext,
    CacheKind,
    RequestContext,
    block_size_of,
    cache_specs,
    kernel_block_size,
)
from batchedllm.core.memory.calibration import MEASURED, Calibration
from batchedllm.core.memory.defaults import EngineSettings, engine_settings
from batchedllm.core.memory.dtypes import is_countable_kv_dtype
from batchedllm.core.memory.engine_versions import EngineRules, Runner, rules_for, runner_of
from batchedllm.core.memory.model import StateSpace
from batchedllm.core.memory.plan_types import Bill, KVCache, Plan, Question, Resolved, Settings
from batchedllm.core.memory.units import Blocks, Bytes, Certainty, Tokens
from batchedllm.core.memory.verdict import judged


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool of blocks that all requests draw from: as large as on the rank with the fewest."""

    groups: tuple[CacheGroup, ...]
    context: RequestContext
    blocks: Blocks
    usable: Blocks
    """Without what the check for one request keeps aside."""
    bytes_per_block: Bytes

    def need(self, length: Tokens) -> Blocks:
        """Return the blocks of one request."""
        return blocks_per_request(self.groups, length, self.context)

    def largest(self, limit: Tokens, requests: int = 1) -> Tokens | None:
        """Return the longest length of which so many requests fit at once."""
        available = self.usable if requests == 1 else self.blocks
        return longest(limit, lambda length: self.need(length) * requests <= available)


def plan(question: Question, calibration: Calibration = MEASURED) -> Plan:
    """Plan the GPU memory of a replica; raise InvalidSettings for settings that the engine would refuse."""
    rules, note = rules_for(question.settings.engine_version)
    engine = engine_settings(question, rules)
    unknown = list(question.model.unknown)
    groups, block_size = _groups(question, engine, unknown)
    books = ledger(question, engine, rules, calibration, groups=groups, block_size=block_size)
    bills = stage_bills(books)
    pool, bill = _pool(books, bills)
    if bill.weights.certainty is Certainty.UNKNOWN:
        unknown.append(f"The weights cannot be counted: {bill.weights.source}")
    length = engine.max_model_len or pool.largest(question.model.longest_length)
    cache = cache_of(pool, length, block_size) if groups and length is not None else None
    return judged(
        settings=resolved(question.settings, engine, rules, length or Tokens(1)),
        bill=bill,
        kv_cache=cache,
        usable=pool.usable,
        largest=pool.largest(question.model.longest_length) if groups else question.model.longest_length,
        largest_for_concurrency=pool.largest(question.model.longest_length, engine.max_num_seqs) if groups else None,
        unknown=tuple(unknown),
        free_at_start=Bytes(question.gpu.memory - calibration.context - question.gpu.occupied),
        notes=_notes(question, rules, note),
    )


def _groups(question: Question, engine: EngineSettings, unknown: list[str]) -> tuple[tuple[CacheGroup, ...], Tokens]:
    """Return the groups of the cache and its block size; tell what cannot be known of them."""
    context = CacheContext(
        dtype=engine.dtype,
        kv_dtype=engine.kv_cache_dtype,
        tensor_parallel=question.settings.tensor_parallel,
        block_size=kernel_block_size(question.model.layers, engine.kv_cache_dtype),
    )
    if not is_countable_kv_dtype(engine.kv_cache_dtype):
        unknown.append(f"Only the engine's attention backend knows the layout of a {engine.kv_cache_dtype} KV cache")
    layers = question.model.layers
    try:
        return cache_groups(cache_specs(layers, context)), block_size_of(layers, context)
    except UnevenPagesError as error:
        unknown.append(f"The layers' caches cannot share blocks in a way that is known: {error}")
        return (), block_size_of(layers, context)


def _pool(books: Ledger, bills: Sequence[tuple[range, Bill]]) -> tuple[Pool, Bill]:
    """Return the pool of the tightest stage, and its bill."""
    reserved = 1 if books.rules.null_block_reserved else 0
    candidates = []
    for layers, bill in bills:
        size = bytes_per_block(books.groups, layers)
        # A stage without cached layers holds as many blocks as the others ask for.
        blocks = Blocks(max(0, bill.kv_cache) // size) if size else None
        candidates.append((blocks, size, bill))
    counted = [entry for entry in candidates if entry[0] is not None]
    if not counted:
        bill = min((bill for _, bill in bills), key=lambda bill: bill.kv_cache)
        return Pool(books.groups, _request(books), Blocks(0), Blocks(0), Bytes(0)), bill
    blocks, size, bill = min(counted, key=lambda entry: (entry[0] or 0, entry[2].kv_cache))
    blocks = blocks or Blocks(0)
    return Pool(books.groups, _request(books), blocks, Blocks(max(0, blocks - reserved)), size), bill


def _request(books: Ledger) -> RequestContext:
    settings = books.question.settings
    stages = settings.pipeline_parallel
    # With asynchronous scheduling a batch is prepared while others run; the first runner does it without stages only.
    batches = stages + 1 if books.runner is Runner.SECOND or stages == 1 else stages
    return RequestContext(
        tokens_in_flight=Tokens(batches * books.engine.max_num_batched_tokens),
        state_blocks=state_blocks(books.question, books.rules, books.groups),
    )


def state_blocks(question: Question, rules: EngineRules, groups: Iterable[CacheGroup]) -> Blocks:
    """Return the blocks of state that a request keeps in each group (MambaSpec.max_memory_usage_bytes)."""
    caching = question.settings.prefix_caching
    caching = rules.hybrid_prefix_caching if caching is None else caching
    # Prefixes are only cached where states stand beside attention.
    if not caching or all(group.spec.kind is CacheKind.STATE for group in groups):
        return Blocks(1)
    checkpoints = rules.mamba2_checkpoint and any(
        isinstance(layer, StateSpace) and layer.kind == "mamba2" for layer in question.model.layers
    )
    return Blocks(3 if checkpoints else 2)


def cache_of(pool: Pool, length: Tokens, block_size: Tokens) -> KVCache:
    """Return the cache as the engine tells it for this length."""
    need = pool.need(length)
    concurrency = pool.blocks / need
    return KVCache(
        block_size=block_size,
        bytes_per_block=pool.bytes_per_block,
        blocks=pool.blocks,
        blocks_per_request=need,
        tokens=Tokens(int(concurrency * length)),
        concurrency=concurrency,
    )


def resolved(settings: Settings, engine: EngineSettings, rules: EngineRules, length: Tokens) -> Resolved:
    """Return the settings as the engine will have them."""
    return Resolved(
        utilization=engine.utilization,
        max_model_len=length,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        kv_cache_dtype=engine.kv_cache_dtype,
        dtype=engine.dtype,
        engine_version=rules.version,
        kv_cache_memory=settings.kv_cache_memory,
        defaulted=engine.defaulted,
    )


def _notes(question: Question, rules: EngineRules, note: str | None) -> tuple[str, ...]:
    notes = [note] if note else []
    runner = runner_of(question.model, rules)
    notes.append(f"Rules of vLLM {rules.version}, model runner {runner}")
    if any(isinstance(layer, StateSpace) for layer in question.model.layers):
        notes.append("A request keeps a state of fixed size in each group beside its blocks")
    if question.correction is not None and question.correction.starts:
        notes.append(f"Corrected by {question.correction.starts} starts ({question.correction.name})")
    return tuple(notes)
