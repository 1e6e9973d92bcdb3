# What the dashboard says.

dashboard_title = Dashboard
dashboard_wall = Wall screen
dashboard_whole = All figures
dashboard_as_of = As of { $time }. Without scripts this page stands still: load it again.
dashboard_empty = The first figures come within a second: load the page again.
last_heard = Last heard { $time }
connecting = Connecting…
zone = Times in
zone_own = this device's zone
zone_shop = the shop's zone
range = Show
range_five_minutes = 5 minutes
range_hour = 1 hour
range_day = 24 hours
sums = Sums
sums_agree = add up
sums_differ = DO NOT ADD UP
orders_a_second = Orders a second
slowest_hundredth = 99 of 100 within
backlog = On their way
visitors_today = Visitors today
items_heading = Items
nothing_on_sale = No sale yet. Once one is approved, its items appear here.
item_name = Item
item_state = State
item_allotted = Allotted
item_available = Available
item_reserved = Reserved
item_sold = Sold
item_store = Order store
curve_heading = Orders a second
funnel_heading = From request to payment
funnel_requests = Requests
funnel_admitted = Admitted
funnel_placed = Ordered
funnel_paid = Paid
refused_heading = Refused, since the start
refused_none = Nobody was refused.
tokens_heading = Buy tokens a second
tokens_given = tokens
challenges_given = challenges
tokens_refused = refused
durations_heading = Time to answer a purchase
mailbox_heading = Mailboxes
sync_heading = Journal syncs
backlog_heading = On their way to the order store
machine_heading = Machine
visits_heading = Visits
dependencies_heading = What it stands on
waiting_requests = waiting
waiting_time = longest wait
milliseconds = ms
half_below = half
ninety_below = 90 %
ninetynine_below = 99 %
longest = longest
memory = Memory
processor = Processor
connections = Connections
views_a_second = Views a second
state_quarantined = out of order
witness_unheard = not heard yet
witness_agrees = agrees
witness_differs = DIFFERS

verdict_sums_differ = Item { $item }: its units do not add up. Pause it, and call who maintains this.
verdict_refuses = Not selling: new purchases are refused.
verdict_shards_down = { $count ->
    [one] One shard is down: some items cannot be bought.
   *[other] { $count } shards are down: some items cannot be bought.
  }
verdict_degraded = { $backlog ->
    [0] Selling, and something behind the sale is away. No order is lost.
   *[other] Selling, and something behind the sale is away. { $backlog } orders are on their way, none is lost.
  }
verdict_sells = { $items ->
    [one] Selling one item. All is well.
   *[other] Selling { $items } items. All is well.
  }
verdict_waits_seconds = All is well. The next sale begins in { $seconds } s.
verdict_waits_minutes = All is well. The next sale begins in { $minutes } min.
verdict_waits_hours = All is well. The next sale begins in { $hours } h.
verdict_idle = All is well. Nothing is on sale.

journal_works = every confirmation is on disk before it leaves
journal_failed = a write failed: nothing is confirmed any more, the process stops
journal_damaged = { $place }: purchases are refused, and the state in memory goes to the checkpoints; leave everything as it is and see "A damaged journal" in docs/operations.md
journal_nearly_full = no room for the next segment ({ $why }): the sale goes on until this one is full
journal_full = no room ({ $why }): purchases are refused
journal_unreachable = { $why }: purchases are refused until it confirms again
clock_agrees = the wall clock and the sale's agree
clock_behind = the wall clock is { $seconds } s behind the sale's, which goes on undisturbed: sales begin and end by GET /api/v1/time; see "Clocks" in docs/operations.md
clock_ahead = the wall clock is { $seconds } s ahead of the sale's, which goes on undisturbed: sales begin and end by GET /api/v1/time; see "Clocks" in docs/operations.md
tasks_run = what runs beside the purchases runs
tasks_ended = { $tasks }; nothing is lost, but this is a defect: report what the log says
task_ended = { $name } ended and was run again ({ $times } times)
checkpoints_work = a restart replays little
checkpoints_late = the sale goes on and the journal is kept; a restart replays more of it: { $error }
checkpoints_foreign = the sale goes on and the journal is kept; a restart is refused until that is mended: { $error }
broker_absent = records go straight to the consumer
directory_whole = what the next start needs is there
directory_unusable = the sale goes on with the files that are open, until the journal needs its next segment; a restart would be refused: { $error }
broker_works = orders travel behind the sale
broker_away = orders wait in the journal, none is lost: { $error }
broker_unread = orders wait in the broker or the journal: { $error }
broker_refuses = the relay's cursor stands, orders wait in the journal: { $error }
broker_blocks = the broker takes no messages, orders wait in the journal, none is lost: { $error }
events_told = what happens is told behind the sale
events_wait = events wait in the journal, none is lost up to events.retain_mib; the sale goes on: { $why }
events_lost = { $records } records were deleted from the journal before their events were told, because the receiver was too far behind; the sale goes on, and the orders themselves are in the order store
orders_arrive = orders arrive behind the sale
orders_wait = orders wait in the journal, none is lost: { $error }
orders_tried_again = orders wait in the journal, none is lost; trying again: { $error }
orders_refilled = records are missing in it and are sent again from the journal; none is lost
orders_lack_records = { $lost } records are missing in it that the journal has no longer: bring a newer backup of it back; orders wait in the journal, which is kept
orders_lack_rows = { $missing } rows are gone from it that the journal has no longer: bring them back from a backup, `seckill audit` tells what is missing; the journal is kept
replica_follows = lists are read from it where it is near enough
replica_stands = it takes nothing and lacks { $lag } records: lists are read from the order store itself, and with orders.keep_until_replicated the journal keeps what it lacks; see that its replication runs
replica_away = lists are read from the order store itself, and with orders.keep_until_replicated the journal keeps what it lacks: { $error }
catalogue_whole = it knows every item in the shards
catalogue_lacks = it was lost or is older than the journal: it does not know item { $items }. These are sold on and their orders are safe; restore a newer copy of its tables
catalogue_away = purchases go on; log-ins, registrations and changes of sales are refused until it answers: { $error }
cluster_whole = every shard is served, { $served } of { $shards } here; nodes that live: { $nodes }
cluster_lacks_owners = { $unowned } of { $shards } shards are served by no node: their items wait until one has taken them over; the log says what keeps it
cluster_lacks_buckets = the nodes of { $away } buckets do not answer: the other buckets of their items sell on, and where these are dry, purchases wait or are refused for a moment
cluster_owners_silent = this node cannot ask { $nodes }: what only they serve it refuses for now, and sells the rest on; their addresses, the cluster's secret or the network between the nodes are what to look at
cluster_clock_ahead = the clock of node { $node } is { $milliseconds } ms ahead of this one's: sales begin and end earlier there; set the wrong one right and restart that node
cluster_clock_behind = the clock of node { $node } is { $milliseconds } ms behind this one's: sales begin and end later there; set the wrong one right and restart that node
cluster_away = etcd was last read { $seconds } s ago, or this node's lease has ended: others take over what it serves; what it confirmed is kept
settings_hold = what was changed while the shop runs holds
settings_refused = kept out, those of before hold: { $why }; a change here or over the API takes its place
certificate_holds = what was read last is presented
certificate_refused = kept out, the one of before is presented for as long as it is valid: { $why }; mend the files, then send SIGHUP
settings_file_refused = the file is kept out, what it said before holds: { $why }; mend it: it is read again as soon as it says something else
not_asked_yet = starting: not asked yet; the sale does not wait for it
more_items = { $count } more
