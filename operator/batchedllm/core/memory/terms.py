"""The terms of the bill that are neither weights nor KV cache: bytes on one rank, and how sure they are."""

from math import ceil

from batchedllm.core.memory.activation import Step, activation_peak, is_measured
from batchedllm.core.memory.calibration import SAMPLER_ROW_BYTES, Calibration
from batchedllm.core.memory.engine_versions import Runner
from batchedllm.core.memory.units import MIB, Bytes, Certainty, Term, Tokens

STARTS = "fitted to starts of vLLM 0.26.0 on H100 and H200"
EAGER_ERROR, COMPILED_ERROR, UNSEEN_ERROR = 0.02, 0.05, 0.3
"""Largest share by which a measured peak was off, rounded up; and what a family that was not measured may be."""
GRAPHS_ERROR = 0.3
NON_TORCH_ERROR = Bytes(24 * MIB)
COMMUNICATION = Bytes(512 * MIB)
"""NCCL's and custom all-reduce's buffers of a tensor-parallel rank, which the engine does not tell: an estimate."""
COMMUNICATION_ERROR = Bytes(256 * MIB)


def activation_term(step: Step) -> Term:
    """Return the activation peak."""
    peak = activation_peak(step)
    if not is_measured(step):
        return Term(peak, Certainty.ESTIMATED, Bytes(ceil(peak * UNSEEN_ERROR)), "tensors of the widest layer")
    error = EAGER_ERROR if step.eager else COMPILED_ERROR
    return Term(peak, Certainty.CALIBRATED, Bytes(ceil(peak * error) + 8 * MIB), STARTS)


def persistent_term(step: Step) -> Term:
    """Return the buffers that the model runner makes before it profiles."""
    if step.runner is Runner.FIRST:
        return Term(Bytes(step.hidden), Certainty.EXACT, Bytes(0), "a step's embeddings")
    if not step.last_stage:
        return Term(Bytes(0), Certainty.EXACT, Bytes(0), "no sampler on this stage")
    vocabulary = step.model.vocabulary_size
    # Counts of the penalties, and two bit masks: of the prompt's tokens and of the grammar's.
    row = vocabulary * 4 + 2 * ceil(vocabulary / 32) * 4 + SAMPLER_ROW_BYTES
    return Term(Bytes(step.sequences * row), Certainty.CALIBRATED, Bytes(MIB), "the sampler's penalty counts")


def graphs_term(step: Step, layers: int) -> Term:
    """Return what the CUDA graphs take."""
    if step.eager:
        return Term(Bytes(0), Certainty.EXACT, Bytes(0), "no CUDA graphs")
    constants = step.calibration
    states = constants.graphs_per_state * layers * step.model.hidden_size
    latent = constants.graphs_latent if step.widths.latent else 1
    size = (constants.graphs_base + states / step.tensor_parallel) * latent
    # Seen divided in one start of two ranks; elsewhere it may be as much as undivided.
    undivided = (constants.graphs_base + states) * latent
    error = max(size * GRAPHS_ERROR, undivided - size)
    return Term(Bytes(ceil(size)), Certainty.ESTIMATED, Bytes(ceil(error)), STARTS)


def non_torch_term(runner: Runner, calibration: Calibration, ranks: int) -> Term:
    """Return what libraries take on the GPU past PyTorch."""
    alone = calibration.non_torch_first if runner is Runner.FIRST else calibration.non_torch_second
    if ranks == 1:
        return Term(alone, Certainty.CALIBRATED, NON_TORCH_ERROR, STARTS)
    # Seen on one pair of GPUs; on others it may be as much as without ranks.
    error = Bytes(alone - calibration.non_torch_spread)
    return Term(calibration.non_torch_spread, Certainty.ESTIMATED, error, "starts of vLLM 0.26.0 on two H200")


def block_tables(sequences: int, length: Tokens, block_sizes: tuple[Tokens, ...]) -> Bytes:
    """Return the tables of blocks: made after profiling, twice for each group (v1/worker/gpu/block_table.py)."""
    return Bytes(sum(2 * sequences * ceil(length / size) * 4 for size in block_sizes))
