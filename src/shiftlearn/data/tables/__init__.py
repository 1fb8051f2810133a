"""Tables: delimited files and scikit-learn's, the notation of their numbers, classes, scaling of columns."""

from __future__ import annotations

from .features import Features
from .table import TABLES, Column, Table, load_table, read_csv, read_rows

__all__ = ["TABLES", "Column", "Features", "Table", "load_table", "read_csv", "read_rows"]
