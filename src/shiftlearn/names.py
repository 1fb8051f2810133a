"""The names that settings may take, without the cost of importing what they name."""

FEEDBACK = ("symmetric", "random", "sign", "none")
CODINGS = ("latency", "on-off", "population", "binarised")
LOSSES = ("cross-entropy", "published")
PREPROCESSING = ("none", "edges")
SCALINGS = ("minmax", "quantile", "robust", "global")
