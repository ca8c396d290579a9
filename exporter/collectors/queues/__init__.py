"""The queues: jobs by state, ages and delays, settings, and whether work moves.

`subjects/` has one file for each fact or group of facts about a queue. The engine (`phases`,
`batches`, `rotation`, `memory`) is independent of the subjects. The commands of one poll of a batch
of two queues, `etl` (empty) and `mail` (jobs 7 and 8 waiting, 9 active):

    counts      HEXISTS bull:etl:meta paused     0      ┐ every count of every subject, for every
                ZCARD bull:etl:prioritized       0      │ queue: packed once for each set of queues
                LLEN bull:etl:wait               0      │ (`QueueBatch.counts`), one round trip
                … 7 more for etl, then
                HEXISTS bull:mail:meta paused    0      │
                ZCARD bull:mail:prioritized      0      │
                LLEN bull:mail:wait              2      ┘
    ask         EXISTS bull:etl:meta             1      ┐ what the counts leave open: whether etl
                EXISTS bull:etl:id               0      │ exists; the jobs of mail, which has ready
                GET bull:etl:stalled-check       nil    │ work, and its rate limit
                PTTL bull:mail:limiter           -2     │
                LRANGE bull:mail:wait -4 -1      [8 7]  │
                LINDEX bull:mail:active -1       9      ┘
    ask_jobs    HMGET bull:mail:8 timestamp …    […]    ┐ jobs whose IDs are now known. If LRANGE
                HMGET bull:mail:7 timestamp …    […]    │ returns [8 7] again at the next poll,
                HMGET bull:mail:9 processedOn    […]    ┘ only the older of 8 and 7 is read again
    ask_again   nothing                                 if that one now has other times, 8 and 7
    fill        waiting [0 2], oldest_waiting_seconds [0 60.0], active [0 1], …

Replies are a flat list: with ten counts, the replies to count n are `replies[n::10]`, one for each
row. Everything else is indexed by row: row 0 is etl in each column, cache and memory of the batch.

Invariants:
- An error reply is None, and None means unknown in every column.
- *Changed* means: the reply to the same question differs from that of the last completed poll
  (`ReplyCache.update`). A row that is no longer asked about changes once.
- A cached reply is valid only while its row is unchanged. After an aborted poll, every row of every
  cache counts as changed, because cached replies may not have been processed.
- Aliasing: a cache keeps the list of replies passed to it, so that list must not be modified later.
  Counts are corrected (`Markers`) in the second round trip, before any cache or column uses them.
- `BatchPoll` holds all state that subjects share within a poll, and is discarded after the poll. A
  subject's state across polls is in `PerRow` attributes, which move with the queue when the set of
  queues changes. All other attributes are reset in each poll.
"""

from exporter.collectors.queues.collector import QueueCollector
from exporter.collectors.queues.states import STATES, jobs_by_state
from exporter.collectors.queues.stuck import STUCK
from exporter.collectors.queues.subjects import COLUMNS, COMMANDS, COUNTS

__all__ = ["COLUMNS", "COMMANDS", "COUNTS", "STATES", "STUCK", "QueueCollector", "jobs_by_state"]
