"""A stat logger plugin for vLLM: what its engine steps are like, which its own metrics do not tell.

vLLM finds it by the entry point group `vllm.stat_logger_plugins` wherever this package is installed, and calls it once
a step with numbers that it has anyway. Nothing of vLLM is patched, and nothing is asked of the engine's process.

Not here are queue and waits by priority class: vLLM's stats name no request's priority, so the middleware, which sets
it, counts those. With elastic expert parallelism vLLM drops plugins when it scales (v1/engine/async_llm.py).
"""
