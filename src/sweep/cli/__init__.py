"""The subcommands `sweep NAME …`, beside a search. Their modules import no torch: `predict` and
`export` load it once the arguments are checked."""
