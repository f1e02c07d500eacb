"""The GraphQL operations of the W&B client, each found by its name: the client's own queries are
the schema."""

from wandb_mock.graphql.operations import answer, operation_name

__all__ = ["answer", "operation_name"]
