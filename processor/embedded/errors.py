"""The one error of the embedded broker: what went wrong and what to do about it."""


class BrokerError(Exception):
    """The embedded broker cannot be fetched, started or kept running; the message says what to do next."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy
