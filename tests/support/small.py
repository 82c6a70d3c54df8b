"""Rules for runs whose budgets are small."""

from __future__ import annotations

from typing import Any

from gate5.config.gate import default_rules

#: What a handful of episodes cannot show.
OF_MANY = ("violation_bound", "no_term_worse_than_pid")
#: The default rules without a veto for that, as a YAML file has them.
FEW_EPISODES: list[dict[str, Any]] = [rule.model_dump(mode="json") for rule in default_rules(OF_MANY)]
