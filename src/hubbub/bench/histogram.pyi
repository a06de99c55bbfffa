class Histogram:
    """How often each duration came up, in nanoseconds, to within 0.8 %."""

    @property
    def count(self) -> int:
        """How many were recorded."""

    @property
    def max(self) -> int:
        """The longest, exactly; 0 if there was none."""

    def record(self, nanoseconds: int) -> None:
        """Count a duration; a negative one counts as 0."""

    def percentile(self, percent: float) -> int:
        """The duration that ``percent`` (0 to 100) of all do not exceed.

        Raises:
            ValueError: nothing was recorded.
        """
