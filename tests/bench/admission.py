"""Admission reviews a second, and how long the slowest take, with 100 images whose verdicts are kept.

    python -m tests.bench.admission [--seconds N] [--connections N]

``trustkit serve`` and ``trustkit admission serve`` are processes of their own; wrk posts reviews of Pods with two
containers over TLS: first as fast as each connection is answered, which gives the rate, then every 15 ms on each of 8
connections, some 500 a second, which gives the p99.  The verdicts come from ten collections of ten tags, and are
asked for anew while this runs.  The last lines are ``rate N`` and ``p99 N ms``.  Needs wrk (Debian: wrk), and
a machine with nothing else to do: load generator, webhook and trust service share its processors.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

from tests.hooks.webhook import Webhook, pod, review
from tests.service import RunningService
from trustkit.cli.demo_images import write_image

COLLECTIONS, TAGS = 10, 10
PAUSE = 14
"""Milliseconds between an answer and the next review of a connection, in the second run."""

SCRIPT = """
local bodies, at = {}, 0
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function() at = at % #bodies + 1; return wrk.format(nil, "/mutate?timeout=10s", nil, bodies[at]) end
local bad, pause = 0, PAUSE
if pause > 0 then delay = function() return pause end end
response = function(status, headers, body)
  if status ~= 200 or not body:find('"patchType":"JSONPatch"', 1, true) then bad = bad + 1; print("BAD " .. body) end
end
done = function(summary, latency, requests)
  print(string.format("p50 %.2f ms, p90 %.2f ms, most %.2f ms", latency:percentile(50) / 1000,
    latency:percentile(90) / 1000, latency.max / 1000))
  local errors = summary.errors
  print("failed " .. errors.connect + errors.read + errors.write + errors.status + errors.timeout)
  print(string.format("rate %.0f", summary.requests / summary.duration * 1e6))
  print(string.format("p99 %.2f ms", latency:percentile(99) / 1000))
end
"""


def signed(service: RunningService, folder: Path) -> tuple[str, list[str]]:
    """Signs the images; returns the id of their root key, and their references."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    references = []
    write_image(folder / "oci", "t", "the bench's image")
    for collection in range(COLLECTIONS):
        own = [f"{service.host}/team/app{collection}:v{tag}" for tag in range(TAGS)]
        for reference in own:
            if alice("push", f"oci:{folder / 'oci'}:t", reference).status != 0:
                raise SystemExit("a push failed")
        if alice("sign", *own).status != 0:
            raise SystemExit("signing failed")
        references += own
    return alice.root_key(), references


def measure(folder: Path, seconds: int, connections: int) -> list[str]:
    """What wrk says, at full speed and at the wanted rate."""
    service = RunningService(folder / "service")
    (folder / "service").mkdir()
    service.start()
    try:
        key, references = signed(service, folder)
        config = service.principal("carol", "AcrPull").environment()["DOCKER_CONFIG"]
        policy = f'version = 1\n[[rule]]\npattern = "{service.host}/*"\nroot_keys = ["{key}"]\n'
        webhook = Webhook(folder / "webhook", policy, environ={"DOCKER_CONFIG": config}).start()
        try:
            bodies = []
            for number, reference in enumerate(references):
                asked = review("Pod", pod(reference, references[number - 1]))
                if not webhook.mutate(asked).allowed:
                    raise SystemExit(f"{reference} was refused")
                bodies.append(json.dumps(asked))
            (folder / "bodies").write_text("\n".join(bodies) + "\n")
            said = []
            for pause in (0, PAUSE):
                script = folder / f"{pause}.lua"
                script.write_text(SCRIPT.replace("BODIES", str(folder / "bodies")).replace("PAUSE", str(pause)))
                command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), webhook.url]
                said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            return said
        finally:
            webhook.stop()
    finally:
        service.stop()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = measure(Path(folder), arguments.seconds, arguments.connections)
    for each in said:
        if "BAD " in each or "failed 0" not in each:
            raise SystemExit(each[-2000:])
    found = [dict(re.findall(r"^(p50|rate|p99) ([^,\n]*)", each, re.MULTILINE)) for each in said]
    print(f"{arguments.connections} connections, {COLLECTIONS * TAGS} images")
    print(f"at full speed: p50 {found[0]['p50']}, p99 {found[0]['p99']}")
    print(f"at {found[1]['rate']} a second: p50 {found[1]['p50']}")
    print(f"rate {found[0]['rate']}")
    print(f"p99 {found[1]['p99']}")


if __name__ == "__main__":
    main()
