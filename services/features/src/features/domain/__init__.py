"""What a feature read and write mean; knows no transport and no store."""
