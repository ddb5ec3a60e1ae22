"""Which tunables mattered in a search."""

import warnings
from collections.abc import Sequence
from typing import Literal

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from rffd.search_space import Dimension
from rffd.study import Outcome

ENOUGH = 12  # trials that weren't failed; with fewer, shares are noise
TOP = 5  # trials that the method needs at least among the good ones


def importances(
    outcomes: Sequence[Outcome], dimensions: Sequence[Dimension], direction: Literal["maximize", "minimize"]
) -> dict[str, float]:
    """Each tunable's share in what sets the best trials apart from the space (PED-ANOVA, Watanabe et al. 2023).

    Pruned trials count as no better than the worst complete one: only ranks matter here, and to leave them out would
    hide the very tunable that got them pruned. The shares sum to 1, largest first; empty if there are too few trials.
    """
    told = [(outcome, outcome.value) for outcome in outcomes if outcome.value is not None]
    complete = [value for outcome, value in told if outcome.state == "complete"]
    if len(told) < ENOUGH or len(set(complete)) < TOP:
        return {}
    worst, worse = (min(complete), min) if direction == "maximize" else (max(complete), max)
    study = optuna.create_study(direction=direction)
    distributions = {dimension.name: _distribution(dimension) for dimension in dimensions}
    for outcome, value in told:
        ranked = value if outcome.state == "complete" else worse(value, worst)
        study.add_trial(optuna.create_trial(params=outcome.values, distributions=distributions, value=ranked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantile = max(0.1, TOP / len(told))
        evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile, evaluate_on_local=False)
        shares = get_param_importances(study, evaluator=evaluator)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if dimension.choices is not None:
        return optuna.distributions.CategoricalDistribution(dimension.choices)
    kind = optuna.distributions
    make = kind.IntDistribution if isinstance(dimension.low, int) else kind.FloatDistribution
    return make(dimension.low, dimension.high, log=dimension.log)  # type: ignore[arg-type]  # a range has both ends
