"""HTTP: from a request to a row of the table, and back to an answer in its dialect."""
