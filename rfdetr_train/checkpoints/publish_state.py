"""What a publisher tells of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rfdetr_train.checkpoints.manifest import Manifest


@dataclass(frozen=True)
class Degraded:
    """Publishing fails.

    Attributes:
        since: When the first attempt that failed began, on the clock of ``time.monotonic``.
        tried: When the last one began.
        reason: Why it failed.
        permanent: Whether trying again does not help by itself.
    """

    since: float
    tried: float
    reason: str
    permanent: bool


@dataclass(frozen=True)
class Published:
    """What a publisher has done.

    Attributes:
        sequence: Of the last published commit; 0 for none.
        step: Its optimizer step.
        commits: Published by this process.
        skipped: Commits that a newer one overtook.
        bytes: Uploaded.
        seconds: Spent publishing.
    """

    sequence: int = 0
    step: int = 0
    commits: int = 0
    skipped: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def after(self, manifest: Manifest) -> Published:
        """The same after one more publication."""
        overtaken = manifest.sequence - self.sequence - 1 if self.commits else 0
        return replace(
            self,
            sequence=manifest.sequence,
            step=manifest.step,
            commits=self.commits + 1,
            skipped=self.skipped + overtaken,
        )


@dataclass(frozen=True)
class FlushResult:
    """How the last publication went.

    Attributes:
        published_sequence: Of the last published commit; 0 for none.
        pending: Paths of the files that are on the local disk only.
        reason: Why, "" when nothing is pending.
    """

    published_sequence: int
    pending: list[str]
    reason: str
