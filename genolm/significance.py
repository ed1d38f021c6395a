"""How many calls of a scan are chance: expected false calls per Mb and q-values, from a shuffled background.

The background (:mod:`genolm.background`) is scanned as the genome was; what is called there is false. The
number of background calls that score t or more, per Mb of strand, is the number of false calls to expect in
the genome. The false discovery rate at t is that expectation over the number of calls seen at t or above,
and the q-value of a call is the lowest such rate at any threshold that still makes the call (Storey and
Tibshirani 2003, doi:10.1073/pnas.1530509100, with all letters taken for background, that is pi0 = 1: too
careful rather than too bold). In a q-value one is added to the background count, since a rate can never be
shown to be zero by counting (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585): a small background gives
no small q-values.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genolm.bootstrap import Estimate
from genolm.errors import SettingsError
from genolm.peaks import call_peaks
from genolm.tracks import Track

FORMAT_VERSION = 1
MOST_SCORES = 50_000


@dataclass(frozen=True, eq=False)
class Background:
    """The scores of the calls of a shuffled background.

    Attributes
    ----------
    scores : np.ndarray
        float32 (calls,), best first.
    megabases : float
        Mb of strand that were scanned: both strands of 1 Mb are 2.
    floor : float
        Threshold of these calls; nothing is known of calls below it.
    """

    scores: np.ndarray
    megabases: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        scores = np.sort(np.asarray(self.scores, dtype=np.float32))[::-1]
        if not self.megabases > 0:
            raise SettingsError(f"A background of {self.megabases} Mb tells nothing; shuffle more bases.")
        if np.isnan(scores).any():
            raise SettingsError("A background call without a score (NaN) cannot be counted.")
        floor = float(np.float32(self.floor))
        if len(scores) > MOST_SCORES:
            floor = max(floor, float(scores[MOST_SCORES - 1]))
            scores = scores[scores >= np.float32(floor)]
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "floor", floor)

    @classmethod
    def from_tracks(
        cls,
        tracks: Iterable[Track],
        *,
        window_length: int,
        merge_distance: int | None = None,
        min_distance: int = 0,
        floor: float = 0.01,
    ) -> "Background":
        """Return the background of a scan of shuffled letters.

        Its calls are the summits of non-maximum suppression, which are the same at every threshold; merged
        calls are fewer, so that for them the expectation errs on the careful side.

        Parameters
        ----------
        tracks : iterable of Track
            Of every scanned strand.
        window_length, merge_distance, min_distance
            As for the genome's own calls, see :func:`genolm.peaks.call_peaks`.
        floor : float
            Lowest threshold that will be asked for.
        """
        tracks = list(tracks)
        calls = call_peaks(
            tracks,
            threshold=floor,
            window_length=window_length,
            merge_distance=merge_distance,
            min_distance=min_distance,
            method="nms",
        )
        return cls(calls["score"].to_numpy(), scored_megabases(tracks), floor)

    @property
    def resolution(self) -> float:
        """The least number of false calls per Mb that the background can tell from none: one in all of it."""
        return 1.0 / self.megabases

    def count(self, threshold: float | np.ndarray) -> Any:
        """Return how many background calls score ``threshold`` or more."""
        return np.searchsorted(-self.scores, -np.asarray(threshold, dtype=np.float32), side="right")

    def expected_per_mb(self, threshold: float | np.ndarray) -> Any:
        """Return false calls to expect per Mb of strand; below ``floor`` there may be more than it says."""
        return self.count(threshold) / self.megabases

    def interval_per_mb(self, threshold: float) -> Estimate:
        """Return :meth:`expected_per_mb` with its exact 95 % Poisson interval.

        After Garwood (1936, doi:10.2307/2333958): where nothing was counted, the upper end says what may
        still be there.
        """
        from scipy.stats import chi2

        count = int(self.count(threshold))
        low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
        high = float(chi2.ppf(0.975, 2 * count + 2)) / 2
        return Estimate(count / self.megabases, low / self.megabases, high / self.megabases)

    def q_values(self, call_scores: np.ndarray, megabases: float) -> np.ndarray:
        """Return the q-value of each call, float64 (calls,), in the order given; 1 below ``floor``.

        Parameters
        ----------
        call_scores : np.ndarray
            Scores of all calls of the scan.
        megabases : float
            Mb of strand that the calls come from.
        """
        scores = np.asarray(call_scores, dtype=np.float32)
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        seen = np.searchsorted(-ordered, -ordered, side="right")
        false = (self.count(ordered) + 1) / self.megabases * megabases
        rates = np.where(ordered < np.float32(self.floor), 1.0, np.minimum(1.0, false / np.maximum(seen, 1)))
        q_values = np.empty(len(scores), dtype=np.float64)
        # From the lowest score up: the least rate at a threshold that still makes the call.
        q_values[order] = np.minimum.accumulate(rates[::-1])[::-1]
        return q_values

    def threshold_for(self, expected_per_mb: float) -> float:
        """Return the lowest threshold, from ``floor`` up, with no more false calls per Mb than given."""
        if not expected_per_mb >= 0:
            raise SettingsError(f"expected_per_mb is {expected_per_mb}; it must be 0 or more.")
        allowed = math.floor(expected_per_mb * self.megabases + 1e-9)
        if allowed >= len(self.scores):
            return self.floor
        return float(np.nextafter(self.scores[allowed], np.float32(np.inf)))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        scores = [float(str(score)) for score in self.scores]
        return {
            "format_version": FORMAT_VERSION,
            "megabases": self.megabases,
            "floor": self.floor,
            "scores": scores,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Background":
        """Return what :meth:`to_json` gave; another format is refused."""
        if data.get("format_version") != FORMAT_VERSION:
            raise SettingsError(
                f"This background has format {data.get('format_version')}; genolm reads {FORMAT_VERSION}."
            )
        return cls(np.array(data["scores"], dtype=np.float32), data["megabases"], data["floor"])


def scored_megabases(tracks: Iterable[Track]) -> float:
    """Return how many Mb of strand tracks speak of, gaps left out."""
    values = ((int((~np.isnan(track.values)).sum()), track.step) for track in tracks)
    return sum(count * step for count, step in values) / 1e6
