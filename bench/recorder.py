"""What it costs to count one request: `python -m bench.recorder`.

The least of many short rounds, so that other processes do not count.  Microseconds.
"""

from __future__ import annotations

import time

from hoosh.observe import Metrics
from hoosh.values import Outcome, Record, Usage

ROUNDS, REQUESTS = 600, 300
RECORD = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=1.7e9,
    duration_s=0.2,
    queue_s=0.002,
    phases=(0.01, 0.0, 0.02, 0.05, 0.1, 0.01),
    first_token_s=0.1,
    kind="chat",
    caller="ada",
    model="m",
    served_model="gpt-4o",
    provider="openai",
    stream=True,
    attempts=1,
    usage=Usage(10, 20),
)


def least_us(metrics: Metrics) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            metrics.record(RECORD)
        least = min(least, time.perf_counter() - began)
    return least / REQUESTS * 1e6


if __name__ == "__main__":
    print(f"one streamed chat, counted: {least_us(Metrics(version='bench')):.2f} µs")
