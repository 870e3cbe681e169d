"""A stand-in for Vapi that shares no code with the rest of the project.

What a request meets, in the order of the files:

    server      the listening socket, the process
    app         routes, and the faults of answers; `gate` is what every request meets first: outage, key, rate
    requests    is this body one that Vapi would take; `shapes` is what may be said, read from the published facts
    exchange    lines, the queue for them, and the life of every call; `calls` is what it remembers of one
    fate        how a call goes: drawn from the seed, the number and how often it was called; `faults` names what fails
    control     what may be said to a live call
    conversation, answers    what was said, what was extracted, what it cost
    payloads    a call and its messages in Vapi's shape; `listing` is which of them `GET /call` shows
    delivery    signed webhooks, with retries and their faults; `sending` is the connections they take
    ledger      what really happened, for a test to compare with what the caller believes

`scenario` is what may be set and `mistakes` says what is wrong with it, `clock` is the simulated time, `chance` the
seeded dice, `rates` counts per second.
"""

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8099
