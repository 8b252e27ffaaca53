"""What policies of many rules cost, beside DPDK's librte_acl: a section of
run.py."""

import subprocess


def fields_of(args, program):
    """The lines of a program's output, cut at blanks."""
    out = subprocess.run([args.build / "bench" / program], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return [line.split() for line in out.splitlines()]


CLASSIFIER_TARGETS_NS = {100: 25, 1000: 45, 10000: 100}


def measure_classifier(args, table):
    """Without the flow cache, beside DPDK's librte_acl with the same instructions;
    '-' is what this processor, or this machine, does not have."""
    for line in fields_of(args, "bench_classifier")[2:]:
        kind, family, rules = *line[:2], int(line[2])
        plain, avx2, avx512, _, acl_avx2, acl_avx512 = line[5:11]
        build_ms, acl_ms, mib = map(float, line[12:15])
        what = f"{kind}, {family}, {rules:,} rules, ns"
        if avx512 == "-" and avx2 == "-":
            table.add(f"{what}, plain C", plain)
        for name, ours, peer, most in (
                ("AVX2", avx2, acl_avx2, None),
                ("AVX-512", avx512, acl_avx512, CLASSIFIER_TARGETS_NS[rules])):
            if ours == "-":
                continue
            met = most is None or family == "IPv6" or float(ours) <= most
            if peer != "-":
                met &= float(ours) <= float(peer)
            table.add(f"{what}, {name}, to rte_acl", ours, peer,
                      "" if peer == "-" else
                      "%.2f" % (float(peer) / float(ours)), ">= 1.0", met)
        if rules == 10000 and acl_ms > 0:
            table.add("  building, ms", "%.1f" % build_ms, "%.0f" % acl_ms,
                      "%.0f" % (acl_ms / build_ms), ">= 20",
                      acl_ms >= 20 * build_ms)
            table.add("  memory, MiB", "%.2f" % mib, "", "", "<= 4 MB",
                      mib * 1.048576 <= 4)


def measure_cache(args, table):
    by_rules = {}
    for line in fields_of(args, "bench_flow_cache")[1:]:
        rules, _, tracking, _, many = map(float, line)
        by_rules[int(rules)] = many
        table.add(f"1,000,000 flows, {int(rules):,} rules, ns", "%.1f" % many,
                  "", "", "<= 35 ns", many <= 35)
        table.add("  of which finding the flow", "%.1f" % tracking)
    ratio = by_rules[10000] / by_rules[10]
    table.add("  10,000 rules to 10", "%.2f" % ratio, "", "", "<= 1.3",
              ratio <= 1.3)


RELOADED = {"plain": "10,000 rules", "rates": "10,000 rules, a rate each"}


def measure_reload(args, table):
    """What the engine takes from a burst to the next, without what other threads
    and the host got; in the second column what it does when nothing changes,
    beside the worst of 20 changes the worst of 20 moments: what the machine alone
    makes of it."""
    got = {}
    for kind, what, *figures in fields_of(args, "bench_reload"):
        got[kind, what] = [float(figure) for figure in figures]
    for kind, name in RELOADED.items():
        _, _, lost, reordered = got[kind, "change"]
        for what, count in ("lost", lost), ("reordered", reordered):
            table.add(f"{name} replaced under load, {what}", "%d" % count, "",
                      "", "0", count == 0)
        after, with_, without = (got[kind, when][1:] for when in
                                 ("after", "with", "without"))
        table.add("  longest burst after it, us", "%.1f" % after[0],
                  "%.1f" % without[0], "", "<= 100", after[0] <= 100)
        table.add("  worst of 20 times", "%.1f" % after[2],
                  "%.1f" % without[4], "", "<= 100", after[2] <= 100)
        table.add("  while policies are made: 99 %", "%.1f" % with_[1],
                  "%.1f" % without[1])
        table.add("  worst", "%.1f" % with_[2], "%.1f" % without[2])
        table.add("  worst, with what others got", "%.1f" % with_[3],
                  "%.1f" % without[3])


def measure_policy(args, table):
    measure_classifier(args, table)
    measure_cache(args, table)
    measure_reload(args, table)
