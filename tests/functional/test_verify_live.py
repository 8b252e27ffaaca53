#!/usr/bin/python3
"""nsp verify --live sends real packets through rules and reports on each.

Whether the machine is idle enough for every delay to be inside what is allowed
is the report's own verdict, not this test's. What is no matter of time is.

Usage: test_verify_live.py NSP
"""

import json
import pathlib
import subprocess
import sys
import tempfile

POLICY = """
version: 1
intercept: { on: [forward] }
classes: { ten: { rate: 10mbit, queue: 50ms } }
rules:
  - { name: dropped, match: "udp.DstPort == 9", action: drop }
  - { name: nth, match: "udp.DstPort == 1001", delay: 2ms,
      loss: { model: nth, n: 4 } }
  - { name: bursts, match: "ipv6 and udp.DstPort == 1002", delay: 5ms,
      jitter: { sd: 1ms }, loss: { model: gilbert-elliott, p: 10%, burst: 3 } }
  - { name: ten, match: "udp.DstPort == 1003", class: ten }
  - { name: edited, match: "udp.DstPort == 1004", dscp: 46, ttl: 7 }
  - { name: copies, match: "udp.DstPort == 1005",
      duplicate: { chance: 20%, copies: 2 } }
  - { name: early, match: "udp.DstPort == 1006", delay: 200ms,
      reorder: { gap: 4, chance: 50% } }
  - { name: noisy, match: "udp.DstPort == 1007", tamper: 10% }
  - { name: cut, match: "ipv6 and udp.DstPort == 1008",
      cutoff: { bytes: 300kb } }
  - { name: mtu, match: "udp.DstPort == 1009", mtu-clamp: 1300 }
  - { name: slots, match: "udp.DstPort == 1011", burst: 20ms }
  - { name: flap, match: "udp.DstPort == 1012", flap: { times: [90ms, 60ms] } }
  - { name: few, match: "udp.DstPort == 1013",
      throttle: { packets: 1000, per: 1s, burst: 50 } }
  - { name: plan, match: "udp.DstPort == 1014",
      rate: { schedule: [{ for: 300ms, rate: 8mbit },
                         { for: 200ms, rate: 2mbit, to: 4mbit }] } }
  - { name: of-tcp, match: "udp.DstPort == 1015", tcp-rst: 1% }
  - { name: tcp, match: "tcp", delay: 5ms }
"""

# Not a matter of time, so they pass on any machine.
SURE = {("dropped", "packets let through"), ("nth", "packets lost"),
        ("nth", "packets treated otherwise"), ("bursts", "rate"),
        ("edited", "packets edited wrongly"), ("copies", "copies"),
        ("copies", "rate"), ("early", "packets at once too soon"),
        ("noisy", "rate"), ("cut", "packets treated otherwise"),
        ("mtu", "packets that fit"), ("mtu", "rate"), ("mtu", "answers"),
        ("slots", "packets that came")}


def main():
    with tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "policy.yaml"
        policy.write_text(POLICY)
        run = subprocess.run([sys.argv[1], "verify", "--live", "--json",
                              "--packets", "1000", policy],
                             stdout=subprocess.PIPE, check=False, timeout=200)
    report = json.loads(run.stdout)
    if run.returncode == 3 and "error" in report:
        print(report["error"])
        return 77
    assert run.returncode == (0 if report["ok"] else 1), run.returncode
    assert report["mode"] == "live"
    checks = {(rule["name"], check["quantity"]): check
              for rule in report["rules"] for check in rule["checks"]}

    for name, check in checks.items():
        if check["result"] in ("pass", "fail"):
            low, high = check["allowed"]
            inside = low <= check["achieved"] <= high
            assert (check["result"] == "pass") == inside, (name, check)
    for name in SURE:
        assert checks[name]["result"] == "pass", (name, checks[name])
    for name in [("nth", "median"), ("bursts", "median"),
                 ("bursts", "KS distance"), ("ten", "rate"),
                 ("slots", "median time from a window"),
                 ("flap", "mean time up"), ("flap", "mean time down"),
                 ("few", "packets let through"), ("plan", "mean rate")]:
        assert checks[name]["achieved"] > 0, (name, checks[name])
    assert checks["tcp", "all"]["result"] == "not-tested"
    assert checks["of-tcp", "all"]["result"] == "not-tested"
    assert "UDP" in checks["of-tcp", "all"]["note"]
    assert report["not_tested"] == 2, report
    return 0


sys.exit(main())
