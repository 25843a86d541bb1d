"""Quantiles out of the histograms that a server exports at /metrics."""

import re

LINE = re.compile(r'^(?P<name>\w+)_bucket\{(?P<labels>[^}]*)\} (?P<count>\S+)')
LABEL = re.compile(r'(\w+)="([^"]*)"')


def histograms(text, name):
    """{value of the one label, or "": [(upper bound, cumulative count)]}"""
    found = {}
    for line in text.splitlines():
        if (match := LINE.match(line)) and match["name"] == name:
            labels = dict(LABEL.findall(match["labels"]))
            bound = float(labels.pop("le").replace("+Inf", "inf"))
            found.setdefault(next(iter(labels.values()), ""), []).append((bound, float(match["count"])))
    return found


def since(before, after):
    """What was counted between two looks."""
    earlier = {label: dict(buckets) for label, buckets in before.items()}
    return {
        label: [(bound, count - earlier.get(label, {}).get(bound, 0)) for bound, count in buckets] for label, buckets in after.items()
    }


def quantile(buckets, q):
    """Within its bucket by even spread; None if nothing was counted."""
    total = buckets[-1][1] if buckets else 0
    if total == 0:
        return None
    below, low = 0, 0.0
    for bound, count in buckets:
        if count >= q * total:
            share = (q * total - below) / (count - below)
            return low if bound == float("inf") else low + share * (bound - low)
        below, low = count, bound
    return low
