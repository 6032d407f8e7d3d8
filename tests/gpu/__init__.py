"""Proof on a real GPU: `python -m gpu` (PYTHONPATH=tests) packs what a bare GPU host lacks, and runs the cases there.

`pack` writes parts that can be carried to a host without a network. `run` joins them there, brings up the testbed's
Kubernetes with one GPU advertised in shares, installs the operator by its chart, lets it start real vLLM engines, and
holds what it plans, reads and decides against them. Each case is an experiment (`cases/`), what it has to show is a
pure function beside it, and what was seen is a JSON file. `report` makes docs/gpu.md of those files.

The engine's pods of this harness use the host's Python and PyTorch, which nobody should do in earnest: `overlay`.
"""
