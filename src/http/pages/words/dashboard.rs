//! What the dashboard says, and what the state of each dependency means for the sale.

use super::Words;
use crate::actors::Meaning;
use domain::rfc3339;

super::words! {
    dashboard_title();
    dashboard_wall();
    dashboard_whole();
    dashboard_as_of(time: &str);
    dashboard_empty();
    last_heard(time: &str);
    connecting();
    zone();
    zone_own();
    zone_shop();
    range();
    range_five_minutes();
    range_hour();
    range_day();
    sums();
    sums_agree();
    sums_differ();
    orders_a_second();
    slowest_hundredth();
    backlog();
    visitors_today();
    items_heading();
    nothing_on_sale();
    item_name();
    item_state();
    item_allotted();
    item_available();
    item_reserved();
    item_sold();
    item_store();
    curve_heading();
    funnel_heading();
    funnel_requests();
    funnel_admitted();
    funnel_placed();
    funnel_paid();
    refused_heading();
    refused_none();
    tokens_heading();
    tokens_given();
    challenges_given();
    tokens_refused();
    durations_heading();
    mailbox_heading();
    sync_heading();
    backlog_heading();
    machine_heading();
    visits_heading();
    dependencies_heading();
    waiting_requests();
    waiting_time();
    milliseconds();
    half_below();
    ninety_below();
    ninetynine_below();
    longest();
    memory();
    processor();
    connections();
    views_a_second();
    state_quarantined();
    witness_unheard();
    witness_agrees();
    witness_differs();
    verdict_sums_differ(item: &str);
    verdict_refuses();
    verdict_shards_down(count: u64);
    verdict_degraded(backlog: u64);
    verdict_sells(items: u64);
    verdict_waits_seconds(seconds: u64);
    verdict_waits_minutes(minutes: u64);
    verdict_waits_hours(hours: u64);
    verdict_idle();
    journal_works();
    journal_failed();
    journal_damaged(place: &str);
    journal_nearly_full(why: &str);
    journal_full(why: &str);
    journal_unreachable(why: &str);
    clock_agrees();
    clock_behind(seconds: u64);
    clock_ahead(seconds: u64);
    tasks_run();
    tasks_ended(tasks: &str);
    task_ended(name: &str, times: u64);
    checkpoints_work();
    checkpoints_late(error: &str);
    checkpoints_foreign(error: &str);
    broker_absent();
    directory_whole();
    directory_unusable(error: &str);
    broker_works();
    broker_away(error: &str);
    broker_unread(error: &str);
    broker_refuses(error: &str);
    broker_blocks(error: &str);
    events_told();
    events_wait(why: &str);
    events_lost(records: u64);
    orders_arrive();
    orders_wait(error: &str);
    orders_tried_again(error: &str);
    orders_refilled();
    orders_lack_records(lost: u64);
    orders_lack_rows(missing: u64);
    replica_follows();
    replica_stands(lag: u64);
    replica_away(error: &str);
    catalogue_whole();
    catalogue_lacks(items: &str);
    catalogue_away(error: &str);
    cluster_whole(served: u64, shards: u64, nodes: u64);
    cluster_lacks_owners(unowned: u64, shards: u64);
    cluster_lacks_buckets(away: u64);
    cluster_owners_silent(nodes: &str);
    cluster_clock_ahead(node: &str, milliseconds: u64);
    cluster_clock_behind(node: &str, milliseconds: u64);
    cluster_away(seconds: u64);
    settings_hold();
    settings_refused(why: &str);
    settings_file_refused(why: &str);
    certificate_holds();
    certificate_refused(why: &str);
    certificate_expired(until: &str);
    not_asked_yet();
    more_items(count: u64);
}

