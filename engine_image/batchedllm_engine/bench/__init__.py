"""How fast an engine is: by batch size, under a stream of requests, and with batches as they were made by hand before.

    python3 -m batchedllm_engine bench --base-url http://127.0.0.1:8000 --output profile.json
    python3 -m batchedllm_engine bench -- MODEL --max-num-seqs=256          starts the engine itself, and ends it

The batch curve and the stream are measured by vLLM's own bench (`vllm bench serve`), called in this process, where it
is installed; static batches, and everything where there is no vLLM, by a small client of ours. vLLM's `bench sweep` is
not used: it needs pandas, which no serving image has, starts the engine in development mode and ends it with SIGKILL.
"""
