"""Many runs: sweeps over processes, comparisons of rules and seeds, the reproduction of the stated results.

May import: training, and what lies below it.
"""
