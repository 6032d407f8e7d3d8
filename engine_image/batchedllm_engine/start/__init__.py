"""A start of vLLM that says in one line why it cannot succeed, how long its phases took, and where the memory went.

    python -m batchedllm_engine serve MODEL [the flags of `vllm serve`]

What can be known beforehand is checked, then the process becomes `vllm serve` with these very arguments. While vLLM
starts, each of its processes keeps account of what it logs; the metrics tell the sum once the engine is up.
"""
