"""Rules for runs whose budgets are small."""

from __future__ import annotations

from typing import Any

from gate5.config.gate import OF_MANY_EPISODES, default_rules

#: The default rules without a veto for what a handful of episodes cannot show, as a YAML file has them.
FEW_EPISODES: list[dict[str, Any]] = [rule.model_dump(mode="json") for rule in default_rules(OF_MANY_EPISODES)]
