"""Step 11."""

from typing import Any

from tests.e2e.world import RELEASE, StepFailed, World, until

TITLE = "Uninstall"
PROVES = "`helm uninstall` leaves nothing but what it says it keeps: volumes, Secrets, CRDs and the definitions of their kinds."
KEPT = {
    "persistentvolumeclaims": {"models", "offline", "records", "data-mizzen-valkey-0", "data-mizzen-postgresql-0"},
    "secrets": {
        f"mizzen-{name}" for name in ("identity", "api-key", "admin-key", "valkey", "postgresql", "postgresql-owner")
    },
}
# Of every namespace, of the cluster itself, or applied by hand and yours.
NOT_OURS = {"configmaps": {"kube-root-ca.crt"}, "serviceaccounts": {"default"}}
PASSING = {"events", "events.events.k8s.io", "pods.metrics.k8s.io"}
YOURS = {"featureviews.mizzen.dev", "endpoints.mizzen.dev", "collections.mizzen.dev"}


def run(world: World) -> dict[str, Any]:
    world.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    kinds = world.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "-o", "name").split()
    kinds = [kind for kind in kinds if kind not in PASSING]
    left = until("only what is kept is there", lambda: Left(world, kinds).as_promised(), 120, 3)
    cluster = [
        line
        for kind in (
            "clusterroles",
            "clusterrolebindings",
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
        )
        for line in world.kubectl("get", kind, "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name").split()
    ]
    if cluster:
        raise StepFailed(f"left in the cluster: {cluster}")
    return {"left": left, "cluster_scoped_left": 0, "kinds_looked_at": len(kinds)}


class Left:
    """What is in the namespace."""

    def __init__(self, world: World, kinds: list[str]) -> None:
        told = world.kubectl("get", ",".join(kinds), "--ignore-not-found", "-o", "name").split()
        self.found: dict[str, set[str]] = {}
        for line in told:
            kind, name = line.split("/", 1)
            self.found.setdefault(plural(kind, kinds), set()).add(name)

    def as_promised(self) -> dict[str, int]:
        """How many of each kind; StepFailed when there is more or less."""
        left: dict[str, int] = {}
        for kind, names in self.found.items():
            rest = names - NOT_OURS.get(kind, set())
            if kind in YOURS:
                left[kind] = len(rest)
                continue
            if rest != KEPT.get(kind, set()):
                raise StepFailed(f"{kind}: {sorted(rest)} are there, to be kept were {sorted(KEPT.get(kind, set()))}")
            if rest:
                left[kind] = len(rest)
        missing = set(KEPT) - set(self.found)
        if missing:
            raise StepFailed(f"not kept: {sorted(missing)}")
        return left


def plural(singular: str, kinds: list[str]) -> str:
    """`secret` → `secrets`, `endpoint.mizzen.dev` → `endpoints.mizzen.dev`, as api-resources names them."""
    name, _, group = singular.partition(".")
    ends = (name + "s", name + "es", name[:-1] + "ies")
    return next(
        (kind for kind in kinds if kind.partition(".")[0] in ends and kind.partition(".")[2] == group), singular
    )
