"""Statistics of predictions and their outcomes: pure functions over numpy arrays, and pictures of the results.

It knows no table, no HTTP and no model. `drift`, `reference` and `verdict` need no numpy; everything else does, and
imports nothing larger but scipy in `calibration`, where it is used. The choices: docs/explanation/evaluation.md.

| question | module | call |
|---|---|---|
| How good were the scores? | `binary`, `labels` | `evaluate_binary(…)`, `evaluate_labels(…)` |
| What do the reviewed items say of all? | `draws`, `weighting` | `weigh(propensity(arrived, score, draws), decided)` |
| How good are they, before outcomes come? | `calibration`, `estimated` | `estimate_performance(probability)` |
| Has a column moved? | `reference`, `columns`, `drift` | `compare(reference.counted, count(reference, values))` |
| May a version go live? | `gate` | `judge(truth, live, new, margin=…)` |
| Is the week complete enough to judge? | `maturity` | `delay_curve(delay, decided)`, `maturity(curve, age, decided)` |
| What would change with it? | `shadow`, `migration` | `compare_versions(live, new, k)`, `migration(live, new)` |

`linear.Estimate` is a metric with its influence function, from which intervals and paired differences follow.
`artefact.as_json` writes every result.
"""
