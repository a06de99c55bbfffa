"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from kio.schema.errors import ErrorCode

from hubbub.model.settings import TopicSettings
from hubbub.protocols.kafka.config_entries import broker_entries, topic_entries
from hubbub.protocols.kafka.config_values import ConfigType
from hubbub.protocols.kafka.lookup import duplicates, find_topic, refuse_internal, when_kept
from hubbub.protocols.kafka.mapping import to_kafka
from hubbub.protocols.kafka.refusal import Refusal, attempt, outcome
from hubbub.protocols.kafka.topic_configs import changed, topic_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubbub.protocols.kafka.config_entries import ConfigEntry
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext


class ResourceType(IntEnum):
    """What has configs. Groups, loggers and client metrics have none here."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class Operation(IntEnum):
    """What IncrementalAlterConfigs does to one config (KIP-339)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class _Resource(NamedTuple):
    """What a request names; the type is whatever number the client sent."""

    type: int
    name: str


def _by_resource(request: Any) -> dict[_Resource, Any]:
    return {_Resource(each.resource_type, each.resource_name): each for each in request.resources}


def _repeated(request: Any) -> set[object]:
    return duplicates((each.resource_type, each.resource_name) for each in request.resources)


# DescribeConfigs


def describe_configs(context: RequestContext, request: Any, reply: Reply) -> None:
    """All configs of each resource, or those asked for by name."""
    twice = _repeated(request)

    def result(resource: _Resource, names: tuple[str, ...] | None) -> Any:
        # Kafka answers as often as it is asked; a small request could cost any memory that way.
        found = _repetition() if resource in twice else attempt(_entries, context, resource)
        if isinstance(found, Refusal):
            return _description(context, resource, (), found)
        # No names, None as well as empty, ask for all.
        wanted = [entry for entry in found if not names or entry.name in names]
        return _description(
            context, resource, tuple(_entry(context, request, entry) for entry in wanted), None
        )

    results = tuple(
        result(resource, wanted.configuration_keys)
        for resource, wanted in _by_resource(request).items()
    )
    reply(context.make("DescribeConfigsResponse", results=results))


def _description(
    context: RequestContext,
    resource: _Resource,
    configs: tuple[Any, ...],
    refusal: Refusal | None,
) -> Any:
    return context.make(
        "DescribeConfigsResult",
        resource_type=resource.type,
        resource_name=resource.name,
        configs=configs,
        **outcome(refusal),
    )


def _entries(context: RequestContext, resource: _Resource) -> list[ConfigEntry]:
    if resource.type == ResourceType.TOPIC:
        return topic_entries(find_topic(context.broker, resource.name).settings)
    if resource.type == ResourceType.BROKER:
        if not resource.name:
            return []  # the dynamic defaults of all brokers: there are none
        _check_node(context, resource.name)
        return broker_entries(context.broker.config, context.node)
    raise Refusal(ErrorCode.invalid_request, f"Unsupported resource type: {resource.type}")


def _entry(context: RequestContext, request: Any, entry: ConfigEntry) -> Any:
    synonyms = tuple(
        context.make("DescribeConfigsSynonym", name=name, value=value, source=source)
        for name, value, source in (entry.synonyms if request.include_synonyms else ())
    )
    # Version 3 brought documentation (KIP-569).
    wants_doc = getattr(request, "include_documentation", False)
    return context.make(
        "DescribeConfigsResourceResult",
        name=entry.name,
        value=entry.value,
        read_only=entry.read_only,
        config_source=entry.source,
        is_sensitive=False,
        synonyms=synonyms,
        config_type=entry.type,
        documentation=entry.doc if wants_doc else None,
    )


# AlterConfigs and IncrementalAlterConfigs


def alter_configs(context: RequestContext, request: Any, reply: Reply) -> None:
    """Replace the configs of each resource: what is not named goes back to its default."""

    def replaced(settings: TopicSettings, configs: Any) -> TopicSettings:  # noqa: ARG001 - one shape
        return changed(TopicSettings(), {config.name: config.value for config in configs})

    _alter(context, request, reply, replaced, "AlterConfigsResponse")


def incremental_alter_configs(context: RequestContext, request: Any, reply: Reply) -> None:
    """Change single configs of each resource."""
    _alter(context, request, reply, _increment, "IncrementalAlterConfigsResponse")


