"""The names that settings may take, without the cost of importing what they name."""

FEEDBACK = ("symmetric", "random", "aligning", "sign", "none")  # of a layer
PATHWAYS = (*FEEDBACK, "direct")  # of a network
MODULATORS = ("error", "reward")
BASELINES = ("mean", "confidence")  # of the reward
CODINGS = ("latency", "ink", "on-off", "population", "binarised")
LOSSES = ("cross-entropy", "published")
READOUTS = ("z", "t")
SCHEDULES = ("geometric", "cosine")
INITIALISATIONS = ("uniform", "data")
PREPROCESSING = ("none", "edges")
SCALINGS = ("minmax", "quantile", "robust", "global")
SPIKE_FILES = (".mat", ".npz")
RULES = ("shifting", "normalized", "exact")  # those built in
