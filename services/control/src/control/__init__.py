"""The control plane: who may call, which definitions are in force, and who changed what. Nothing that serves waits for it."""
