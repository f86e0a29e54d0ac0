"""Tracebacks without secrets."""


def forget_frames(failure: BaseException) -> None:
    """Drop the tracebacks of *failure* and its causes, where a frame may hold a secret as a local variable.

    The frames of the HTTP library hold the headers and texts that it sends, with key and passphrase, and some
    log formats print local variables. The types and messages of the whole chain stay; an error that is raised
    again collects the frames from there on.
    """
    pending: list[BaseException | None] = [failure]
    seen: set[int] = set()
    while pending:
        error = pending.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            error.__traceback__ = None
            pending += (error.__cause__, error.__context__)
