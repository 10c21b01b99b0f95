"""Records, drift, late labels and reports."""
