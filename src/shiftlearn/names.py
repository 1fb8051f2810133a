"""The names that settings may take, without the cost of importing what they name."""

FEEDBACK = ("symmetric", "random", "sign", "none")  # of a layer
PATHWAYS = (*FEEDBACK, "direct")  # of a network
MODULATORS = ("error", "reward")
CODINGS = ("latency", "on-off", "population", "binarised")
LOSSES = ("cross-entropy", "published")
READOUTS = ("z", "t")
INITIALISATIONS = ("uniform", "data")
PREPROCESSING = ("none", "edges")
SCALINGS = ("minmax", "quantile", "robust", "global")
SPIKE_FILES = (".mat", ".npz")
RULES = ("shifting", "normalized", "exact")  # those built in