impl Words {
    /// Returns what the state of a dependency means for the sale.
    pub fn meaning(self, meaning: &Meaning) -> String {
        match meaning {
            Meaning::JournalWorks => self.journal_works(),
            Meaning::JournalFailed => self.journal_failed(),
            Meaning::JournalDamaged(place) => self.journal_damaged(place),
            Meaning::JournalNearlyFull(why) => self.journal_nearly_full(why),
            Meaning::JournalFull(why) => self.journal_full(why),
            Meaning::JournalUnreachable(why) => self.journal_unreachable(why),
            Meaning::ClockAgrees => self.clock_agrees(),
            Meaning::ClockDrifts(seconds) if *seconds < 0 => {
                self.clock_behind(seconds.unsigned_abs())
            }
            Meaning::ClockDrifts(seconds) => self.clock_ahead(seconds.unsigned_abs()),
            Meaning::TasksRun => self.tasks_run(),
            Meaning::TasksEnded(tasks) => {
                let ended: Vec<String> = tasks
                    .iter()
                    .map(|(name, times)| self.task_ended(name, u64::from(*times)))
                    .collect();
                self.tasks_ended(&ended.join(", "))
            }
            Meaning::DirectoryWhole => self.directory_whole(),
            Meaning::DirectoryUnusable(error) => self.directory_unusable(error),
            Meaning::CheckpointsWork => self.checkpoints_work(),
            Meaning::CheckpointsLate(error) => self.checkpoints_late(error),
            Meaning::CheckpointsForeign(error) => self.checkpoints_foreign(error),
            Meaning::BrokerAbsent => self.broker_absent(),
            Meaning::BrokerWorks => self.broker_works(),
            Meaning::BrokerAway(error) => self.broker_away(error),
            Meaning::BrokerUnread(error) => self.broker_unread(error),
            Meaning::BrokerRefuses(error) => self.broker_refuses(error),
            Meaning::BrokerBlocks(error) => self.broker_blocks(error),
            Meaning::EventsTold => self.events_told(),
            Meaning::EventsWait(why) => self.events_wait(why),
            Meaning::EventsLost(records) => self.events_lost(*records),
            Meaning::OrdersArrive => self.orders_arrive(),
            Meaning::OrdersWait(error) => self.orders_wait(error),
            Meaning::OrdersTriedAgain(error) => self.orders_tried_again(error),
            Meaning::OrdersRefilled => self.orders_refilled(),
            Meaning::OrdersLackRecords { lost, .. } => self.orders_lack_records(*lost),
            Meaning::OrdersLackRows(missing) => self.orders_lack_rows(*missing),
            Meaning::ReplicaFollows => self.replica_follows(),
            Meaning::ReplicaStands(lag) => self.replica_stands(*lag),
            Meaning::ReplicaAway(error) => self.replica_away(error),
            Meaning::CatalogueWhole => self.catalogue_whole(),
            Meaning::CatalogueLacks(items) => {
                let named = Meaning::name_items(items, |more| self.more_items(more as u64));
                self.catalogue_lacks(&named)
            }
            Meaning::CatalogueAway(error) => self.catalogue_away(error),
            Meaning::SettingsHold => self.settings_hold(),
            Meaning::SettingsRefused(why) => self.settings_refused(why),
            Meaning::SettingsFileRefused(why) => self.settings_file_refused(why),
            Meaning::CertificateHolds => self.certificate_holds(),
            Meaning::CertificateRefused(why) => self.certificate_refused(why),
            Meaning::CertificateExpired(until) => {
                self.certificate_expired(&rfc3339::to_string(*until))
            }
            Meaning::NotAskedYet => self.not_asked_yet(),
            Meaning::ClusterWhole { .. }
            | Meaning::ClusterLacksOwners { .. }
            | Meaning::ClusterLacksBuckets(_)
            | Meaning::ClusterOwnersSilent(_)
            | Meaning::ClusterClocksApart { .. }
            | Meaning::ClusterAway(_) => self.cluster_meaning(meaning),
        }
    }

    /// What the state of the nodes means for the sale.
    fn cluster_meaning(self, meaning: &Meaning) -> String {
        match meaning {
            Meaning::ClusterWhole { served, shards, nodes } => {
                self.cluster_whole(*served as u64, u64::from(*shards), *nodes as u64)
            }
            Meaning::ClusterLacksOwners { unowned, shards } => {
                self.cluster_lacks_owners(*unowned as u64, u64::from(*shards))
            }
            Meaning::ClusterLacksBuckets(away) => self.cluster_lacks_buckets(*away as u64),
            Meaning::ClusterOwnersSilent(nodes) => self.cluster_owners_silent(&nodes.join(", ")),
            Meaning::ClusterClocksApart { node, ahead } if *ahead > 0 => {
                self.cluster_clock_ahead(node, ahead.unsigned_abs())
            }
            Meaning::ClusterClocksApart { node, ahead } => {
                self.cluster_clock_behind(node, ahead.unsigned_abs())
            }
            Meaning::ClusterAway(seconds) => self.cluster_away(*seconds),
            _ => String::new(),
        }
    }
}
