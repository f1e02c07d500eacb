"""Time per trial outside training and evaluation: the project's engines, and `Trainer.hyperparameter_search`.

    python -m benchmarks.overhead [--engines trainer packed]

All train the same trials, LoRA (rank 8, query and value) on MiniLM over the help-desk task, evaluate each epoch and track
to W&B offline. The baseline loads the base and wraps it in `model_init`, and keeps no checkpoints; its time inside training and
evaluation is measured by a callback around `train`. Rounds of the sides alternate.

One trial after the other: from the end of a trial to the end of the next one, less what that one trained and evaluated; the
first trial of a process counts for nobody. Packed trials overlap, and no second of one of them belongs to it alone: here it is
the seconds of the search in which no step and no evaluation was under way, over the number of trials, as seen at the
seam between study and engine. What the first round of steps after trials came in took above the median round counts as overhead, so that
their models and optimizers are in it. The base is loaded in it too: all trials share it, as the first trial's of the
other sides would.
"""

from __future__ import annotations
