"""What the names of a log's columns say."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAMES = {
    "slate_id": r"(slate|impression|request|query|page|list)s?_?(id|no|number)|impression|request|query",
    "candidates": r"candidates?(_(items?|ids?|docs?))?|pool|eligible(_items)?|action_set|available(_items)?",
    "session": r"session(_?id)?|episode(_?id)?|visit(_?id)?|trajectory(_?id)?",
    "user_id": r"(user|visitor|customer|client|member)(_?id)?|uid",
    "step": r"step|t|turn|seq(uence)?(_?(no|number))?|round|step_(id|no|number)",
    "time": r"time_?stamp|time(_ms|_s)?|ts|date_?time|date|(created|event|request)_?(at|time)",
    "propensity": r"(log_?)?propensit(y|ies)(_score)?|pscore|(action_)?prob(abilit(y|ies))?s?|log_?probs?|logp",
    "clicks": r"(is_?)?click(s|ed|_?position|(ed)?_?(item|position|product|video|movie|article|doc)?(_?ids?)?|_flags?)?"
    r"|label",
    "position": r"position|rank|slot|pos|place",
    "reward": r"rewards?|rating|revenue|return|gain|value",
    "terminated": r"terminated|done|terminal|is_?last",
    "truncated": r"truncated",
    "valid": r"valid",
    "slate": r"slate|shown|displayed|recommend(ed|ations)(_items?)?|impressions|"
    r"(item|movie|video|product|article|news|ad|doc(ument)?|song|track|action)s?(_?ids?)?|sku|(shown|slate)_(items?|ids?)",
}
USER = re.compile(
    r"(user|context|visitor|customer|client|member)[-_ ].*|age|gender|country|device|os|platform|language|user"
)
RESPONSE = re.compile(
    r"(watch|play|dwell|view|reading|listen)(ing|ed)?_?(time|duration|seconds|ms)?(_ms|_s)?|like[sd]?|is_\w+|"
    r"follow(ed)?|share[sd]?|comment(s|ed)?|purchase[sd]?|cart|quality|response_\w+|rating"
)
NUMBERED = re.compile(r"(.*?)[-_ ]?(\d+)")


def by_role(columns: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns whose names, or whose names without a final number, fit each role."""
    found: dict[str, list[str]] = {}
    for name in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
        stem = match[1] if (match := NUMBERED.fullmatch(plain)) and not plain.startswith("user") else plain
        for role, pattern in _NAMES.items():
            if re.fullmatch(pattern, plain) or (stem != plain and re.fullmatch(pattern, stem)):
                found.setdefault(role, []).append(name)
                break
    return found
