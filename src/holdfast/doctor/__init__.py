"""Why a request read less from the cache than it could have: the cause, the place, what it cost, and what to do."""
