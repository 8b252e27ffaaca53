#!/usr/bin/python3
"""Policies of any shape: 'nsp check' takes them, and 'nsp policy format' prints
the same policy, which PyYAML reads to the same values.

usage: pytest test_policy_round_trip.py, with NSP in the environment
"""

import json
import os
import subprocess

import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

NSP = os.environ["NSP"]

NAME = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
SET_NAME = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,20}", fullmatch=True)
RATE = st.builds("{}{}".format, st.integers(8, 999),
                 st.sampled_from(["kbit", "mbit", "gbit", "kBps"]))
TIME = st.builds("{}{}".format, st.integers(1, 900),
                 st.sampled_from(["ns", "us", "ms", "s"]))
SHARE = st.builds(lambda n: f"{n // 10000}.{n % 10000:04}%",
                  st.integers(0, 999999))
QUEUE = st.one_of(TIME, st.builds("{}kb".format, st.integers(2, 900)),
                  st.builds("{}p".format, st.integers(1, 900)))
TEXT = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Cn", "Zl", "Zp"],
                  blacklist_characters="\ufeff\ufffe\uffff"),
    min_size=1, max_size=30)
MATCH = st.sampled_from([
    "tcp.DstPort == 443", "udp and not inbound", "ip.SrcAddr == 10.0.0.0/8",
    "tcp.DstPort in { 80, 8000..8080 }\n  or udp", "true", "icmp or icmpv6"])
DAY = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
CLOCK = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
HOURS = st.tuples(CLOCK, CLOCK).filter(lambda t: t[0] != t[1]).map("-".join)


def maybe(**keys):
    return st.fixed_dictionaries({}, optional=keys)


def both(*parts):
    """One mapping with what all of 'parts' have."""
    return st.tuples(*parts).map(
        lambda made: {key: value for part in made for key, value in
                      part.items()})


RATES = st.one_of(RATE, st.fixed_dictionaries(
    {"schedule": st.lists(st.fixed_dictionaries(
        {"for": TIME, "rate": RATE}, optional={"to": RATE}), min_size=1,
        max_size=3)}, optional={"repeat": st.booleans()}))
LINK = st.fixed_dictionaries({"rate": RATES}, optional={
    "queue": QUEUE, "queue-drop": st.sampled_from(["head", "tail"]),
    "overhead": st.integers(-64, 256)})
LOSS = st.one_of(
    SHARE,
    st.fixed_dictionaries({"model": st.just("gilbert-elliott"),
                           "p": st.just("1%"), "burst": st.integers(1, 99)}),
    st.fixed_dictionaries({"model": st.just("nth"),
                           "n": st.integers(1, 10**6)}),
    st.fixed_dictionaries({"model": st.just("pattern"), "pattern":
                           st.text("01", min_size=1, max_size=40)}),
    st.fixed_dictionaries({"model": st.just("consecutive"), "chances":
                           st.lists(SHARE, min_size=1, max_size=5)}),
    st.fixed_dictionaries({"model": st.just("timed"), "enter": SHARE,
                           "time": TIME}, optional={"loss": SHARE}))
DELAY = st.one_of(
    st.fixed_dictionaries({"delay": TIME}),
    st.fixed_dictionaries({"delay": st.fixed_dictionaries(
        {"trace": st.lists(TIME, min_size=1, max_size=4)},
        optional={"step": TIME})}),
    st.fixed_dictionaries({"delay": TIME, "jitter": st.fixed_dictionaries(
        {"sd": TIME}, optional={
            "distribution": st.sampled_from(["normal", "pareto"]),
            "correlation": SHARE, "keep-order": st.booleans()})}))
WAY = maybe(rate=RATE, loss=LOSS)
PROFILE = st.one_of(
    st.sampled_from(["lte", "dsl", "fios", "nlc-edge"]),
    st.fixed_dictionaries({"name": st.just("3g"),
                           "way": st.sampled_from(["both", "down", "up"])}))
OTHERS = maybe(**{
    "syn-drop": LOSS,
    "ack-delay": st.one_of(TIME, st.fixed_dictionaries(
        {"time": TIME}, optional={"all": st.booleans(), "chance": SHARE})),
    "out-of-order": st.one_of(TIME, st.fixed_dictionaries(
        {"within": TIME}, optional={"chance": SHARE, "correlation": SHARE})),
    "burst": st.one_of(TIME, st.fixed_dictionaries(
        {"interval": TIME}, optional={"packets": st.integers(1, 99),
                                      "bytes": st.just("9kb")})),
    "duplicate": st.one_of(SHARE, maybe(copies=st.integers(1, 64),
                                        spacing=TIME)),
    "throttle": st.one_of(st.integers(1, 10**9), st.fixed_dictionaries(
        {"packets": st.integers(1, 99)}, optional={
            "per": TIME, "queue": st.integers(0, 99)})),
    "tamper": st.one_of(SHARE, maybe(
        chance=SHARE, flip=st.integers(1, 64), truncate=st.just("60b"),
        rewrite=st.sampled_from(["random", "dead00"]),
        checksum=st.sampled_from(["keep", "repair", "break"]))),
    "mtu-clamp": st.one_of(st.integers(68, 65535), st.fixed_dictionaries(
        {"size": st.just(1400)}, optional={
            "excess": st.sampled_from(["answer", "drop", "truncate"])})),
    "window-clamp": st.integers(1, 2**30),
    "tcp-rst": st.one_of(SHARE, maybe(
        ends=st.sampled_from(["both", "sender", "receiver"]),
        once=st.booleans())),
    "flap": st.fixed_dictionaries({"times": st.tuples(TIME, TIME).map(list)},
                                  optional={"hold": st.booleans()}),
    "cutoff": st.fixed_dictionaries({"bytes": st.just("1mb")}, optional={
        "time": TIME, "stall": TIME}),
})
EFFECTS = both(st.one_of(st.just({}), DELAY), maybe(loss=LOSS), OTHERS)
EDITS = maybe(dscp=st.one_of(st.integers(0, 63), st.just("AF41")),
              ecn=st.sampled_from(["ce", "ect0", "ect1", "not-ect"]),
              ttl=st.integers(1, 255), mss=st.integers(88, 65535),
              mark=st.sampled_from([7, "0x10/0xff", "0xffffffff"]))
