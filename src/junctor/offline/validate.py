"""What the API server would refuse in manifests, and what the operator would report about them afterwards."""

from collections.abc import Iterator

from junctor.api.configuration import OperatorConfiguration
from junctor.api.resources import Resource
from junctor.offline.collect import Collected
from junctor.offline.manifests import ObjectKey
from junctor.offline.plan import OfflinePlans, plan_gateways, snapshot_of
from junctor.offline.problems import Problem, sorted_problems


def validate_manifests(collected: Collected, configuration: OperatorConfiguration, *, strict_references: bool) -> list[Problem]:
    """Return everything that is wrong with the input, in its order.

    strict_references: whether a Secret that is not in the input is an error instead of a warning.
    """
    secrets = snapshot_of(collected, configuration).inputs().secrets
    plans = plan_gateways(configuration, collected, secrets)
    return all_problems(plans, strict_references=strict_references)


def all_problems(plans: OfflinePlans, *, strict_references: bool) -> list[Problem]:
    """Return the problems of the files and those that the plans reveal, in the order of the input."""
    problems = list(plans.collected.problems)
    for uid, resource in plans.resources.items():
        problems += _selection_problems(plans, uid, resource)
        problems += _verdict_problems(plans, uid, resource, strict_references)
    return sorted_problems(problems)


def _selection_problems(plans: OfflinePlans, uid: str, resource: Resource) -> Iterator[Problem]:
    """Yield a problem if no gateway selects the resource."""
    if any(uid in plan.verdicts for plan in plans.plans.values()):
        return
    key = _key(resource)
    manifest = plans.collected.objects[key]
    labels_known = not plans.configuration.needs_namespaces or ObjectKey("Namespace", "", resource.namespace) in plans.collected.objects
    hint = "" if labels_known else f"; the labels of namespace {resource.namespace} are not in the input"
    message = f"{key}: NoMatchingGateway: no gateway's selectors match it{hint}"
    yield Problem(manifest.file, message, manifest.line, severity="error" if labels_known else "warning")


def _verdict_problems(plans: OfflinePlans, uid: str, resource: Resource, strict_references: bool) -> Iterator[Problem]:
    """Yield what the plans say against the resource, each message once although several gateways may agree on it."""
    key = _key(resource)
    manifest = plans.collected.objects[key]
    verdicts = [(gateway, plan.verdicts[uid]) for gateway, plan in plans.plans.items() if uid in plan.verdicts]
    reported: set[str] = set()
    for gateway, verdict in verdicts:
        prefix = f"gateway {gateway}: " if len(plans.plans) > 1 else ""
        for finding in (verdict.accepted, verdict.resolved):
            if finding.ok or finding.message in reported:
                continue
            reported.add(finding.message)
            may_be_elsewhere = finding is verdict.resolved and not _has_all_secrets(plans.collected, resource) and not strict_references
            message = f"{key}: {prefix}{finding.reason}: {finding.message}"
            yield Problem(manifest.file, message, manifest.line, severity="warning" if may_be_elsewhere else "error")


def _key(resource: Resource) -> ObjectKey:
    return ObjectKey(resource.kind, resource.namespace, resource.name)


def _has_all_secrets(collected: Collected, resource: Resource) -> bool:
    """Whether every Secret that the resource references is in the input: what is wrong with one of them is then wrong in the input."""
    return all(ObjectKey("Secret", resource.namespace, ref.name) in collected.objects for ref in resource.secret_refs)
