"""The queues: jobs by state, how overdue they are, settings, and whether work moves.

`subjects/` has one file for each thing that is known of a queue. The engine around it (`phases`,
`batches`, `rotation`, `memory`) knows no subject. One poll of a batch of two queues, `etl` (empty)
and `mail` (jobs 7 and 8 waiting, 9 active), as it goes over the wire:

    counts      HEXISTS bull:etl:meta paused     0      ┐ every count of every subject, for every
                ZCARD bull:etl:prioritized       0      │ queue: packed once for each set of queues
                LLEN bull:etl:wait               0      │ (`QueueBatch.counts`), one round trip
                … 7 more for etl, then
                HEXISTS bull:mail:meta paused    0      │
                ZCARD bull:mail:prioritized      0      │
                LLEN bull:mail:wait              2      ┘
    ask         EXISTS bull:etl:meta             1      ┐ what the counts leave open: no count shows
                EXISTS bull:etl:id               0      │ that etl exists; mail has ready work, so
                GET bull:etl:stalled-check       nil    │ which jobs, and is there a rate limit?
                PTTL bull:mail:limiter           -2     │
                LRANGE bull:mail:wait -4 -1      [8 7]  │
                LINDEX bull:mail:active -1       9      ┘
    ask_jobs    HMGET bull:mail:8 timestamp …    […]    ┐ jobs that are known by id only now. At the
                HMGET bull:mail:7 timestamp …    […]    │ next poll LRANGE says [8 7] again, and
                HMGET bull:mail:9 processedOn    […]    ┘ these three are not asked
    fill        waiting [0 2], oldest_waiting_seconds [0 60.0], active [0 1], …

Replies come back flat: with ten counts, the replies to count n are `replies[n::10]`, one for each
row. Everything after that is by row: row 0 is etl in each column, cache and memory of the batch.

Invariants:
- A reply that was an error is None, and None is unknown in every column.
- *Changed* means: the reply to the same question differs from the reply at the last poll that
  ended (`ReplyCache.update`). A row that is no longer asked about changes once.
- A cached reply is trusted only while its row is unchanged. A poll that breaks off makes every row
  of every cache count as changed, because replies may have been noted without their consequences.
- Aliasing: a cache keeps the list of replies it was given, so nobody changes that list afterwards.
  Counts are corrected (`Markers`) in the second round trip, before any cache or column takes them.
- `BatchPoll` holds all that subjects share within a poll, and nothing outlives the poll there.
  What a subject remembers across polls is a `PerRow` attribute of it, and goes with its queue when
  the set of queues changes; anything else is set again in each poll.
"""

from exporter.collectors.queues.collector import QueueCollector
from exporter.collectors.queues.states import STATES, jobs_by_state
from exporter.collectors.queues.subjects import COLUMNS, COMMANDS, COUNTS

__all__ = ["COLUMNS", "COMMANDS", "COUNTS", "STATES", "QueueCollector", "jobs_by_state"]