def _alter(
    context: RequestContext,
    request: Any,
    reply: Reply,
    revise: Callable[[TopicSettings, Any], TopicSettings],
    response: str,
) -> None:
    twice = _repeated(request)

    def alter(resource: _Resource, configs: Any) -> None:
        if resource in twice:
            raise _repetition()
        _check_changes(configs)
        if resource.type == ResourceType.BROKER:
            _refuse_broker_change(context, resource, configs)
            return
        if resource.type != ResourceType.TOPIC:
            raise _invalid_request(f"Unknown resource type {resource.type}")
        topic = find_topic(context.broker, resource.name)
        refuse_internal(topic, "alter configs of")
        settings = revise(topic.settings, configs)
        if settings != topic.settings and not request.validate_only:
            context.broker.topics.change(topic, settings)

    def answer(results: Mapping[_Resource, Refusal | None]) -> None:
        responses = tuple(
            context.make(
                "AlterConfigsResourceResponse",
                resource_type=resource.type,
                resource_name=resource.name,
                **outcome(result),
            )
            for resource, result in results.items()
        )
        reply(context.make(response, responses=responses))

    results = {
        resource: attempt(alter, resource, wanted.configs)
        for resource, wanted in _by_resource(request).items()
    }
    when_kept(context.broker, results, answer, dry_run=request.validate_only)


def _check_changes(configs: Any) -> None:
    if duplicates(config.name for config in configs):
        raise _invalid_request("Error due to duplicate config keys")
    nulls = [
        config.name
        for config in configs
        if config.value is None and getattr(config, "config_operation", None) != Operation.DELETE
    ]
    if nulls:
        raise _invalid_request(f"Null value not supported for : {', '.join(nulls)}")


def _increment(settings: TopicSettings, configs: Any) -> TopicSettings:
    values = {}
    for config in configs:
        if config.config_operation not in set(Operation):
            raise _invalid_request(f"Unknown operations type {config.config_operation}")
        values[config.name] = _operate(settings, Operation(config.config_operation), config)
    return changed(settings, values)


def _operate(settings: TopicSettings, operation: Operation, config: Any) -> str | None:
    """The new value, None for the default."""
    if operation is Operation.DELETE:
        return None
    text: str = config.value
    if operation is Operation.SET:
        return text
    known = topic_config(config.name)
    if known.type is not ConfigType.LIST:
        raise Refusal(
            ErrorCode.invalid_config,
            f"Can't {operation.name} to key {config.name} because its type is not LIST.",
        )
    old = [part for part in known.read(settings).split(",") if part]
    named = text.split(",")
    if operation is Operation.APPEND:
        return ",".join(dict.fromkeys([*old, *named]))
    return ",".join(part for part in old if part not in named)


def _refuse_broker_change(context: RequestContext, resource: _Resource, configs: Any) -> None:
    if resource.name:
        _check_node(context, resource.name)
    if configs:
        names = ", ".join(config.name for config in configs)
        raise _invalid_request(f"Cannot update these configs dynamically: {names}")


def _check_node(context: RequestContext, name: str) -> None:
    if name != str(context.node.node_id):
        raise _invalid_request(
            f"Unexpected broker id, expected {context.node.node_id} or empty string, but received"
            f" {name}"
        )


def _repetition() -> Refusal:
    return _invalid_request("Each resource must appear at most once.")


def _invalid_request(message: str) -> Refusal:
    return Refusal(ErrorCode.invalid_request, message)


# ListConfigResources


def list_config_resources(context: RequestContext, request: Any, reply: Reply) -> None:
    """What has configs; version 0 asked for client metrics only, of which there are none."""
    wanted: set[int] = {ResourceType.CLIENT_METRICS}
    if context.api_version > 0:
        wanted = set(request.resource_types) or set(ResourceType)
    error = ErrorCode.none if wanted <= set(ResourceType) else ErrorCode.unsupported_version
    found: list[tuple[ResourceType, str]] = []
    if error is ErrorCode.none and ResourceType.TOPIC in wanted:
        names = (to_kafka(topic.name) for topic in context.broker.topics)
        found += ((ResourceType.TOPIC, name) for name in names if name is not None)
    if error is ErrorCode.none and ResourceType.BROKER in wanted:
        found.append((ResourceType.BROKER, str(context.node.node_id)))
    resources = tuple(
        context.make("ConfigResource", resource_name=name, resource_type=kind)
        for kind, name in found
    )
    reply(context.make("ListConfigResourcesResponse", error_code=error, config_resources=resources))


HANDLERS: dict[int, Handler] = {
    32: describe_configs,
    33: alter_configs,
    44: incremental_alter_configs,
    74: list_config_resources,
}
