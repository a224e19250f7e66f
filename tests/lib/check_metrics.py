#!/usr/bin/env python3
"""Reads a page of metrics from standard input as strictly as the format is written, and prints the values asked for:
check_metrics.py 'NAME{label="value"}'..."""
import re
import sys

from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
if not text.endswith("\n"):
    sys.exit("the page does not end with a newline")
seen, ended, family, typed = set(), set(), None, {}
for line in text.splitlines():
    head = re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line)
    if head:
        if head[1] == "HELP":
            if head[2] in ended or head[2] == family:
                sys.exit(f"{head[2]} is there twice")
            ended.add(family)
            family = head[2]
        elif head[2] != family or head[3] not in ("gauge", "counter", "histogram"):
            sys.exit(f"this type is in a wrong place: {line}")
        typed[head[2]] = head[3] if head[1] == "TYPE" else typed.get(head[2])
        continue
    sample = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_]\w*="([^"\\\n]|\\[\\"n])*",?)+\})? (\S+)', line)
    if not sample:
        sys.exit(f"this is no sample: {line}")
    float(sample[5])
    name = re.sub(r"_(bucket|sum|count)$", "", sample[1]) if typed.get(family) == "histogram" else sample[1]
    if name != family or not typed.get(family):
        sys.exit(f"this sample is not below its type: {line}")
    if typed[family] == "counter" and not name.endswith("_total"):
        sys.exit(f"the name of a counter ends with _total: {line}")
    if line.rsplit(" ", 1)[0] in seen:
        sys.exit(f"this is there twice: {line}")
    seen.add(line.rsplit(" ", 1)[0])

values = {}
for metric in text_string_to_metric_families(text):
    for sample in metric.samples:
        labels = ",".join(f'{k}="{v}"' for k, v in sample.labels.items() if k != "id")
        values[sample.name + ("{" + labels + "}" if labels else "")] = sample.value
buckets = [v for k, v in values.items() if k.startswith("holdfast_api_request_duration_seconds_bucket")]
if buckets != sorted(buckets) or buckets[-1] != values["holdfast_api_request_duration_seconds_count"]:
    sys.exit(f"the buckets do not add up: {buckets}")
for wanted in sys.argv[1:]:
    if wanted not in values:
        sys.exit(f"{wanted} is not there; there are: " + "\n".join(sorted(values)))
    print(int(values[wanted]))