COMMON = maybe(description=TEXT, match=MATCH, enabled=st.booleans(),
               direction=st.sampled_from(["both", "inbound", "outbound"]),
               log=st.integers(1, 1000), capture=st.just("a/b.pcapng"),
               when=maybe(days=st.lists(st.one_of(
                   DAY, st.tuples(DAY, DAY).map("-".join)), max_size=4),
                   hours=st.lists(HOURS, max_size=3)))
LIMIT = st.one_of(RATE, st.fixed_dictionaries(
    {"rate": st.just("100pps")}, optional={"burst": st.just("20p")}))


@st.composite
def policies(draw):
    policy = {"version": 1}
    classes = draw(st.dictionaries(NAME, LINK, max_size=3))
    impairments = draw(st.dictionaries(NAME, EFFECTS, max_size=3))
    sets = draw(st.dictionaries(SET_NAME, st.fixed_dictionaries(
        {"ports": st.lists(st.integers(0, 65535), max_size=4)}), max_size=2))
    names = draw(st.lists(NAME.filter(lambda n: n != "default"), unique=True,
                          max_size=5))
    rules = []
    for name in names:
        end = draw(st.sampled_from(["drop", "reject", None, None, None]))
        rule = {"name": name, **draw(COMMON)}
        if end:
            rule["action"] = end
        else:
            rule |= draw(both(EDITS, maybe(limit=LIMIT)))
            if classes and draw(st.booleans()):
                rule["class"] = draw(st.sampled_from(sorted(classes)))
            elif draw(st.booleans()):
                rule |= draw(LINK)
            if impairments and draw(st.booleans()):
                rule["impair"] = draw(st.sampled_from(sorted(impairments)))
            else:
                rule |= draw(EFFECTS)
                if draw(st.booleans()):
                    rule["profile"] = draw(PROFILE)
                if "class" not in rule and "direction" not in rule and \
                        draw(st.booleans()):
                    rule |= draw(maybe(inbound=WAY, outbound=WAY))
        if sets and draw(st.booleans()):
            rule["match"] = f"localPort in @{draw(st.sampled_from(sorted(sets)))}"
        rules.append(rule)
    for key, value in [("sets", sets), ("classes", classes),
                       ("impairments", impairments), ("rules", rules)]:
        if value or draw(st.booleans()):
            policy[key] = value
    return policy


def nsp(*arguments, text=None):
    return subprocess.run([NSP, *arguments], input=text, capture_output=True,
                          timeout=60, check=False, encoding="utf-8")


def as_text(value):
    """Every scalar as nsp sees it: text."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return json.dumps(value) if isinstance(value, (bool, int)) else value


@settings(max_examples=40, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))
@given(policies(), st.booleans())
def test_what_is_printed_is_the_same_policy(policy, flow):
    text = yaml.safe_dump(as_text(policy), allow_unicode=True,
                          sort_keys=False, default_flow_style=flow)
    check = nsp("check", "-", text=text)
    # Some mark packets where no device sets marks, which has no other fault.
    errors = [line for line in check.stderr.splitlines()
              if line.startswith("nsp: error: ")]
    assert check.returncode == (2 if errors else 0), text + check.stderr
    assert all(": mark: rule " in line for line in errors), text + check.stderr
    once = nsp("policy", "format", "-", text=text)
    assert once.returncode == 0, text + once.stderr
    again = nsp("policy", "format", "-", text=once.stdout)
    assert again.stdout == once.stdout
    # And another reader finds the same keys in it.
    found = yaml.load(once.stdout, yaml.BaseLoader)
    assert [rule["name"] for rule in found.get("rules") or []] == [
        rule["name"] for rule in policy.get("rules", [])]
    for rule, printed in zip(policy.get("rules", []), found.get("rules") or []):
        assert set(rule) == set(printed)
        assert rule.get("description") == printed.get("description")
        assert rule.get("match", "").split() == printed.get("match", "").split()


def test_the_schema_is_json_and_knows_rules():
    schema = json.loads(nsp("policy", "schema").stdout)
    top = schema["allOf"][0]
    assert top["required"] == ["version"]
    assert "match" in top["properties"]["rules"]["allOf"][0]["items"][
        "properties"]
