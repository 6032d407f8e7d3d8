"""A simulated vLLM engine: continuous batching on an explicit clock, timed by measurements of real GPUs.

Everything here is pure: no clock, no randomness, no files, nothing but the standard library. The HTTP server of the
engine image drives it in real time; a scaling simulation drives the same code through an hour in seconds.

- `engine`: its clock and its requests; `scheduler`: what each step works on;
  `engine_settings`: what configures it; `events`: what goes in and comes out;
- `step_times`: how long one engine step takes, with the measurements it was fitted to in `measurements`;
- `memory`: how many KV blocks the simulated GPU holds;
- `statistics`: what vLLM's metrics count;
- `workload`: traces of requests.
"""
