"""A whole cluster in an hour of simulated time: requests, replicas, scrapes, decisions, start-ups and drains.

- `simulation`: the loop; `replicas`: the pods and the routing to them; `settings`: what configures both;
- `autoscaler`: what a policy sees and answers; `own_policy`: the operator's own, `core` unchanged;
- `score`: who was served in time, and at what cost; `slo`: what in time means;
- `capacity`: what one replica holds of a workload;
- `clairvoyant`: the cheapest plan of who knows the future; `plans`: what plans are and cost; `fixed`: runs them.
"""
