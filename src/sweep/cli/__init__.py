"""The subcommands `sweep NAME …`, beside a search. They never import torch."""
