"""The union of KServe's and OpenAI's lists of models."""
